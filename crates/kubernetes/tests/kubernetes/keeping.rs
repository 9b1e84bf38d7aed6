//! Applications are kept as Git says.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prograde_control::SystemClock;
use prograde_kubernetes::{Keeper, Orders, Past, Target, Wish};
use prograde_resource::sync::Ending;
use serde_json::json;

use crate::peer::{own, shared};
use crate::world::{World, config, orders, target};

const HEALS: &str = "  syncPolicy: {automated: {selfHeal: true}, retry: {backoff: {duration: 1s}}, syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}\n";
const MANUAL: &str = "  syncPolicy: {automated: {selfHeal: false}, syncOptions: [CreateNamespace=true]}\n";

struct Watched {
    world: World,
    keeper: Keeper,
    told: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    fn new(world: World) -> Self {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let witness = move |verb: &'static str, text: String| heard.lock().unwrap().push(format!("{verb} {text}"));
        let keeper = Keeper::new(Arc::clone(&world.cluster.inner.api) as _, Arc::new(SystemClock), Arc::new(witness));
        Self { world, keeper, told }
    }

    fn want(&mut self, wanted: Vec<(Orders, Target)>, unreadable: &BTreeSet<String>) {
        let wish = |(orders, target): (Orders, Target)| Wish {
            target: Arc::new(target),
            orders,
            follows: true,
            origin: Arc::default(),
        };
        self.keeper.want(wanted.into_iter().map(wish).collect(), unreadable, &|_| Past::default());
    }

    /// Works until something is so, for some seconds at most.
    async fn until(&mut self, mut is: impl AsyncFnMut(&World) -> bool) -> Vec<(String, bool)> {
        let mut ended = Vec::new();
        for _ in 0..150 {
            let came = self.keeper.work(Duration::from_millis(200)).await;
            ended.extend(came.into_iter().map(|(name, came)| (name, came.is_ok_and(|one| one.ending == Ending::Done))));
            if is(&self.world).await {
                return ended;
            }
        }
        panic!("it did not come about: {:?}", self.told.lock().unwrap());
    }

    async fn calm(&mut self) -> usize {
        self.keeper.work(Duration::from_secs(3)).await.len()
    }
}

async fn key(world: &World, path: &str) -> serde_json::Value {
    world.get(path).await.map(|object| object["data"]["key"].clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_undone_where_the_application_says_so() {
    let Some(server) = shared().await else { return };
    let mut watched = Watched::new(World::new(&server).await);
    let wanted = |value: &str| {
        vec![
            (orders(), target("heals", HEALS, &config("a", value))),
            (orders(), target("stays", MANUAL, &config("a", value))),
        ]
    };
    watched.want(wanted("1"), &BTreeSet::new());
    let (healed, stays) = ("/api/v1/namespaces/heals/configmaps/a", "/api/v1/namespaces/stays/configmaps/a");
    watched.until(async |world| key(world, healed).await == "1" && key(world, stays).await == "1").await;
    assert!(watched.calm().await <= 2);

    for path in [healed, stays] {
        watched.world.edit(path, json!({"data": {"key": "theirs"}})).await;
    }
    let ended = watched.until(async |world| key(world, healed).await == "1").await;
    assert!(ended.iter().all(|(name, _)| name == "heals"));
    watched.calm().await;
    assert_eq!(key(&watched.world, stays).await, "theirs");
    assert!(watched.told.lock().unwrap().contains(&"Differs stays".to_owned()));

    // A field that is taken away, and an object that is deleted.
    watched.world.edit(healed, json!({"data": {"key": null}})).await;
    watched.until(async |world| key(world, healed).await == "1").await;
    watched.world.ask("DELETE", healed, "application/json", &json!(null)).await.unwrap();
    watched.until(async |world| key(world, healed).await == "1").await;
    watched.calm().await;
    assert_eq!(watched.calm().await, 0, "{:?}", watched.told.lock().unwrap());

    // What is wanted changes.
    watched.want(wanted("2"), &BTreeSet::new());
    watched.until(async |world| key(world, healed).await == "2" && key(world, stays).await == "2").await;
    // What can't be read any more deletes nothing, and is still healed.
    watched.want(Vec::new(), &["heals".to_owned()].into());
    watched.world.edit(healed, json!({"data": {"key": "theirs"}})).await;
    watched.until(async |world| key(world, healed).await == "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_waits_until_what_it_depends_on_has_changed() {
    let Some(server) = shared().await else { return };
    let mut watched = Watched::new(World::new(&server).await);
    let policy = "  syncPolicy: {automated: {selfHeal: true}, retry: {backoff: {duration: 1s}}}\n";
    let wanted = || vec![(orders(), target("depends", policy, &(config("a", "1") + &config("b", "1"))))];
    watched.want(wanted(), &BTreeSet::new());
    let mut ended = Vec::new();
    for _ in 0..20 {
        watched.want(wanted(), &BTreeSet::new());
        ended.extend(watched.keeper.work(Duration::from_millis(300)).await);
    }
    assert_eq!(ended.len(), 1, "{ended:?}");
    watched.world.namespace("depends").await;
    watched.until(async |world| world.get("/api/v1/namespaces/depends/configmaps/b").await.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_goes_on_when_the_api_server_is_back() {
    let Some(server) = own().await else { return };
    let mut watched = Watched::new(World::new(&server).await);
    watched.want(vec![(orders(), target("again", HEALS, &config("a", "1")))], &BTreeSet::new());
    let path = "/api/v1/namespaces/again/configmaps/a";
    watched.until(async |world| key(world, path).await == "1").await;
    watched.calm().await;
    server.stop();
    watched.calm().await;
    server.start();
    server.ready().await;
    watched.world.edit(path, json!({"data": {"key": "theirs"}})).await;
    watched.until(async |world| key(world, path).await == "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_comes_later_is_waited_for() {
    let Some(server) = shared().await else { return };
    let mut watched = Watched::new(World::new(&server).await);
    watched.world.namespace("later").await;
    let policy = "  syncPolicy: {automated: {}, retry: {backoff: {duration: 1s}}}\n";
    let object = "---\napiVersion: later.example/v1\nkind: Thing\nmetadata: {name: one}\n";
    watched.want(vec![(orders(), target("later", policy, object))], &BTreeSet::new());
    assert_eq!(watched.calm().await, 1);
    assert!(watched.told.lock().unwrap().iter().any(|told| told.contains("does not know the kind Thing")));
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    watched
        .world
        .create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.later.example"},
        "spec": {"group": "later.example", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}}),
        )
        .await;
    let path = "/apis/later.example/v1/namespaces/later/things/one";
    watched.until(async |world| world.get(path).await.is_some()).await;
}

//! The server keeps Argo CD's applications in a real cluster (`scripts/test-peers.sh apiserver`) as a repository says.

#[path = "../../crates/kubernetes/tests/kubernetes/peer.rs"]
#[expect(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]
#[allow(dead_code, reason = "not all of it is needed here")]
pub(crate) mod peer;

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::beside;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, processes};

/// A cluster, asked as other people ask it.
struct Cluster {
    runtime: Runtime,
    server: peer::Server,
}

impl Cluster {
    fn own() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(peer::own())?;
        Some(Self { runtime, server })
    }

    fn ask(&self, request: http::request::Builder, body: &Value) -> Option<Value> {
        self.runtime.block_on(async {
            let client = self.server.client("admin").await.ok()?;
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            client.request(request.body(body).unwrap()).await.ok()
        })
    }

    fn get(&self, path: &str) -> Option<Value> {
        self.ask(http::Request::get(path), &Value::Null)
    }

    /// Somebody else's change.
    fn edit(&self, path: &str, change: &Value) {
        let path = format!("{path}?fieldManager=kubectl-edit");
        let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
        self.ask(request, change).unwrap();
    }

    #[track_caller]
    fn until_key(&self, path: &str, key: &str) {
        until(&format!("{path} is {key}"), || (self.get(path)?["data"]["key"] == key).then_some(()));
    }

    fn again(&self) {
        self.server.start();
        self.runtime.block_on(self.server.ready());
    }
}

/// A server that keeps the folder `argocd` of the repository `platform` in a cluster.
struct Kept {
    cluster: Cluster,
    world: World,
    repository: Repository,
}

const AUTO: &str = "automated: {selfHeal: true, prune: true}, ";

fn config(name: &str, key: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: '{key}'}}\n")
}

fn path(application: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{application}/configmaps/{name}")
}

impl Kept {
    /// With one more set, if it is given.
    fn new(more: &str) -> Option<Self> {
        Self::with_policy(more, None)
    }

    /// With a policy besides those that always hold.
    fn with_policy(more: &str, policy: Option<&str>) -> Option<Self> {
        let policy = ("policy.yaml", policy.unwrap_or_default());
        Self::with_files(more, &[policy], &["--policies", "policy.yaml"])
    }

    /// With files beside, and arguments that name them.
    fn with_files(more: &str, files: &[(&str, &str)], arguments: &[&str]) -> Option<Self> {
        let cluster = Cluster::own()?;
        let file = format!(
            "version: 1\napplications:\n- {{ name: main, repository: platform, path: argocd, kubeconfig: '{}', timeout: 1h }}\n{more}",
            cluster.server.kubeconfig("admin").display()
        );
        let file = file.replace("KUBECONFIG", &format!("'{}'", cluster.server.kubeconfig("admin").display()));
        let files = [&[("applications.yaml", file.as_str())], files].concat();
        let arguments = [&["--applications", "applications.yaml"], arguments].concat();
        let world = World::with_files(&files, &arguments);
        let repository = Repository::create(&world, "platform");
        repository.remove("prograde.yaml");
        Some(Self { cluster, world, repository })
    }

    fn declare(&self, application: &str, policy: &str) {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {application}, namespace: argocd}}\nspec:\n  \
             project: default\n  source: {{repoURL: '{}/git/platform.git', path: {application}}}\n  \
             destination: {{server: 'https://kubernetes.default.svc', namespace: {application}}}\n  \
             syncPolicy: {{{policy}syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}}\n",
            self.world.url()
        );
        self.repository.write(&format!("argocd/{application}.yaml"), &text);
    }

    fn write(&self, application: &str, objects: &str) {
        self.repository.write(&format!("{application}/objects.yaml"), objects);
    }

    fn push(&self) -> String {
        let commit = self.repository.commit("Say what should be");
        self.repository.send();
        commit
    }

    fn view(&self, application: &str) -> Option<Value> {
        let all = self.world.get("/api/v1/applications");
        let is = |view: &&Value| view["application"] == application;
        all["applications"].as_array().unwrap().iter().find(is).cloned()
    }

    #[track_caller]
    fn until_is(&self, application: &str, sync: &str) -> Value {
        until(&format!("{application} is {sync}"), || {
            self.view(application).filter(|view| view["sync"] == sync && view["application"] == application)
        })
    }

    /// The facts about an application, in order.
    fn facts(&self, application: &str) -> Vec<(String, Value)> {
        let export = self.world.text("/api/v1/journal/export");
        let events = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of = events.filter(|event| event["data"]["application"] == application);
        let name = |event: &Value| event["eventtype"].as_str().unwrap().replace("application.", "");
        of.map(|event| (name(&event), event["data"].clone())).collect()
    }

    fn names(&self, application: &str) -> Vec<String> {
        self.facts(application).into_iter().map(|(name, _)| name).collect()
    }

    fn count(&self, application: &str, fact: &str) -> usize {
        self.names(application).iter().filter(|name| *name == fact).count()
    }

    fn trouble(&self) -> Value {
        self.world.get("/api/v1/applications")["sets"][0]["trouble"].clone()
    }
}

#[test]
fn what_is_pushed_is_applied_and_what_others_change_is_undone() {
    let Some(kept) = Kept::new("") else { return };
    kept.declare("cart", AUTO);
    kept.write("cart", &config("a", "1"));
    kept.declare("broken", AUTO);
    kept.write("broken", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 800000}]}\n");
    kept.declare("hand", "");
    kept.write(
        "hand",
        &(config("a", "1")
            + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n"),
    );
    let commit = kept.push();
    kept.cluster.until_key(&path("cart", "a"), "1");
    let view = kept.until_is("cart", "synced");
    assert_eq!(
        (&view["commit"], &view["health"], &view["automated"]),
        (&json!(commit), &json!("healthy"), &json!(true))
    );
    let view = kept.until_is("broken", "failed");
    assert!(view["why"].as_str().unwrap().contains("800000"), "{view}");
    // What does not follow by itself is compared, and waits for an order.
    let view = kept.until_is("hand", "differs");
    assert!(kept.cluster.get(&path("hand", "a")).is_none(), "{view}");
    let said = kept.world.cli(&["app", "sync", "--set", "main", "--app", "hand", "--by", "ann"]);
    assert!(said.code == 0 && said.stdout.contains("synced"), "{said:?}");
    kept.cluster.until_key(&path("hand", "a"), "1");
    let ordered = kept.facts("hand");
    assert!(ordered.iter().any(|(name, data)| name == "sync_ordered" && data["by"] == "ann"), "{ordered:?}");

    // A change is undone, and who made it is known; nothing is told of what a secret holds.
    kept.cluster.edit(&path("cart", "a"), &json!({"data": {"key": "theirs"}}));
    kept.cluster.until_key(&path("cart", "a"), "1");
    until("it is recorded", || (kept.count("cart", "synced") == 2).then_some(()));
    let facts = kept.facts("cart");
    let (_, drifted) = facts.iter().find(|(name, _)| name == "drifted").unwrap();
    assert_eq!(drifted["first"][0]["object"], "ConfigMap cart/a", "{drifted}");
    assert_eq!(drifted["first"][0]["fields"][0]["by"], "kubectl-edit", "{drifted}");
    kept.cluster.edit("/api/v1/namespaces/hand/secrets/s", &json!({"data": {"password": "aHVudGVyMw=="}}));
    let view = kept.until_is("hand", "differs");
    assert!(
        view["why"].as_str().unwrap().contains("Secret hand/s data.password was changed by kubectl-edit"),
        "{view}"
    );
    let export = kept.world.text("/api/v1/journal/export");
    assert!(!export.contains("hunter") && !export.contains("aHVudGVy"));

    until("it is looked at", || (kept.count("broken", "health_changed") == 1).then_some(()));
    // A restart tries nothing again that was tried, and an application that is as it was appends nothing.
    let mut kept = kept;
    let before = (kept.names("cart"), kept.names("broken"), kept.names("hand"));
    kept.world.stop();
    kept.world.start();
    until("it is read again", || {
        (kept.world.get("/api/v1/applications")["sets"][0]["commit"] == json!(commit)).then_some(())
    });
    kept.cluster.edit(&path("cart", "a"), &json!({"data": {"key": "theirs"}}));
    kept.cluster.until_key(&path("cart", "a"), "1");
    until("it is recorded", || (kept.count("cart", "synced") == 3).then_some(()));
    assert_eq!(kept.names("cart").len(), before.0.len() + 3, "{:?}", kept.names("cart"));
    assert_eq!((kept.names("broken"), kept.names("hand")), (before.1, before.2));

    put_right(&kept);
    flies_only_where_it_says_what_is_deployed(&kept);
    kept.world.end();
}

/// A repository of applications opens flights only for commits that say what is deployed from it.
fn flies_only_where_it_says_what_is_deployed(kept: &Kept) {
    assert_eq!(kept.world.get("/api/v1/flights"), json!([]));
    kept.repository.write("prograde.yaml", "version: 1\n");
    let commit = kept.push();
    until("a flight is opened", || (kept.world.get("/api/v1/flights")[0]["commit"] == json!(commit)).then_some(()));
}

/// What was broken is put right: that is another revision.
fn put_right(kept: &Kept) {
    kept.write("broken", &config("a", "1"));
    kept.push();
    kept.cluster.until_key(&path("broken", "a"), "1");
    kept.until_is("broken", "synced");
    let said = kept.world.cli(&["app", "status"]);
    assert!(said.code == 1 && said.stdout.contains("kubectl-edit"), "{said:?}");
}

#[test]
fn a_sync_that_is_broken_off_is_gone_on_with_and_a_newer_revision_takes_its_place() {
    let Some(mut kept) = Kept::new("") else { return };
    kept.declare("stuck", AUTO);
    let deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: registry.example/c}]}\n";
    kept.write("stuck", &(config("a", "1") + deployment));
    kept.push();
    kept.cluster.until_key(&path("stuck", "a"), "1");
    kept.until_is("stuck", "syncing");
    for times in 1..=2 {
        kept.world.kill();
        kept.world.start();
        let resumed = |(name, data): &(String, Value)| name == "sync_started" && data["because"] == "resumed";
        until("it is gone on with", || {
            (kept.facts("stuck").into_iter().filter(resumed).count() == times).then_some(())
        });
    }
    assert_eq!(kept.count("stuck", "synced") + kept.count("stuck", "sync_failed"), 0);

    // The sync waits for a deployment that nobody carries out, for an hour.
    kept.write("stuck", &(config("a", "2") + deployment));
    kept.push();
    kept.cluster.until_key(&path("stuck", "a"), "2");
    kept.write("stuck", &config("a", "3"));
    kept.push();
    kept.cluster.until_key(&path("stuck", "a"), "3");
    kept.until_is("stuck", "synced");

    // Back to what was synchronised before: the sync between the two has left something else.
    kept.write("stuck", &(config("a", "4") + deployment));
    kept.push();
    kept.cluster.until_key(&path("stuck", "a"), "4");
    kept.write("stuck", &config("a", "3"));
    kept.push();
    kept.cluster.until_key(&path("stuck", "a"), "3");
    kept.until_is("stuck", "synced");
    kept.world.end();
}

#[test]
fn what_policies_refuse_is_not_synchronised() {
    let Some(kept) = Kept::new("") else { return };
    kept.declare("cart", AUTO);
    let on_host = "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      hostNetwork: true\n      containers:\n      - {name: c, image: registry.example/c}\n";
    kept.write("cart", &config("a", "1"));
    kept.push();
    kept.until_is("cart", "synced");
    kept.write("cart", &(config("a", "2") + on_host));
    kept.push();
    let why = kept.until_is("cart", "unusable")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("PG1106") && why.contains("cart/objects.yaml:") && why.contains("hostNetwork"), "{why}");
    assert_eq!(kept.cluster.get(&path("cart", "a")).unwrap()["data"]["key"], "1");

    // In a set that only tells, it is synchronised and logged.
    let file = kept.world.dir().join("applications.yaml");
    let audited = fs::read_to_string(&file).unwrap().replace("timeout: 1h", "timeout: 1h, policies: audit");
    fs::write(&file, audited).unwrap();
    processes::signal(kept.world.pid(), Signal::HUP);
    kept.cluster.until_key(&path("cart", "a"), "2");
    until("it is logged", || kept.world.log().contains("hostNetwork is true").then_some(()));
    kept.world.end();
}

/// A flight's deployment commit is what an application says: so a cluster gets each release, and a rollback as well. Policies
/// know that the server has signed its image, and that nobody has signed another.
#[test]
fn releases_of_flights_come_to_a_cluster_and_go_back() {
    let signed = crate::evidence::policy("{ prograde.dev/signed-by: '?*', prograde.dev/scan: passed }");
    let Some(kept) = Kept::with_policy("", Some(&signed)) else { return };
    kept.declare("strange", AUTO);
    kept.write("strange", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}, annotations: {prograde.dev/signed-by: me, prograde.dev/scan: passed}}\n    spec: {containers: [{name: c, image: registry.example/c}]}\n");
    let application = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: echo, namespace: argocd}}\nspec:\n  project: default\n  \
         source: {{repoURL: '{}/git/deployments.git', path: production/echo, kustomize: {{images: ['echo=registry.example/team/echo']}}}}\n  \
         destination: {{server: 'https://kubernetes.default.svc', namespace: shop}}\n  \
         syncPolicy: {{automated: {{selfHeal: true, prune: true}}, syncOptions: [CreateNamespace=true]}}\n",
        kept.world.url()
    );
    kept.repository.write("argocd/echo.yaml", &application);
    kept.push();
    until("it waits for a release", || kept.view("echo").filter(|view| view["sync"] == "unusable").map(drop));
    let why = kept.until_is("strange", "unusable")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("Something is missing") && why.contains("strange/objects.yaml"), "{why}");
    let service = Repository::create(&kept.world, "echo");
    service.enter_at_once();
    let runs = |flight: &Value| {
        let image = format!("registry.example/team/echo@{}", flight["digest"].as_str().unwrap());
        until("the cluster has it", || {
            let deployment = kept.cluster.get("/apis/apps/v1/namespaces/shop/deployments/echo")?;
            (deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image.as_str()).then_some(())
        });
    };
    let first = kept.world.ended(&service.push("greeting=first", "Serve"), "landed");
    runs(&first);
    let second = kept.world.ended(&service.push("greeting=second", "Serve something else"), "landed");
    runs(&second);
    let said = kept.world.cli(&["rollback", "echo", "-e", "production", "--reason", "It is wrong", "--by", "ann"]);
    assert_eq!(said.code, 0, "{said:?}");
    runs(&first);
    kept.world.end();
}

#[test]
fn the_cluster_goes_away_and_comes_back() {
    let more = "- { name: elsewhere, repository: platform, path: other, kubeconfig: away.yaml }\n";
    let dir = tempfile::tempdir().unwrap();
    let away = dir.path().join("away.yaml");
    let nobody = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: a, user: {token: t}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n";
    fs::write(&away, nobody).unwrap();
    let Some(kept) = Kept::new(&more.replace("away.yaml", &away.display().to_string())) else { return };
    kept.declare("cart", AUTO);
    kept.write("cart", &config("a", "1"));
    kept.declare("far", AUTO);
    kept.write("far", &config("a", "1"));
    fs::create_dir_all(kept.repository.path("other")).unwrap();
    fs::rename(kept.repository.path("argocd/far.yaml"), kept.repository.path("other/far.yaml")).unwrap();
    kept.push();
    // One set's cluster delays no other set's.
    kept.cluster.until_key(&path("cart", "a"), "1");
    kept.until_is("cart", "synced");
    let sets = || kept.world.get("/api/v1/applications")["sets"].clone();
    until("the other is told", || {
        sets()[1]["trouble"].as_str().filter(|told| told.contains("does not answer")).map(drop)
    });
    assert_eq!(kept.names("far"), Vec::<String>::new());

    kept.cluster.server.stop();
    kept.write("cart", &config("a", "2"));
    kept.push();
    until("it is told", || kept.trouble().as_str().filter(|told| told.contains("does not answer")).map(drop));
    assert_eq!(kept.count("cart", "sync_failed"), 0);
    let said = kept.world.cli(&["app", "status", "main"]);
    assert!(said.code == 1 && said.stderr.contains("does not answer"), "{said:?}");
    kept.cluster.again();
    kept.cluster.until_key(&path("cart", "a"), "2");
    kept.until_is("cart", "synced");
    until("nothing is wrong any more", || kept.trouble().is_null().then_some(()));
    kept.world.end();
}

#[test]
fn what_would_be_deleted_waits_for_a_person() {
    let Some(kept) = Kept::new("") else { return };
    kept.declare("cart", AUTO);
    kept.write("cart", &["a", "b", "c"].map(|name| config(name, "1")).concat());
    kept.push();
    kept.until_is("cart", "synced");
    kept.write("cart", &config("d", "1"));
    kept.push();
    let view = kept.until_is("cart", "held");
    assert_eq!(view["held"].as_array().unwrap().len(), 4, "{view}");
    assert!(kept.cluster.get(&path("cart", "a")).is_some());
    let said = kept.world.cli(&["app", "sync", "--set", "main", "--app", "cart", "--by", "ann"]);
    assert!(said.code == 1 && said.stderr.contains("PG1373"), "{said:?}");
    let said = kept.world.cli(&["app", "sync", "--set", "main", "--app", "cart", "--confirm-prune", "--by", "ann"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(kept.cluster.get(&path("cart", "a")).is_none());
    let facts = kept.facts("cart");
    let ordered = |(name, data): &&(String, Value)| name == "sync_ordered" && data["confirm_prune"] == true;
    assert_eq!(facts.iter().filter(ordered).count(), 1, "{facts:?}");
    kept.world.end();
}

#[test]
fn what_can_not_be_read_is_kept_as_it_was_and_what_is_gone_is_let_go() {
    let Some(mut kept) = Kept::new("") else { return };
    for application in ["cart", "gone", "odd"] {
        kept.declare(application, AUTO);
        kept.write(application, &config("a", "1"));
    }
    kept.push();
    for application in ["cart", "gone", "odd"] {
        kept.until_is(application, "synced");
    }

    kept.write("cart", "apiVersion: v1\nkind: ConfigMap\nmetadata: [\n");
    kept.repository.edit("argocd/odd.yaml", "path: odd}", "path: odd, targetRevision: v1}");
    kept.push();
    let view = kept.until_is("cart", "unusable");
    assert!(view["why"].as_str().unwrap().contains("cart/objects.yaml:"), "{view}");
    let view = kept.until_is("odd", "unusable");
    assert!(
        view["why"].as_str().unwrap().contains("argocd/odd.yaml:1") && view["why"].as_str().unwrap().contains("PG1387"),
        "{view}"
    );
    kept.cluster.edit(&path("cart", "a"), &json!({"data": {"key": "theirs"}}));
    kept.cluster.until_key(&path("cart", "a"), "1");

    // A file that is broken as a whole may be why others are not there.
    kept.repository.write("argocd/gone.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: [\n");
    kept.push();
    until("it is told", || kept.trouble().as_str().filter(|told| told.contains("argocd/gone.yaml")).map(drop));
    kept.cluster.edit(&path("gone", "a"), &json!({"data": {"key": "theirs"}}));
    kept.cluster.until_key(&path("gone", "a"), "1");

    // A server that starts meanwhile keeps all three as they were, too.
    kept.world.kill();
    kept.world.start();
    for application in ["cart", "gone", "odd"] {
        kept.cluster.edit(&path(application, "a"), &json!({"data": {"key": "theirs"}}));
        kept.cluster.until_key(&path(application, "a"), "1");
    }
    assert_eq!(kept.view("cart").unwrap()["sync"], "unusable");
    assert_eq!(kept.view("gone").unwrap()["automated"], true);

    kept.repository.remove("argocd/gone.yaml");
    kept.write("cart", &config("a", "2"));
    kept.repository.edit("argocd/odd.yaml", ", targetRevision: v1}", "}");
    kept.push();
    kept.cluster.until_key(&path("cart", "a"), "2");
    until("it is let go", || kept.view("gone").is_none().then_some(()));
    assert_eq!(kept.names("gone").last().map(String::as_str), Some("released"));
    assert!(kept.cluster.get(&path("gone", "a")).is_some());

    // The file of sets is read again: one that can't be used changes nothing.
    fs::write(kept.world.dir().join("applications.yaml"), "version: 1\napplications: [{}]\n").unwrap();
    processes::signal(kept.world.pid(), Signal::HUP);
    until("it is told", || kept.world.log().contains("applications.yaml:2").then_some(()));
    kept.cluster.edit(&path("cart", "a"), &json!({"data": {"key": "theirs"}}));
    kept.cluster.until_key(&path("cart", "a"), "2");
    fs::write(kept.world.dir().join("applications.yaml"), "version: 1\napplications: []\n").unwrap();
    processes::signal(kept.world.pid(), Signal::HUP);
    until("the set is gone", || {
        kept.world.get("/api/v1/applications")["sets"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(kept.names("cart").last().map(String::as_str), Some("released"));
    kept.world.end();
}

impl Kept {
    /// An application whose objects go with it.
    fn declare_ending(&self, application: &str) {
        self.declare_ending_by(application, AUTO);
    }

    fn declare_ending_by(&self, application: &str, policy: &str) {
        self.declare(application, policy);
        let named = "namespace: argocd}";
        let ends = "namespace: argocd, finalizers: [resources-finalizer.argocd.argoproj.io]}";
        self.repository.edit(&format!("argocd/{application}.yaml"), named, ends);
    }

    #[track_caller]
    fn until_gone(&self, application: &str, last: &str) {
        until(&format!("{application} is gone"), || self.view(application).is_none().then_some(()));
        assert_eq!(self.names(application).last().map(String::as_str), Some(last));
    }

    fn hold(&self, path: &str, is_held: bool) {
        let holders = if is_held { json!(["example.org/hold"]) } else { Value::Null };
        self.cluster.edit(path, &json!({"metadata": {"finalizers": holders}}));
    }
}

#[test]
fn what_git_names_no_longer_is_deleted_where_its_files_say_so() {
    let Some(mut kept) = Kept::new("") else { return };
    for application in ["cart", "moved", "asks", "left", "back"] {
        kept.declare_ending(application);
        kept.write(application, &config("a", "1"));
    }
    kept.declare("stays", AUTO);
    kept.write("stays", &config("a", "1"));
    let hook = config("saved", "1").replace("saved}", "saved, annotations: {argocd.argoproj.io/hook: PreDelete}}");
    kept.write("cart", &(config("a", "1") + &hook));
    let asks = config("b", "1").replace("b}", "b, annotations: {argocd.argoproj.io/sync-options: Delete=confirm}}");
    kept.write("asks", &(config("a", "1") + &asks));
    kept.push();
    for application in ["cart", "moved", "asks", "left", "back", "stays"] {
        kept.until_is(application, "synced");
    }
    assert!(kept.cluster.get(&path("cart", "saved")).is_none());

    // Something holds an object while the server is killed: the deletion is gone on with from what Git said before.
    kept.hold(&path("cart", "a"), true);
    kept.repository.remove("argocd/cart.yaml");
    kept.repository.remove("argocd/stays.yaml");
    kept.push();
    until("it is being deleted", || {
        let object = kept.cluster.get(&path("cart", "a"))?;
        object["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    assert!(kept.cluster.get(&path("cart", "saved")).is_some(), "the hook ran first");
    kept.until_gone("stays", "released");
    assert!(kept.cluster.get(&path("stays", "a")).is_some());
    kept.world.kill();
    kept.world.start();
    kept.until_is("cart", "syncing");
    kept.hold(&path("cart", "a"), false);
    kept.until_gone("cart", "deleted");
    assert!(kept.cluster.get(&path("cart", "a")).is_none());

    goes_by_order(&kept);
    takes_over_without_a_gap(&kept);
    waits_for_a_person_with_all_of_it(&kept);
    kept.world.end();
}

/// An application by another name takes over what the old one had, and nothing of it is deleted in between.
fn takes_over_without_a_gap(kept: &Kept) {
    let before = kept.cluster.get(&path("moved", "a")).unwrap();
    kept.declare_ending("moved");
    let file = kept.repository.path("argocd/moved.yaml");
    let text = fs::read_to_string(&file).unwrap().replace("name: moved", "name: renamed");
    kept.repository.remove("argocd/moved.yaml");
    kept.repository.write("argocd/renamed.yaml", &text);
    kept.push();
    kept.until_gone("moved", "deleted");
    kept.until_is("renamed", "synced");
    let after = kept.cluster.get(&path("moved", "a")).unwrap();
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    let owner = &after["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"];
    assert_eq!(*owner, "renamed:/ConfigMap:moved/a");
}

/// What does not follow Git by itself goes by order alone.
fn goes_by_order(kept: &Kept) {
    kept.declare_ending_by("hand", "");
    kept.write("hand", &config("a", "1"));
    kept.push();
    kept.until_is("hand", "differs");
    let order = || kept.world.cli(&["app", "sync", "--set", "main", "--app", "hand", "--by", "ann"]);
    assert_eq!(order().code, 0);
    kept.repository.remove("argocd/hand.yaml");
    kept.push();
    let view = kept.until_is("hand", "leaving");
    assert!(view["why"].as_str().unwrap().contains("once a sync is ordered"), "{view}");
    assert!(kept.cluster.get(&path("hand", "a")).is_some());
    let said = order();
    assert!(said.code == 0 && said.stderr.contains("Gone"), "{said:?}");
    kept.until_gone("hand", "deleted");
    assert!(kept.cluster.get(&path("hand", "a")).is_none());
}

/// Neither does half of an application go, nor most of a set.
fn waits_for_a_person_with_all_of_it(kept: &Kept) {
    kept.repository.remove("argocd/asks.yaml");
    kept.push();
    let view = kept.until_is("asks", "held");
    assert!(view["why"].as_str().unwrap().contains("asks for a confirmation"), "{view}");
    assert!(kept.cluster.get(&path("asks", "a")).is_some());
    let confirm = |application: &str| {
        let arguments = ["app", "sync", "--set", "main", "--app", application, "--confirm-prune", "--by", "ann"];
        kept.world.cli(&arguments)
    };
    // A file that is broken may be why it is not there: not even an order deletes it meanwhile.
    kept.repository.write("argocd/broken.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: [\n");
    kept.push();
    until("it is told", || kept.trouble().as_str().filter(|told| told.contains("argocd/broken.yaml")).map(drop));
    let hurried =
        ["app", "sync", "--set", "main", "--app", "asks", "--confirm-prune", "--by", "ann", "--timeout", "2s"];
    let said = kept.world.cli(&hurried);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(kept.cluster.get(&path("asks", "a")).is_some());
    kept.repository.remove("argocd/broken.yaml");
    kept.push();
    kept.until_gone("asks", "deleted");
    assert!(kept.cluster.get(&path("asks", "a")).is_none());

    kept.declare("other", AUTO);
    kept.write("other", &config("a", "1"));
    for application in ["left", "back", "renamed"] {
        kept.repository.remove(&format!("argocd/{application}.yaml"));
    }
    kept.push();
    for application in ["left", "back", "renamed"] {
        let view = kept.until_is(application, "held");
        assert!(view["why"].as_str().unwrap().contains("more than half"), "{view}");
    }
    // One that is named again stays, also where it can't be used as it is written.
    kept.declare_ending("back");
    kept.repository.edit("argocd/back.yaml", "path: back}", "path: back, targetRevision: v1}");
    kept.push();
    kept.until_is("back", "unusable");
    kept.repository.edit("argocd/back.yaml", ", targetRevision: v1}", "}");
    kept.push();
    kept.until_is("back", "synced");
    assert!(kept.names("back").contains(&"returned".to_owned()));
    assert_eq!(confirm("left").code, 0);
    kept.until_gone("left", "deleted");
    for (application, is_there) in [("left", false), ("back", true), ("moved", true)] {
        assert_eq!(kept.cluster.get(&path(application, "a")).is_some(), is_there, "{application}");
    }
}

/// An application that moves to another set of its repository and cluster is handed over: nothing of it is deleted.
#[test]
fn what_another_set_keeps_is_not_deleted() {
    let more = "- { name: second, repository: platform, path: others, kubeconfig: KUBECONFIG }\n";
    let Some(kept) = Kept::new(more) else { return };
    for application in ["moves", "first", "second"] {
        kept.declare_ending(application);
        kept.write(application, &config("a", "1"));
    }
    let to_second = |application: &str| {
        fs::create_dir_all(kept.repository.path("others")).unwrap();
        let [from, to] = ["argocd", "others"].map(|set| kept.repository.path(&format!("{set}/{application}.yaml")));
        fs::rename(from, to).unwrap();
    };
    to_second("second");
    kept.push();
    for application in ["moves", "first", "second"] {
        kept.until_is(application, "synced");
    }
    let uid = || kept.cluster.get(&path("moves", "a")).unwrap()["metadata"]["uid"].clone();
    let before = uid();
    to_second("moves");
    kept.push();
    until("the other set keeps it", || {
        kept.view("moves").filter(|view| view["set"] == "second" && view["sync"] == "synced").map(drop)
    });
    assert_eq!(before, uid());
    let names = kept.names("moves");
    assert!(names.contains(&"released".to_owned()) && !names.contains(&"leaving".to_owned()), "{names:?}");

    // Nobody took out of Git what a set names no longer because it is another folder now.
    kept.declare_ending("third");
    kept.write("third", &config("a", "1"));
    fs::create_dir_all(kept.repository.path("moved")).unwrap();
    fs::rename(kept.repository.path("argocd/third.yaml"), kept.repository.path("moved/third.yaml")).unwrap();
    kept.push();
    let file = kept.world.dir().join("applications.yaml");
    let moved = fs::read_to_string(&file).unwrap().replace("path: argocd", "path: moved");
    fs::write(&file, moved).unwrap();
    processes::signal(kept.world.pid(), Signal::HUP);
    kept.until_is("third", "synced");
    kept.until_gone("first", "released");
    assert!(kept.cluster.get(&path("first", "a")).is_some());
    kept.world.end();
}

#[test]
fn bases_and_charts_are_fetched_meanwhile_and_hold_nobody_up() {
    let Some(helm) = beside::helm() else { return };
    let mut host = World::new();
    let bases = format!(
        "version: 1\nbases:\n- {{ url: '{}/git/', user: prograde, token_file: host.token }}\n- {{ url: 'http://127.0.0.1:9' }}\n",
        host.url()
    );
    let files = [("upstreams.yaml", bases.as_str()), ("host.token", host.token())];
    let Some(kept) = Kept::with_files("", &files, &["--upstreams", "upstreams.yaml", &helm]) else { return };
    let (hello, welcome) = (beside::shared(&host, "hello"), beside::shared(&host, "welcome"));
    let use_base = |application: &str, base: &str| {
        let text = format!("resources: ['{base}']\nconfigMapGenerator: [{{name: own, literals: [a=b]}}]\n");
        kept.repository.write(&format!("{application}/kustomization.yaml"), &text);
    };
    let greets = |greeting: &str| {
        let path = path("shop", "shared");
        until(greeting, || (kept.cluster.get(&path)?["data"]["greeting"] == greeting).then_some(()));
    };
    for application in ["shop", "away", "cook", "plain"] {
        kept.declare(application, AUTO);
    }
    use_base("shop", &hello);
    use_base("away", &format!("http://127.0.0.1:9/team/shared.git//base?ref={}", "1".repeat(40)));
    kept.write("plain", &config("a", "1"));
    kept.repository.write("cook/Chart.yaml", "apiVersion: v2\nname: cook\nversion: 1.0.0\n");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: '{{ .Release.Name }}'}\n";
    kept.repository.write("cook/templates/a.yaml", template);
    kept.push();
    kept.cluster.until_key(&path("plain", "a"), "1");
    kept.cluster.until_key(&path("cook", "a"), "cook");
    greets("hello");
    kept.until_is("shop", "synced");
    let view = until("it is told why", || {
        kept.view("away").filter(|view| view["why"].as_str().is_some_and(|why| why.contains("could not fetch")))
    });
    assert_eq!(view["sync"], "unusable", "{view}");

    // What cannot be had keeps what was there, and comes once its host is back.
    host.kill();
    use_base("shop", &welcome);
    kept.write("plain", &config("a", "2"));
    kept.push();
    kept.cluster.until_key(&path("plain", "a"), "2");
    kept.until_is("shop", "unusable");
    greets("hello");
    host.start();
    greets("welcome");
    kept.until_is("shop", "synced");
    kept.world.end();
    host.end();
}

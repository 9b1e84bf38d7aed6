//! What manifests are rendered from beside their own files: bases of other repositories, and charts. What is committed is what
//! they became, so that nothing of it is asked for again.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::world::peer::left_out;
use crate::world::repository::{Desk, Repository};
use crate::world::wait::until;
use crate::world::{World, text};

const OVERLAY: &str = "deploy/overlays/production/kustomization.yaml";

/// A base with an object of this greeting, pushed to a host; its address, pinned.
pub(crate) fn shared(host: &World, greeting: &str) -> String {
    let is_there = host.data().join("repos/shared.git").exists();
    let repository = if is_there { Repository::again(host, "shared") } else { Repository::create(host, "shared") };
    if !is_there {
        repository.remove("prograde.yaml");
    }
    let object =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shared}}\ndata: {{greeting: {greeting}}}\n");
    repository.write("base/shared.yaml", &object);
    repository.write("base/kustomization.yaml", "resources: [shared.yaml]\n");
    let commit = repository.commit(&format!("Greet with {greeting}"));
    repository.send();
    format!("{}/git/shared.git//base?ref={commit}", host.url())
}

/// Lets the release for production have another base.
fn use_base(repository: &Repository, base: &str) {
    let own = "namespace: web\nresources: [../../base, ";
    repository.write(OVERLAY, &format!("{own}'{base}']\npatches: [{{path: deployment.yaml}}]\n"));
}

fn committed(world: &World, path: &str) -> String {
    fs::read_to_string(Desk::open(world).path(path)).unwrap_or_default()
}

/// What is told of a flight that ended before it was let in.
fn refused(world: &World, commit: &str) -> String {
    let flight = world.ended(commit, "refused");
    world.cli(&["flight", "show", &text(&flight, "id")[..8]]).stdout
}

#[test]
fn bases_of_other_repositories_are_fetched_once_and_committed() {
    let mut host = World::new();
    let file =
        format!("version: 1\nbases:\n- {{ url: '{}/git/', user: prograde, token_file: host.token }}\n", host.url());
    let files = [("upstreams.yaml", file.as_str()), ("host.token", host.token())];
    let world = World::with_files(&files, &["--upstreams", "upstreams.yaml"]);
    let (hello, welcome) = (shared(&host, "hello"), shared(&host, "welcome"));

    let repository = Repository::create(&world, "echo");
    repository.enter_at_once();
    use_base(&repository, &hello);
    let first = repository.push("greeting=first", "Share");
    world.ended(&first, "landed");
    let path = "production/echo/objects/v1_configmap_shared.yaml";
    let object = committed(&world, path);
    assert!(object.contains("greeting: hello") && object.contains("namespace: web"), "{object}");

    // The host is away: what is here goes on, what is not waits for it.
    host.kill();
    let second = repository.push("greeting=second", "Share the same");
    world.ended(&second, "landed");
    use_base(&repository, &welcome);
    let third = repository.push("greeting=third", "Share more");
    until("the host is missed", || world.log().contains("can't be had: could not fetch the commit").then_some(()));
    let flight = world.flight_of(&third);
    assert_eq!(flight["outcome"], Value::Null);
    let shown = world.cli(&["flight", "show", &text(&flight, "id")[..8]]).stdout;
    assert!(shown.contains("tried again since") && shown.contains("can't be had"), "{shown}");
    host.start();
    world.ended(&third, "landed");
    assert!(committed(&world, path).contains("greeting: welcome"));

    // Nothing else is asked, and nothing that may change.
    let commit = &hello[hello.len() - 40..];
    for (base, said) in [
        (format!("http://127.0.0.1:1/git/shared.git//base?ref={commit}"), "no entry of `bases`"),
        (hello.replace("/git/", "/git/../"), "no entry of `bases`"),
        (hello.replace(commit, "main"), "is not pinned to a commit"),
        (hello.replace(commit, &"0".repeat(40)), "could not fetch the commit"),
    ] {
        use_base(&repository, &base);
        let commit = repository.push("greeting=fourth", &format!("Ask for {base}"));
        let told = refused(&world, &commit);
        assert!(told.contains(said) && told.contains(&format!("{OVERLAY}:2:")), "{base}: {told}");
    }
    // A base in a repository of this server needs no entry.
    use_base(&repository, &shared(&world, "own"));
    let last = repository.push("greeting=fifth", "Share our own");
    world.ended(&last, "landed");
    assert!(committed(&world, path).contains("greeting: own"));
    world.end();
    host.end();
}

/// The argument that lets the real Helm run; none where it was left out, which is a failure in CI.
pub(crate) fn helm() -> Option<String> {
    let helm = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/helm/helm"));
    let Ok(helm) = helm else {
        assert!(std::env::var_os("CI").is_none(), "Helm is missing: `scripts/test-peers.sh helm`");
        left_out("helm");
        return None;
    };
    Some(format!("--helm={}", helm.display()))
}

/// A service whose settings for production are a chart's.
fn with_chart(repository: &Repository, data: &str) {
    repository.write("deploy/overlays/production/charts/set/Chart.yaml", "apiVersion: v2\nname: set\nversion: 1.0.0\n");
    repository.write("deploy/overlays/production/charts/set/values.yaml", "level: info\n");
    let template = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: '{{{{ .Release.Name }}}}-set'}}\ndata: {{level: '{data}'}}\n"
    );
    repository.write("deploy/overlays/production/charts/set/templates/set.yaml", &template);
    let chart = "helmCharts: [{name: set, releaseName: echo, valuesInline: {level: debug}}]\n";
    repository.write(OVERLAY, &format!("resources: [../../base]\npatches: [{{path: deployment.yaml}}]\n{chart}"));
}

#[test]
fn charts_are_rendered_where_helm_may_run_and_committed() {
    let Some(helm) = helm() else { return };
    let world = World::with_files(&[], &[&helm]);
    let repository = Repository::create(&world, "echo");
    repository.enter_at_once();
    with_chart(&repository, "{{ .Values.level }}");
    let first = repository.push("greeting=first", "Set");
    world.ended(&first, "landed");
    let object = committed(&world, "production/echo/objects/v1_configmap_echo-set.yaml");
    assert!(object.contains("level: debug"), "{object}");
    // What is another thing each time can't be looked at before it is deployed.
    with_chart(&repository, "{{ randAlphaNum 12 }}");
    let second = repository.push("greeting=second", "Draw");
    let told = refused(&world, &second);
    assert!(told.contains("PG1002") && told.contains("each time"), "{told}");
    world.end();

    // A chart whose host is away is waited for, and it is told why.
    let file = ("upstreams.yaml", "version: 1\ncharts: ['http://127.0.0.1:9/']\n");
    let world = World::with_files(&[file], &["--upstreams", "upstreams.yaml", &helm]);
    let repository = Repository::create(&world, "echo");
    let chart = "helmCharts: [{name: web, repo: 'http://127.0.0.1:9/', version: 1.0.0, releaseName: web}]\n";
    repository.write(OVERLAY, &format!("resources: [../../base]\npatches: [{{path: deployment.yaml}}]\n{chart}"));
    let commit = repository.push("greeting=first", "Take a chart");
    let flight = until("it is told", || {
        Some(world.flight_of(&commit)).filter(|flight| text(flight, "detail").contains("connection refused"))
    });
    assert_eq!((&flight["outcome"], &flight["stage"]), (&Value::Null, &Value::from("reading")), "{flight}");
    world.end();

    let world = World::new();
    let repository = Repository::create(&world, "echo");
    with_chart(&repository, "x");
    let told = refused(&world, &repository.push("greeting=first", "Set"));
    assert!(told.contains("PG1002") && told.contains("--helm"), "{told}");
    world.end();
}

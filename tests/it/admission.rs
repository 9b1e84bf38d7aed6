//! A real API server (`scripts/test-peers.sh apiserver`) asks the server about objects before it keeps them, as
//! `prograde policy webhook` says it.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::applications::peer;
use crate::world::wait::until;
use crate::world::{World, processes, said};

const PODS: &str = "/api/v1/namespaces/default/pods";
const POLICIES: &str = "policies.yaml";
/// What holds in the first part.
const RULES: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: named
  annotations: { pod-policies.kyverno.io/autogen-controllers: none, prograde.dev/comply: name the team that owns it }
spec:
  rules:
    - name: team
      match: { any: [{ resources: { kinds: [Pod] } }] }
      exclude: { any: [{ resources: { namespaceSelector: { matchLabels: { teams: none } } } }] }
      validate:
        failureAction: Enforce
        message: "the label team is missing"
        pattern: { metadata: { labels: { team: "?*" } } }
    - name: owner
      match: { any: [{ resources: { kinds: [Pod] } }] }
      validate: { failureAction: Audit, message: "the label owner is missing", pattern: { metadata: { labels: { owner: "?*" } } } }
    - name: marked
      match: { any: [{ resources: { kinds: [Pod] } }] }
      mutate: { patchStrategicMerge: { metadata: { labels: { seen: "yes" } }, spec: { automountServiceAccountToken: false } } }
    - name: shells
      match: { any: [{ resources: { kinds: [Pod/exec], namespaces: [default] } }] }
      validate: { failureAction: Enforce, message: "nobody opens a shell here", deny: {} }
---
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: { name: old, namespace: default }
spec:
  exceptions: [{ policyName: named, ruleNames: [team] }]
  match: { any: [{ resources: { kinds: [Pod], names: [old-one] } }] }
"#;

/// What the API server answers.
#[derive(Debug)]
struct Said {
    status: u16,
    warnings: Vec<String>,
    body: Value,
}

impl Said {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// A cluster that asks a server.
struct Asking {
    runtime: Runtime,
    cluster: peer::Server,
    world: World,
    webhook: String,
}

/// Makes `ca.crt`, and `NAME.crt` with `NAME.key` that it vouches for, in a folder.
fn certificates(folder: &Path, names: &[&str]) {
    let make = |line: &str, rest: &[&str]| {
        let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        let words = new.split(' ').chain(line.split(' ')).chain(rest.iter().copied());
        let made = Command::new("openssl").args(words).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    make("-keyout ca.key -out ca.crt -subj /CN=authority", &[]);
    for name in names {
        let of = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1"];
        make(&format!("-CA ca.crt -CAkey ca.key -keyout {name}.key -out {name}.crt -subj /CN={name}"), &of);
    }
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// A pod, which takes the machine's network or does not.
fn pod(name: &str, labels: &Value, host_network: bool) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {
        "hostNetwork": host_network, "containers": [{"name": "main", "image": "registry.example/app:1"}]}})
}

fn owned() -> Value {
    json!({"team": "a", "owner": "b"})
}

impl Asking {
    fn new() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let cluster = runtime.block_on(peer::own())?;
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path(), &["tls"]);
        let [ca, cert, key] = ["ca.crt", "tls.crt", "tls.key"].map(|name| read(folder.path(), name));
        let kubeconfig = cluster.kubeconfig("admin").display().to_string();
        let listen = format!("127.0.0.1:{}", prograde_ports::free());
        let listens = ["--admission-listen", &listen, "--admission-cert", "tls.crt", "--admission-key", "tls.key"];
        let knows = ["--admission-kubeconfig", &kubeconfig, "--policies", POLICIES];
        let files = [("ca.crt", ca.as_str()), ("tls.crt", &cert), ("tls.key", &key), (POLICIES, RULES)];
        let world = World::with_files(&files, &[listens.as_slice(), &knows].concat());
        let asking = Self { runtime, cluster, world, webhook: format!("https://{listen}") };
        asking.configure();
        Some(asking)
    }

    /// Tells the cluster what `prograde policy webhook` prints.
    fn configure(&self) {
        let mut command = self.world.command();
        command.current_dir(self.world.dir()).args(["policy", "webhook", "--json", "--url", &self.webhook]);
        let said = said(command.args(["--ca", "ca.crt", "--policies", POLICIES]));
        assert!(said.code == 0, "{said:?}");
        let list: Value = serde_json::from_str(&said.stdout).unwrap();
        for item in list["items"].as_array().unwrap() {
            let plural = format!("{}s", item["kind"].as_str().unwrap().to_lowercase());
            let said = self.post(&format!("/apis/admissionregistration.k8s.io/v1/{plural}"), item);
            assert_eq!(said.status, 201, "{said:?}");
        }
        until("the cluster asks", || {
            let said = self.post(&format!("{PODS}?dryRun=All"), &pod("asked", &owned(), true));
            (said.status == 403).then_some(())
        });
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Said {
        self.runtime.block_on(async {
            let client = self.cluster.client("admin").await.unwrap();
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            let request = http::Request::builder().method(method).uri(path).header("content-type", content);
            let answer = client.send(request.body(kube::client::Body::from(body)).unwrap()).await.unwrap();
            let warnings = answer.headers().get_all("warning").iter();
            let warnings = warnings.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect_bytes().await.unwrap();
            Said { status, warnings, body: serde_json::from_slice(&bytes).unwrap_or_default() }
        })
    }

    fn post(&self, path: &str, body: &Value) -> Said {
        self.send("POST", path, body)
    }
}

#[test]
fn a_cluster_asks_before_it_keeps_anything() {
    let Some(asking) = Asking::new() else { return };
    let refused = asking.post(PODS, &pod("bad", &owned(), true));
    assert_eq!(refused.status, 403);
    let why = refused.message();
    assert!(
        why.contains("admission webhook \"validate.prograde.dev\" denied the request: pod-security-baseline/"),
        "{why}"
    );
    assert!(why.contains("spec.hostNetwork") && why.contains("\n  comply: Change the fields"), "{why}");
    let unnamed = asking.post(PODS, &pod("unnamed", &json!({}), false));
    let why = unnamed.message();
    assert!(why.contains("named/team: the label team is missing") && why.contains("comply: name the team"), "{why}");
    assert!(asking.world.log().contains("CREATE pods default/unnamed by admin: refused by named/team"));

    let good = asking.post(PODS, &pod("good", &owned(), false));
    assert_eq!((good.status, good.warnings.len()), (201, 0), "{good:?}");
    assert_eq!(good.body["metadata"]["labels"]["seen"], "yes", "it was changed");
    assert_eq!(good.body["spec"]["automountServiceAccountToken"], false);
    let told = asking.post(PODS, &pod("told", &json!({"team": "a"}), false));
    assert_eq!(told.status, 201, "{told:?}");
    assert!(told.warnings.iter().any(|text| text.contains("named/owner: the label owner is missing")), "{told:?}");
    let excepted = asking.post(PODS, &pod("old-one", &json!({"owner": "b"}), false));
    assert_eq!(excepted.status, 201, "{excepted:?}");

    // What is there already is asked about when it changes, and let go.
    let taken = json!({"metadata": {"labels": {"team": null}}});
    assert_eq!(asking.send("PATCH", &format!("{PODS}/good"), &taken).status, 403);
    let shell = asking.post(&format!("{PODS}/good/exec?command=sh"), &Value::Null);
    assert!(shell.status == 403 && shell.message().contains("nobody opens a shell here"), "{shell:?}");
    assert_eq!(asking.send("DELETE", &format!("{PODS}/told?gracePeriodSeconds=0"), &Value::Null).status, 200);
    namespaces(&asking);
    reloaded(&asking);
    away(asking);
}

/// A policy that minds the labels of namespaces, which the cluster is asked for, and one that is never asked.
fn namespaces(asking: &Asking) {
    let free =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "free", "labels": {"teams": "none"}}});
    assert_eq!(asking.post("/api/v1/namespaces", &free).status, 201);
    let said = asking.post("/api/v1/namespaces/free/pods", &pod("unnamed", &json!({"owner": "b"}), false));
    assert_eq!(said.status, 201, "{said:?}");
    let said = asking.post("/api/v1/namespaces/kube-system/pods", &pod("own", &json!({}), true));
    assert_eq!(said.status, 201, "{said:?}");
}

/// Policies that are read again hold, and what can't be held to changes nothing.
fn reloaded(asking: &Asking) {
    let file = asking.world.dir().join(POLICIES);
    let again = |text: &str| {
        fs::write(&file, text).unwrap();
        processes::signal(asking.world.pid(), Signal::HUP);
    };
    again(&RULES.replace("team: \"?*\"", "team: \"blue\""));
    until("the new policy holds", || {
        let said = asking.post(&format!("{PODS}?dryRun=All"), &pod("red", &owned(), false));
        (said.status == 403).then_some(())
    });
    again(&RULES.replace("exclude: { any: [{ resources", "exclude: { any: [{ clusterRoles: [admin] }, { resources"));
    until("what can't be held to is told", || asking.world.log().contains("PG1384").then_some(()));
    let said = asking.post(PODS, &pod("red", &owned(), false));
    assert_eq!(said.status, 403, "those before stay in force: {said:?}");
    again(RULES);
    until("the first policies hold", || {
        let said = asking.post(&format!("{PODS}?dryRun=All"), &pod("red", &owned(), false));
        (said.status == 201).then_some(())
    });
}

/// Nothing is let in while nobody answers, and the server goes on where it was.
fn away(mut asking: Asking) {
    asking.world.kill();
    let said = asking.post(PODS, &pod("unasked", &owned(), false));
    assert!(said.status == 500 && said.message().contains("failed calling webhook"), "{said:?}");
    asking.world.start();
    let said = asking.post(PODS, &pod("asked", &owned(), false));
    assert_eq!(said.status, 201, "{said:?}");
    let Asking { world, .. } = asking;
    world.end();
}

#[test]
fn policies_that_nobody_could_hold_to_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["tls"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path(POLICIES), RULES).unwrap();
    let world = World::new();
    let serve = |key: &str| {
        let mut command = world.serve(&folder.path().join("data"), "127.0.0.1:0".parse().unwrap());
        command.args(["--admission-listen", "127.0.0.1:0", "--admission-cert", &path("tls.crt")]);
        said(command.args(["--admission-key", &path(key), "--policies", &path(POLICIES)]))
    };
    let told = serve("tls.key");
    assert!(told.code == 2 && told.stderr.contains("PG1384"), "{told:?}");
    assert!(told.stderr.contains("policies.yaml:11:") && told.stderr.contains("--admission-kubeconfig"), "{told:?}");
    fs::write(path(POLICIES), "").unwrap();
    for (key, why) in
        [("ca.crt", "no private key"), ("ca.key", "can't be used with the key"), ("none", "can't be read")]
    {
        let told = serve(key);
        assert!(told.code == 2 && told.stderr.contains("PG1385") && told.stderr.contains(why), "{told:?}");
    }
}

/// A caller that believes an authority, with a certificate or without.
fn caller(folder: &Path, name: Option<&str>) -> Agent {
    let certificate = |name: &str| Certificate::from_pem(read(folder, name).as_bytes()).unwrap();
    let own = name.map(|name| {
        let key = PrivateKey::from_pem(read(folder, &format!("{name}.key")).as_bytes()).unwrap();
        ClientCert::new_with_certs(&[certificate(&format!("{name}.crt"))], key)
    });
    let roots = RootCerts::new_with_certs(&[certificate("ca.crt")]);
    let tls = TlsConfig::builder().root_certs(roots).client_cert(own).build();
    Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into()
}

#[test]
fn who_may_ask_is_known_and_what_is_asked_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificates(folder, &["tls", "cluster", "next"]);
    let texts = ["ca.crt", "tls.crt", "tls.key"].map(|name| (name, read(folder, name)));
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let listen = format!("127.0.0.1:{}", prograde_ports::free());
    let shown = ["--admission-cert", "tls.crt", "--admission-key", "tls.key", "--admission-client-ca", "ca.crt"];
    let world = World::with_files(&files, &[["--admission-listen", &listen].as_slice(), &shown].concat());
    let url = |path: &str| format!("https://{listen}{path}");
    assert!(caller(folder, None).get(url("/healthz")).call().is_err(), "who shows nothing is not spoken to");
    let cluster = caller(folder, Some("cluster"));
    let ask = |path: &str, content: &str, body: &[u8]| {
        let mut answer = cluster.post(url(path)).content_type(content).send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    assert_eq!(cluster.get(url("/healthz")).call().unwrap().status(), 200);
    assert_eq!(cluster.get(url("/validate")).call().unwrap().status(), 405);
    assert_eq!(ask("/other", "application/json", b"{}").0, 404);
    assert_eq!(ask("/validate", "text/plain", b"{}").0, 415);
    let (status, why) = ask("/validate", "application/json; charset=utf-8", b"{}");
    assert!(status == 400 && why.contains("AdmissionReview of admission.k8s.io/v1"), "{status} {why}");
    assert_eq!(ask("/mutate", "application/json", "[".repeat(1 << 20).as_bytes()).0, 400);
    let large = cluster.post(url("/validate")).content_type("application/json").send(&vec![b' '; 9 << 20]);
    assert!(large.map_or(true, |answer| answer.status() == 413), "it is refused, or the connection was closed");
    let half = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u-1", "operation": "ODD"}});
    let (status, answer) = ask("/validate?timeout=2s", "application/json", half.to_string().as_bytes());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, &answer["response"]["allowed"], &answer["response"]["uid"]),
        (200, &json!(false), &json!("u-1"))
    );

    // Another certificate is shown once it is there, and one that can't be used changes nothing.
    fs::write(world.dir().join("tls.crt"), read(folder, "next.crt")).unwrap();
    processes::signal(world.pid(), Signal::HUP);
    until("what is wrong is told", || world.log().contains("PG1385").then_some(()));
    assert_eq!(caller(folder, Some("cluster")).get(url("/healthz")).call().unwrap().status(), 200);
    fs::write(world.dir().join("tls.key"), read(folder, "next.key")).unwrap();
    until("they are read again", || world.log().contains("certificates for Kubernetes were read again").then_some(()));
    assert_eq!(caller(folder, Some("cluster")).get(url("/healthz")).call().unwrap().status(), 200);
    world.end();
}

//! Helm charts of applications, rendered by the real Helm.
#![cfg(test)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The installed Helm; none where it was left out, which is a failure in CI.
fn helm() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found = fs::canonicalize(root.join("target/peers/helm/helm")).ok();
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "Helm is missing: `scripts/test-peers.sh helm`");
        eprintln!("left out: Helm is missing: `scripts/test-peers.sh helm`");
    }
    found
}

fn write(place: &Path, path: &str, text: &str) {
    let path = place.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A repository with a chart in it.
fn repository() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), ".git/HEAD", "ref: refs/heads/main");
    write(place.path(), "charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\n");
    write(place.path(), "charts/web/values.yaml", "one: chart\ntwo: chart\nthree: chart\nfour: chart\nlist: []\n");
    write(place.path(), "charts/web/more.yaml", "two: file\nthree: file\nfour: file\n");
    write(place.path(), "charts/web/text.txt", "of a file");
    write(
        place.path(),
        "charts/web/crds/crd.yaml",
        "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.example.org}}",
    );
    write(
        place.path(),
        "charts/web/templates/config.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
data:
  values: {{ list .Values.one .Values.two .Values.three .Values.four | join \",\" | quote }}
  list: {{ .Values.list | join \"+\" | quote }}
  text: {{ .Values.text | default \"none\" | quote }}
  kube: {{ .Capabilities.KubeVersion.Version | quote }}
",
    );
    place
}

fn application(place: &Path, source: &str) {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: shop, namespace: argocd}}
spec:
  project: default
  destination: {{server: https://kubernetes.default.svc, namespace: shop}}
  source: {source}
"
    );
    write(place, "argocd/shop.yaml", &text);
}

const OWN: &str = "{repoURL: 'https://git.example.org/team/shop', path: charts/web, targetRevision: main";

/// The objects, or what is said instead.
fn render(place: &Path, flag: &str) -> Result<Vec<Value>, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
    command.args(["app", "render", "shop", "argocd", "--json", flag]).current_dir(place).env_clear().env("HOME", place);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if ran.status.success() { Ok(serde_json::from_slice(&ran.stdout).unwrap()) } else { Err(said) }
}

fn config(objects: &[Value]) -> &Value {
    objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap()
}

#[test]
fn values_come_in_the_order_that_argo_cd_has() {
    let Some(helm) = helm() else { return };
    let flag = format!("--helm={}", helm.display());
    let repository = repository();
    let place = repository.path();
    application(
        place,
        &format!(
            "{OWN}, helm: {{releaseName: till, valueFiles: [more.yaml], valuesObject: {{three: object, four: object}}, kubeVersion: 1.33.0,
    parameters: [{{name: four, value: 'a,b'}}, {{name: list, value: '{{x,y}}'}}], fileParameters: [{{name: text, path: text.txt}}]}}}}"
        ),
    );
    let objects = render(place, &flag).unwrap();
    let config = config(&objects);
    assert_eq!((&config["metadata"]["name"], &config["metadata"]["namespace"]), (&"till".into(), &"shop".into()));
    assert_eq!(config["data"]["values"], "chart,file,object,a,b");
    assert_eq!((&config["data"]["list"], &config["data"]["text"]), (&"x+y".into(), &"of a file".into()));
    assert_eq!(config["data"]["kube"], "v1.33.0");
    assert_eq!(objects.len(), 2, "with its definitions");
    application(place, &format!("{OWN}, helm: {{skipCrds: true}}}}"));
    let objects = render(place, &flag).unwrap();
    assert_eq!((objects.len(), &objects[0]["metadata"]["name"]), (1, &"shop".into()));
}

#[test]
fn what_can_not_be_rendered_says_why() {
    let Some(helm) = helm() else { return };
    let flag = format!("--helm={}", helm.display());
    let repository = repository();
    let place = repository.path();
    let refused = |source: &str, flag: &str, why: &str| {
        application(place, source);
        let said = render(place, flag).unwrap_err();
        assert!(said.contains(why) && said.contains("argocd/shop.yaml"), "{said}");
    };
    let own = format!("{OWN}}}");
    refused(&own, "--offline", "--helm");
    refused(&own, "--helm=/nowhere/helm", "install Helm 3");
    let with = |helm: &str| format!("{OWN}, helm: {{{helm}}}}}");
    refused(&with("valueFiles: [../../../outside.yaml]"), &flag, "leaves the repository");
    refused(&with("valueFiles: ['https://example.org/values.yaml']"), &flag, "another machine");
    refused(&with("valueFiles: [missing.yaml]"), &flag, "missing.yaml");
    refused(&with("releaseName: --post-renderer=/bin/true"), &flag, "no release's name");
    refused(&with("passCredentials: true"), &flag, "can't be had");
    write(place, "charts/web/templates/bad.yaml", "{{ fail \"not like this\" }}");
    refused(&own, &flag, "not like this");
    fs::remove_file(place.join("charts/web/templates/bad.yaml")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.join("charts/web/templates/link.yaml")).unwrap();
    refused(&own, &flag, "leads out of the repository");
    fs::remove_file(place.join("charts/web/templates/link.yaml")).unwrap();
    let chart =
        |version: &str| format!("{{repoURL: 'https://charts.example.org', chart: web, targetRevision: '{version}'}}");
    refused(&chart("1.x"), &flag, "names no version");
    application(place, &with("valueFiles: [missing.yaml], ignoreMissingValueFiles: true"));
    assert_eq!(config(&render(place, &flag).unwrap())["data"]["values"], "chart,chart,chart,chart");
}

/// A server of the files in a folder; ends when dropped.
struct Serving(Child, String);

impl Serving {
    fn start(folder: &Path) -> Self {
        let code = "import http.server, sys
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()";
        let mut command = Command::new("python3");
        command.args(["-c", code]).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self(child, format!("http://127.0.0.1:{}", port.trim()))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_chart_of_a_repository_is_fetched_in_its_version() {
    let Some(helm) = helm() else { return };
    let flag = format!("--helm={}", helm.display());
    let repository = repository();
    let place = repository.path();
    let served = place.join("served");
    fs::create_dir(&served).unwrap();
    for arguments in [&["package", "charts/web", "-d", "served"][..], &["repo", "index", "served"]] {
        let ran = Command::new(&helm).args(arguments).current_dir(place).env("HOME", place).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let serving = Serving::start(&served);
    let chart = |version: &str| format!("{{repoURL: '{}', chart: web, targetRevision: {version}}}", serving.1);
    application(place, &chart("1.2.3"));
    assert_eq!(config(&render(place, &flag).unwrap())["data"]["values"], "chart,chart,chart,chart");
    application(place, &chart("9.9.9"));
    assert!(render(place, &flag).unwrap_err().contains("9.9.9"));
}

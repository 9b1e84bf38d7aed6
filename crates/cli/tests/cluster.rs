//! `prograde app diff` and `prograde app sync` with a real cluster (`scripts/test-peers.sh apiserver`).
#![cfg(test)]
#![allow(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]

#[path = "../../kubernetes/tests/kubernetes/peer.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod peer;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_prograde");

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn application(name: &str, path: &str, server: &str, policy: &str) -> String {
    format!(
        "---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\nspec:\n  \
         project: default\n  source: {{repoURL: 'https://git.example/r', path: {path}}}\n  \
         destination: {{server: '{server}', namespace: {name}}}\n  syncPolicy: {{{policy}syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}}\n"
    )
}

struct User<'a> {
    folder: &'a Path,
    kubeconfig: String,
}

impl User<'_> {
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder).arg("app").args(arguments).args(["--kubeconfig", &self.kubeconfig]);
        command.stdin(Stdio::null());
        command
    }
}

const HERE: &str = "https://kubernetes.default.svc";

fn config(key: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {key}}}\ndata: {{key: '{value}'}}\n")
}

async fn patch(client: &kube::Client, path: &str, change: &str) {
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    let _object: Value = client.request(request.body(change.as_bytes().to_vec()).unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_are_compared_and_brought_to_what_git_says() {
    let Some(server) = peer::own().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(Command::new("git").args(["init", "-q"]).current_dir(folder).status().unwrap().success());
    let applications = application("shop", "shop", HERE, "")
        + &application("broken", "broken", HERE, "")
        + &application("elsewhere", "shop", "https://other.example", "");
    write(folder, "argocd/apps.yaml", &applications);
    write(folder, "shop/a.yaml", &config("a", "1"));
    write(folder, "shop/b.yaml", &config("b", "1"));
    write(
        folder,
        "shop/s.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n",
    );
    write(folder, "broken/kustomization.yaml", "resources: [nothing.yaml]\n");
    let user = User { folder, kubeconfig: server.kubeconfig("admin").display().to_string() };

    let (code, out, err) = user.run(&["diff", "argocd", "--app", "shop"]);
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("ConfigMap shop/a: it should be there, and is not") && err.contains("PG1376"), "{out}{err}");

    // What can't be synchronised holds nobody else up.
    let (code, out, err) = user.run(&["sync", "argocd"]);
    assert_eq!(code, 2, "{out}{err}");
    let line = |name: &str| out.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("shop").contains("synced") && line("broken").contains("not possible"), "{out}");
    assert!(err.contains("nothing.yaml") && err.contains("goes to the cluster `https://other.example`"), "{err}");

    let (code, out, _) = user.run(&["diff", "argocd", "--app", "shop"]);
    assert_eq!((code, out.as_str()), (0, "shop as Git says\n"));
    let (code, out, _) = user.run(&["sync", "argocd", "--app", "shop", "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["applications"][0]["result"]), (0, &"synced".into()), "{out}");

    let client = server.client("admin").await.unwrap();
    patch(&client, "/api/v1/namespaces/shop/configmaps/a?fieldManager=kubectl-edit", r#"{"data":{"key":"theirs"}}"#)
        .await;
    patch(
        &client,
        "/api/v1/namespaces/shop/secrets/s?fieldManager=kubectl-edit",
        r#"{"data":{"password":"aHVudGVyMw=="}}"#,
    )
    .await;
    let (code, out, err) = user.run(&["diff", "argocd", "--app", "shop"]);
    assert_eq!(code, 1);
    assert!(out.contains(r#"data.key: "theirs" should be "1", written by kubectl-edit"#), "{out}");
    assert!(!(out.clone() + &err).contains("hunter") && !out.contains("aHVudGVy"), "{out}");
    let (code, out, _) = user.run(&["sync", "argocd", "--app", "shop"]);
    assert!(code == 0 && out.contains("synced"), "{out}");

    pruned(&user, folder);
    deleted(&user, folder);
    refused(&server, &user, folder);
}

/// Nothing is left of what it had in Git: that is asked for.
fn pruned(user: &User<'_>, folder: &Path) {
    for file in ["shop/a.yaml", "shop/b.yaml", "shop/s.yaml"] {
        fs::remove_file(folder.join(file)).unwrap();
    }
    write(folder, "shop/c.yaml", &config("c", "1"));
    let (code, out, err) = user.run(&["sync", "argocd", "--app", "shop", "--prune"]);
    assert!(
        code == 1 && out.contains("asks") && err.contains("PG1373") && err.contains("--confirm-prune"),
        "{out}{err}"
    );
    let (code, out, err) = user.run(&["sync", "argocd", "--app", "shop", "--confirm-prune"]);
    assert_eq!(code, 0, "{out}{err}");
}

/// An application goes once a person has said so.
fn deleted(user: &User<'_>, folder: &Path) {
    let (code, _, err) = user.run(&["delete", "argocd"]);
    assert!(code == 2 && err.contains("--app NAME"), "{err}");
    let (code, out, err) = user.run(&["delete", "argocd", "--app", "shop"]);
    assert!(
        code == 1 && out.contains("1 object would go") && err.contains("Would go shop: ConfigMap shop/c"),
        "{out}{err}"
    );
    assert!(err.contains("PG1373") && err.contains("--confirm"), "{err}");
    assert_eq!(user.run(&["diff", "argocd", "--app", "shop"]).0, 0, "it is there");
    let hook =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last, annotations: {argocd.argoproj.io/hook: PostDelete}}\n";
    write(folder, "shop/last.yaml", hook);
    let (code, out, err) = user.run(&["delete", "argocd", "--app", "shop", "--confirm"]);
    assert!(
        code == 0 && out.contains("deleted") && err.contains("Running shop: ConfigMap shop/last (PostDelete)"),
        "{out}{err}"
    );
    let (code, out, _) = user.run(&["diff", "argocd", "--app", "shop"]);
    assert!(code == 1 && out.contains("ConfigMap shop/c: it should be there, and is not"), "{out}");
    let (code, out, err) = user.run(&["delete", "argocd", "--app", "shop", "--confirm", "--json"]);
    assert!(code == 0 && out.contains("\"result\": \"deleted\""), "there is nothing more: {out}{err}");
}

/// Who may not, a context that is not there, and a server that is gone.
fn refused(server: &peer::Server, user: &User<'_>, folder: &Path) {
    let other = User { folder, kubeconfig: server.kubeconfig("limited").display().to_string() };
    write(folder, "shop/c.yaml", &config("c", "2"));
    let (code, out, err) = other.run(&["sync", "argocd", "--app", "shop"]);
    assert!(code == 1 && out.contains("failed") && err.contains("User \"limited\" cannot get resource"), "{out}{err}");
    let (code, _, err) = user.run(&["diff", "argocd", "--context", "nothing"]);
    assert!(code == 2 && err.contains("it has no context `nothing`, but test"), "{err}");
    server.stop();
    let (code, _, err) = user.run(&["diff", "argocd", "--app", "shop"]);
    assert!(code == 2 && err.contains("PG1370") && err.contains("does not answer"), "{err}");
}

/// Waits until an object has a value.
async fn until(client: &kube::Client, path: &str, value: &str) {
    for _ in 0..300 {
        let found: Result<Value, _> = client.request(http::Request::get(path).body(Vec::new()).unwrap()).await;
        if found.is_ok_and(|object| object["data"]["key"] == value) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{path} does not become {value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_are_kept_while_it_stays() {
    let Some(server) = peer::own().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(Command::new("git").args(["init", "-q"]).current_dir(folder).status().unwrap().success());
    write(folder, "argocd/apps.yaml", &application("kept", "kept", HERE, "automated: {selfHeal: true}, "));
    write(folder, "kept/a.yaml", &config("a", "1"));
    let user = User { folder, kubeconfig: server.kubeconfig("admin").display().to_string() };
    let mut command = user.command(&["sync", "argocd", "--watch", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = server.client("admin").await.unwrap();
    let path = "/api/v1/namespaces/kept/configmaps/a";
    until(&client, path, "1").await;
    // Whenever it is that it listens: it is undone.
    patch(&client, &format!("{path}?fieldManager=kubectl-edit"), r#"{"data":{"key":"theirs"}}"#).await;
    until(&client, path, "1").await;
    write(folder, "kept/a.yaml", &config("a", "2"));
    until(&client, path, "2").await;
    write(folder, "kept/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: [\n");
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    patch(&client, &format!("{path}?fieldManager=kubectl-edit"), r#"{"data":{"key":"theirs"}}"#).await;
    until(&client, path, "2").await;
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let first: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["application"], &first["result"]), (&"kept".into(), &"synced".into()));
    assert!(err.contains("kept/a.yaml") && !err.contains("panicked"), "{err}");
}

//! The real `git` as a client, and a minimal HTTP server in front of one repository.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use prograde_gitops::git::{GitService, PushRules, Repository, RpcOptions};
use tokio::task::JoinSet;
use tokio_util::io::{ReaderStream, StreamReader};

/// What the clients' requests were like.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) gzip: AtomicUsize,
    pub(crate) chunked: AtomicUsize,
    pub(crate) version_2: AtomicUsize,
}

#[derive(Clone)]
struct Service {
    repository: Repository,
    rules: PushRules,
    seen: Arc<Seen>,
}

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

pub(crate) async fn serve(repository: Repository, rules: PushRules) -> Server {
    let seen = Arc::new(Seen::default());
    let service = Service { repository, rules, seen: seen.clone() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/service.git", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(answer).with_state(service);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { url, seen, _tasks: tasks }
}

async fn answer(State(service): State<Service>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let protocol = header("git-protocol");
    let gzip = header("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let seen = &service.seen;
    seen.gzip.fetch_add(usize::from(gzip), Ordering::Relaxed);
    seen.chunked.fetch_add(usize::from(header("transfer-encoding").is_some()), Ordering::Relaxed);
    seen.version_2.fetch_add(usize::from(protocol.as_deref() == Some("version=2")), Ordering::Relaxed);
    let path = parts.uri.path();
    if path.ends_with("/info/refs") {
        let name = parts.uri.query().unwrap_or_default().trim_start_matches("service=").to_owned();
        let Some(git) = GitService::from_name(&name) else { return StatusCode::FORBIDDEN.into_response() };
        let body = service.repository.advertise_refs(git, protocol.as_deref()).await.unwrap();
        return ([(header::CONTENT_TYPE, format!("application/x-{name}-advertisement"))], body).into_response();
    }
    let Some(git) = path.rsplit('/').next().and_then(GitService::from_name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    let options = RpcOptions { gzip, protocol, rules: service.rules.clone(), pusher: None };
    match service.repository.rpc(git, Box::pin(body), options).await {
        Ok(rpc) => {
            let kind = format!("application/x-{}-result", git.name());
            ([(header::CONTENT_TYPE, kind)], Body::from_stream(ReaderStream::new(rpc))).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// What a client said, and whether it succeeded.
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) text: String,
}

/// Runs the client in a directory.
pub(crate) async fn git(dir: &Path, arguments: &[&str]) -> Said {
    let output = tokio::process::Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.org")])
        .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.org")])
        .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_mins(1), output).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Said { ok: output.status.success(), text: String::from_utf8_lossy(&text).trim().to_owned() }
}

/// Runs the client, which must succeed.
pub(crate) async fn git_ok(dir: &Path, arguments: &[&str]) -> String {
    let said = git(dir, arguments).await;
    assert!(said.ok, "git {arguments:?}: {}", said.text);
    said.text
}

/// Writes a file and commits it.
pub(crate) async fn commit(
    dir: &Path,
    path: &str,
    content: impl AsRef<[u8]>,
    message: &str,
) -> prograde_model::CommitId {
    let file = dir.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
    git_ok(dir, &["add", "-A"]).await;
    git_ok(dir, &["commit", "-q", "-m", message]).await;
    git_ok(dir, &["rev-parse", "HEAD"]).await.parse().unwrap()
}

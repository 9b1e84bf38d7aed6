//! The registry as its clients meet it: over HTTP, with other people's tools, under attack, and after a crash.

mod conformance;
mod flights;
mod garbage;
mod hooks;
mod hostile;
mod pushing;
mod skopeo;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prograde_supply::Layout;
use prograde_supply::registry::{AdmitAll, Anonymous, Hooks, OneToken, Registry, Settings, router};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::http::{Request, Response};
use ureq::{Agent, Body, SendBody};

pub(crate) const TOKEN: &str = "s3cret";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry that serves, on a directory of its own.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    pub(crate) runtime: Runtime,
    dir: Arc<TempDir>,
    /// How far the registry's clock is ahead of the machine's, in milliseconds.
    ahead: Arc<AtomicI64>,
    agent: Agent,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |hooks| hooks)
    }

    pub(crate) fn with(settings: impl FnOnce(&mut Settings), hooks: impl FnOnce(Hooks) -> Hooks) -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap()), settings, hooks)
    }

    pub(crate) fn on(
        dir: Arc<TempDir>,
        change: impl FnOnce(&mut Settings),
        hooks: impl FnOnce(Hooks) -> Hooks,
    ) -> Self {
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&ahead);
        #[expect(clippy::disallowed_methods, reason = "files have the machine's time")]
        let mut settings = Settings::new(Arc::new(move || {
            let now = Timestamp::now().as_millisecond() + clock.load(Ordering::Relaxed);
            Timestamp::from_millisecond(now).unwrap()
        }));
        change(&mut settings);
        let registry = Registry::open(Layout::open(dir.path()).unwrap(), settings).unwrap();
        let hooks = hooks(Hooks {
            authorize: Arc::new(OneToken::new(TOKEN, Anonymous::Nothing)),
            admission: Arc::new(AdmitAll),
        });
        let runtime = Runtime::new().unwrap();
        let app = router(registry.clone(), hooks);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_mins(2)))
            .build()
            .new_agent();
        Self { address, registry, runtime, dir, ahead, agent }
    }

    /// Ends it, and serves the same directory again.
    pub(crate) fn restart(self) -> Self {
        let dir = Arc::clone(&self.dir);
        let Self { runtime, registry, .. } = self;
        drop(registry);
        runtime.shutdown_timeout(Duration::from_secs(10));
        Self::on(dir, |_| {}, |hooks| hooks)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        self.dir().join("blobs").join(digest.replace(':', "/"))
    }

    /// Sets the registry's clock forward.
    pub(crate) fn later(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("http://{}{path}", self.address) }
    }

    /// A request with the token.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(self.url(path));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {TOKEN}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sends = !body.is_empty() || matches!(method, "PUT" | "POST" | "PATCH");
        if sends {
            self.agent.run(request.body(SendBody::from_owned_reader(std::io::Cursor::new(body.to_vec()))).unwrap())
        } else {
            self.agent.run(request.body(()).unwrap())
        }
        .unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Response<Body> {
        self.call("GET", path, &[], b"")
    }

    /// Pushes a blob in one request; gives its descriptor.
    pub(crate) fn push_blob(&self, repository: &str, content: &[u8]) -> Value {
        let digest = sha256(content);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        assert_eq!(self.call("POST", &path, &[], content).status(), 201);
        json!({ "mediaType": "application/octet-stream", "digest": digest, "size": content.len() })
    }

    /// Pushes a manifest; gives its digest.
    pub(crate) fn push_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> String {
        let text = manifest.to_string();
        let kind = manifest["mediaType"].as_str().unwrap().to_owned();
        let path = format!("/v2/{repository}/manifests/{reference}");
        let answer = self.call("PUT", &path, &[("content-type", &kind)], text.as_bytes());
        let (status, digest) = (answer.status(), header(&answer, "docker-content-digest"));
        assert_eq!(status, 201, "{:?}", body(answer));
        assert_eq!(digest, sha256(text.as_bytes()));
        digest
    }

    /// Pushes an image of one layer; gives its digest.
    pub(crate) fn push_image(&self, repository: &str, tag: &str, content: &str) -> String {
        let image = self.image(repository, content);
        self.push_manifest(repository, tag, &image)
    }

    /// An image whose blobs are there.
    pub(crate) fn image(&self, repository: &str, content: &str) -> Value {
        let config = self.push_blob(repository, b"{}");
        let layer = self.push_blob(repository, content.as_bytes());
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] })
    }
}

/// Asserts the status and the specification's code.
pub(crate) fn refuses(answer: Response<Body>, status: u16, code: &str) -> String {
    let found = answer.status();
    let text = body(answer);
    let document: Value =
        serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{found} {}", String::from_utf8_lossy(&text)));
    assert_eq!((found.as_u16(), document["errors"][0]["code"].as_str()), (status, Some(code)), "{document}");
    document["errors"][0]["message"].as_str().unwrap().to_owned()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex::encode(sha2::Sha512::digest(bytes)))
}

pub(crate) fn header(answer: &Response<Body>, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub(crate) fn body(mut answer: Response<Body>) -> Vec<u8> {
    answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap()
}

pub(crate) fn document(answer: Response<Body>) -> Value {
    serde_json::from_slice(&body(answer)).unwrap()
}

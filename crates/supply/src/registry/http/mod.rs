//! The registry's HTTP API: addresses, who may, and what failures look like.

mod answer;
mod blobs;
mod manifests;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::registry::Registry;
use crate::registry::access::{Access, Action, Admission, Authorize, Shown};
use crate::registry::error::RegistryError;
use crate::registry::name::{ContentDigest, Reference, RepositoryName};
use answer::{Query, answer, failure, json};

/// How much is read of a body that is of no use, and for how long.
const DRAIN_BYTES_MAX: usize = 1 << 20;
const DRAIN_WAIT: Duration = Duration::from_secs(1);

/// Who is asked before something is done.
#[derive(Clone)]
pub struct Hooks {
    /// Who may do what.
    pub authorize: Arc<dyn Authorize>,
    /// What else has to agree to manifests.
    pub admission: Arc<dyn Admission>,
}

#[derive(Clone)]
struct Service {
    registry: Registry,
    hooks: Hooks,
}

/// One request, its sender known.
struct Call {
    registry: Registry,
    hooks: Hooks,
    shown: Shown,
    method: Method,
    headers: HeaderMap,
    query: Query,
}

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Base,
    Catalog,
    Collection,
    Tags(RepositoryName),
    Referrers(RepositoryName, ContentDigest),
    Manifest(RepositoryName, Reference),
    Blob(RepositoryName, ContentDigest),
    NewUpload(RepositoryName),
    Upload(RepositoryName, String),
}

/// Everything below `/v2/`. Bodies are streamed and bounded here; whoever mounts it must not bound them.
pub fn router(registry: Registry, hooks: Hooks) -> Router {
    let service = Service { registry, hooks };
    Router::new().route("/v2", any(base)).route("/v2/", any(base)).route("/v2/{*path}", any(below)).with_state(service)
}

async fn base(State(service): State<Service>, request: Request) -> Response {
    respond(service, Ok(Target::Base), request).await
}

async fn below(State(service): State<Service>, Path(path): Path<String>, request: Request) -> Response {
    respond(service, target(&path), request).await
}

async fn respond(service: Service, target: Result<Target, RegistryError>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let shown = Shown::in_header(head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()));
    let query = Query::new(head.uri.query().unwrap_or_default());
    let Service { registry, hooks } = service;
    let call = Call { registry, hooks, shown, method: head.method, headers: head.headers, query };
    let head_only = call.method == Method::HEAD;
    let waits = call.headers.contains_key(header::EXPECT);
    let result = match target {
        Ok(target) => call.answer(target, &mut body).await,
        // Who may do nothing learns nothing of what there is.
        Err(error) => call.may(&Action::Ping).and(Err(call.sought(error))),
    };
    match result {
        Ok(answer) => answer,
        Err(error) => {
            // Who is still sending does not hear what is said before the end, and a closed connection instead.
            if !waits {
                drop(timeout(DRAIN_WAIT, drain(body)).await);
            }
            failure(&error, head_only)
        }
    }
}

/// Reads what is left of a body, unless it is much.
async fn drain(body: Body) {
    let (mut frames, mut bytes) = (body.into_data_stream(), 0);
    while let Some(Ok(frame)) = frames.next().await {
        bytes += frame.len();
        if bytes > DRAIN_BYTES_MAX {
            return;
        }
    }
}

/// Finds out what a path below `/v2/` means. A repository's name may hold any word, so it is read from the end.
fn target(path: &str) -> Result<Target, RegistryError> {
    let unknown = || RegistryError::Unsupported { what: "the registry has no such address".to_owned() };
    if path == "_catalog" {
        return Ok(Target::Catalog);
    }
    if path == "_prograde/garbage/collect" {
        return Ok(Target::Collection);
    }
    if let Some(name) = path.strip_suffix("/tags/list") {
        return Ok(Target::Tags(RepositoryName::new(name)?));
    }
    if let Some(name) = path.strip_suffix("/blobs/uploads").or_else(|| path.strip_suffix("/blobs/uploads/")) {
        return Ok(Target::NewUpload(RepositoryName::new(name)?));
    }
    let (before, last) = path.rsplit_once('/').ok_or_else(unknown)?;
    if let Some(name) = before.strip_suffix("/manifests") {
        return Ok(Target::Manifest(RepositoryName::new(name)?, Reference::new(last)?));
    }
    if let Some(name) = before.strip_suffix("/blobs/uploads") {
        return Ok(Target::Upload(RepositoryName::new(name)?, last.to_owned()));
    }
    if let Some(name) = before.strip_suffix("/blobs") {
        return Ok(Target::Blob(RepositoryName::new(name)?, ContentDigest::new(last)?));
    }
    if let Some(name) = before.strip_suffix("/referrers") {
        return Ok(Target::Referrers(RepositoryName::new(name)?, ContentDigest::new(last)?));
    }
    Err(unknown())
}

impl Call {
    /// Whether the sender may do that.
    fn may(&self, action: &Action<'_>) -> Result<(), RegistryError> {
        match self.hooks.authorize.access(&self.shown, action) {
            Access::Allowed => Ok(()),
            Access::Unauthorized => Err(RegistryError::Unauthorized),
            Access::Denied(why) => Err(RegistryError::Denied { why }),
        }
    }

    fn may_on(&self, repository: &RepositoryName) -> Result<(), RegistryError> {
        self.may(&match self.method {
            Method::GET | Method::HEAD => Action::Pull(repository),
            Method::DELETE => Action::Delete(repository),
            _ => Action::Push(repository),
        })
    }

    async fn answer(self, target: Target, body: &mut Body) -> Result<Response, RegistryError> {
        match target {
            Target::Base => {
                self.may(&Action::Ping)?;
                self.only(&[Method::GET, Method::HEAD])?;
                answer(StatusCode::OK, &[], Body::from("{}"))
            }
            Target::Catalog => self.catalog().await,
            Target::Collection => self.collect().await,
            Target::Tags(name) => {
                self.may_on(&name)?;
                self.only(&[Method::GET, Method::HEAD])?;
                self.tags(&name).await
            }
            Target::Referrers(name, digest) => {
                self.may_on(&name)?;
                self.only(&[Method::GET, Method::HEAD])?;
                self.referrers(&name, &digest).await
            }
            Target::Manifest(name, reference) => {
                self.may_on(&name)?;
                self.manifest(&name, &reference, body).await
            }
            Target::Blob(name, digest) => {
                self.may_on(&name)?;
                self.blob(&name, &digest).await
            }
            Target::NewUpload(name) => {
                self.may(&Action::Push(&name))?;
                self.only(&[Method::POST])?;
                self.new_upload(&name, body).await
            }
            Target::Upload(name, id) => {
                // Also its status is for those alone who push.
                self.may(&Action::Push(&name))?;
                self.upload(&name, &id, body).await
            }
        }
    }

    /// What can't be a tag is none that there is, where nobody wants to set it.
    fn sought(&self, error: RegistryError) -> RegistryError {
        if let RegistryError::TagInvalid { tag } = &error
            && self.method != Method::PUT
        {
            return RegistryError::ManifestUnknown { reference: tag.clone() };
        }
        error
    }

    fn only(&self, methods: &[Method]) -> Result<(), RegistryError> {
        if methods.contains(&self.method) { Ok(()) } else { Err(self.unsupported()) }
    }

    fn unsupported(&self) -> RegistryError {
        RegistryError::Method { method: self.method.to_string().chars().take(20).collect() }
    }

    async fn catalog(self) -> Result<Response, RegistryError> {
        self.may(&Action::List)?;
        self.only(&[Method::GET, Method::HEAD])?;
        let mut part = self.registry.repositories(self.query.page()?).await?;
        part.entries.retain(|name| {
            RepositoryName::new(name)
                .is_ok_and(|name| self.hooks.authorize.access(&self.shown, &Action::Pull(&name)) == Access::Allowed)
        });
        let link = self.query.next("/v2/_catalog", part.next.as_deref());
        json(&serde_json::json!({ "repositories": part.entries }), link)
    }

    async fn tags(self, name: &RepositoryName) -> Result<Response, RegistryError> {
        let part = self.registry.tags(name, self.query.page()?).await?;
        let link = self.query.next(&format!("/v2/{name}/tags/list"), part.next.as_deref());
        json(&serde_json::json!({ "name": name.as_str(), "tags": part.entries }), link)
    }

    /// An extension of ours (distribution specification, "API", `_<extension>/<component>/<module>`).
    async fn collect(self) -> Result<Response, RegistryError> {
        self.may(&Action::Administer)?;
        self.only(&[Method::POST])?;
        let collected = self.registry.collect(self.query.collect()?).await?;
        json(&serde_json::json!(collected), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_end() {
        let name = |text: &str| RepositoryName::new(text).unwrap();
        let digest = format!("sha256:{}", "a".repeat(64));
        let cases = [
            ("_catalog".to_owned(), Target::Catalog),
            ("team/pad/tags/list".to_owned(), Target::Tags(name("team/pad"))),
            ("a/manifests/manifests/x".to_owned(), Target::Manifest(name("a/manifests"), Reference::new("x").unwrap())),
            ("a/blobs/uploads/".to_owned(), Target::NewUpload(name("a"))),
            ("a/blobs/uploads/7".to_owned(), Target::Upload(name("a"), "7".to_owned())),
            (format!("blobs/blobs/{digest}"), Target::Blob(name("blobs"), ContentDigest::new(&digest).unwrap())),
            (format!("a/referrers/{digest}"), Target::Referrers(name("a"), ContentDigest::new(&digest).unwrap())),
        ];
        for (path, expected) in cases {
            assert_eq!(target(&path).unwrap(), expected, "{path}");
        }
        for (path, code) in [
            ("a", "UNSUPPORTED"),
            ("a/b/c", "UNSUPPORTED"),
            ("../manifests/x", "NAME_INVALID"),
            ("A/tags/list", "NAME_INVALID"),
            ("/tags/list", "NAME_INVALID"),
            ("a/manifests/sha256:bad", "DIGEST_INVALID"),
            ("a/manifests/..", "MANIFEST_INVALID"),
            ("a/blobs/x", "DIGEST_INVALID"),
        ] {
            assert_eq!(target(path).unwrap_err().code().0, code, "{path}");
        }
    }
}

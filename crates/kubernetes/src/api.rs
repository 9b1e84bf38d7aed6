//! A real cluster, by its HTTP API.
//!
//! Objects are JSON as the server gives it, so that nothing of them is lost. Invariant: every request has a time and a size
//! that it does not exceed, and is repeated only where that can't do something twice.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;
use prograde_resource::options::Propagation;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::MANAGER;
use crate::cluster::{Cluster, Hearing, Listed, Place, Way, Write};
use crate::kinds::{Kinds, Resource};
use crate::refused::Refused;

/// How long a request may take in all.
const REQUEST_WAIT: Duration = Duration::from_secs(50);
/// The largest answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest object that is sent. The server takes 3 MiB.
const OBJECT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many objects a page of a list has.
const PAGE: usize = 500;
/// The most objects of one kind.
const OBJECTS_MAX: usize = 200_000;
/// How many requests are under way at once.
const REQUESTS_MAX: usize = 16;
/// How often a request is made before its failure is told.
const TRIES: u32 = 6;
/// How long is waited before the second try; twice as long before each that follows.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a watch lasts. Shorter than the client waits for a part of an answer.
const WATCH_SECONDS: u64 = 45;
/// The longest event of a watch.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

const JSON: &str = "application/json";
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
const METADATA: &str = "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadata";
const METADATA_LIST: &str = "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList";

/// A cluster's API server.
pub struct Api {
    client: kube::Client,
    kinds: Mutex<Option<Arc<Kinds>>>,
    slots: Semaphore,
}

/// The client knows secrets.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Api")
    }
}

/// One request.
struct Ask<'a> {
    method: Method,
    uri: String,
    accept: &'a str,
    content: &'a str,
    body: Vec<u8>,
}

impl<'a> Ask<'a> {
    fn get(uri: String, accept: &'a str) -> Self {
        Self { method: Method::GET, uri, accept, content: JSON, body: Vec::new() }
    }

    fn request(&self) -> Result<Request<Body>, Refused> {
        let made = Request::builder()
            .method(self.method.clone())
            .uri(&self.uri)
            .header(http::header::ACCEPT, self.accept)
            .header(http::header::CONTENT_TYPE, self.content)
            .body(Body::from(self.body.clone()));
        made.map_err(|error| Refused::Unusable(error.to_string()))
    }
}

impl Api {
    /// Asks through a client.
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client, kinds: Mutex::new(None), slots: Semaphore::new(REQUESTS_MAX) }
    }

    async fn json(&self, ask: Ask<'_>) -> Result<Value, Refused> {
        let bytes = patiently(|| self.once(&ask)).await?;
        serde_json::from_slice(&bytes).map_err(|error| Refused::Strange(error.to_string()))
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Refused> {
        let _slot = self.slots.acquire().await.map_err(|error| Refused::Unusable(error.to_string()))?;
        let answered = async {
            let answer = self.client.send(ask.request()?).await.map_err(|error| unreachable(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| {
                let large = error.downcast_ref::<LengthLimitError>().is_some();
                if large { Refused::TooLarge(ANSWER_BYTES_MAX) } else { Refused::Unreachable(error.to_string()) }
            })?;
            let bytes = body.to_bytes();
            if status.is_success() { Ok(bytes.to_vec()) } else { Err(Refused::answer(status.as_u16(), &bytes)) }
        };
        tokio::time::timeout(REQUEST_WAIT, answered).await.unwrap_or(Err(Refused::Slow(REQUEST_WAIT)))
    }

    /// One page of a list after another.
    async fn pages(&self, resource: &Resource, namespace: Option<&str>) -> Result<Listed, Refused> {
        let path = resource.path(namespace, None)?;
        let mut found = Listed::default();
        let mut next = String::new();
        loop {
            let uri = if next.is_empty() {
                format!("{path}?limit={PAGE}")
            } else {
                format!("{path}?limit={PAGE}&continue={}", query(&next))
            };
            let mut page = self.json(Ask::get(uri, METADATA_LIST)).await?;
            let own = |page: &Value, name: &str| {
                page.pointer(&format!("/metadata/{name}")).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            found.version = own(&page, "resourceVersion");
            next = own(&page, "continue");
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                found.objects.extend(items.into_iter().map(|item| named(item, resource)));
            }
            if found.objects.len() > OBJECTS_MAX {
                return Err(Refused::Strange(format!("there are more than {OBJECTS_MAX} {}", resource.plural)));
            }
            if next.is_empty() {
                return Ok(found);
            }
        }
    }
}

/// The metadata of an object with its kind, which lists leave out.
fn named(mut item: Value, resource: &Resource) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.insert("apiVersion".to_owned(), Value::from(resource.api_version()));
        fields.insert("kind".to_owned(), Value::from(resource.kind.as_str()));
    }
    item
}

/// A value of a query.
fn query(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let part = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(part).collect::<Vec<_>>().concat()
}

fn unreachable(error: &kube::Error) -> Refused {
    // What a plugin printed may be a secret.
    if matches!(error, kube::Error::Auth(_)) {
        return Refused::Unusable("the credentials of the kubeconfig can't be used".to_owned());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        text = why.to_string();
        cause = why.source();
    }
    Refused::Unreachable(text)
}

/// Repeats what may have a better answer soon, after a pause that is longer each time and never the same for two.
async fn patiently<T, F: Future<Output = Result<T, Refused>>>(mut make: impl FnMut() -> F) -> Result<T, Refused> {
    let mut tries = 1;
    loop {
        match make().await {
            Err(refused) if refused.is_passing() && tries < TRIES => {
                let pause = PAUSE.saturating_mul(1 << tries).min(PAUSE_MAX);
                let asked = refused.after().unwrap_or_default().min(PAUSE_MAX);
                tokio::time::sleep(pause.mul_f64(share()).max(asked)).await;
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// A number from a half to one.
pub(crate) fn share() -> f64 {
    getrandom::u32().map_or(1.0, |drawn| 0.5 + f64::from(drawn) / f64::from(u32::MAX) / 2.0)
}

#[async_trait]
impl Cluster for Api {
    async fn kinds(&self, anew: bool) -> Result<Arc<Kinds>, Refused> {
        let known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|_| !anew) {
            return Ok(known);
        }
        let mut kinds = Kinds::default();
        for path in ["/api", "/apis"] {
            kinds.add(&self.json(Ask::get(path.to_owned(), DISCOVERY)).await?)?;
        }
        let kinds = Arc::new(kinds);
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&kinds));
        Ok(kinds)
    }

    async fn get(&self, place: Place<'_>) -> Result<Option<Value>, Refused> {
        let path = place.resource.path(Some(place.namespace), Some(place.name))?;
        match self.json(Ask::get(path, JSON)).await {
            Ok(object) => Ok(Some(object)),
            Err(refused) if refused.is(404) => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    async fn list(&self, resource: &Resource, namespace: Option<&str>) -> Result<Listed, Refused> {
        match self.pages(resource, namespace).await {
            // The list went out of date between two pages.
            Err(refused) if refused.is(410) => self.pages(resource, namespace).await,
            outcome => outcome,
        }
    }

    async fn write(&self, place: Place<'_>, write: Write<'_>) -> Result<Value, Refused> {
        let body = serde_json::to_vec(write.object).map_err(|error| Refused::Unusable(error.to_string()))?;
        if body.len() > OBJECT_BYTES_MAX {
            let message = format!("it has {} bytes, more than the {OBJECT_BYTES_MAX} that are sent", body.len());
            return Err(Refused::Unusable(message));
        }
        let (method, content, force) = match write.way {
            Way::Apply => (Method::PATCH, "application/apply-patch+yaml", "&force=true"),
            Way::Replace => (Method::PUT, JSON, ""),
        };
        let path = place.resource.path(Some(place.namespace), Some(place.name))?;
        let dry = if write.dry { "&dryRun=All" } else { "" };
        let strict = match write.validate {
            None => "",
            Some(true) => "&fieldValidation=Strict",
            Some(false) => "&fieldValidation=Ignore",
        };
        let uri = format!("{path}?fieldManager={MANAGER}{force}{dry}{strict}");
        let ask = Ask { method, uri, accept: JSON, content, body };
        self.json(ask).await.map_err(|refused| refused.without(write.object))
    }

    async fn delete(&self, place: Place<'_>, uid: &str, propagation: Propagation) -> Result<(), Refused> {
        let policy = match propagation {
            Propagation::Foreground => "Foreground",
            Propagation::Background => "Background",
            Propagation::Orphan => "Orphan",
        };
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy,
            "preconditions": {"uid": uid}});
        let uri = place.resource.path(Some(place.namespace), Some(place.name))?;
        let ask =
            Ask { method: Method::DELETE, uri, accept: JSON, content: JSON, body: options.to_string().into_bytes() };
        match self.json(ask).await {
            Ok(_) => Ok(()),
            Err(refused) if refused.is(404) => Ok(()),
            Err(refused) => Err(refused),
        }
    }

    async fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        version: &str,
        hearing: Hearing<'_>,
    ) -> Result<(), Refused> {
        let path = resource.path(namespace, None)?;
        let since = query(version);
        let uri = format!(
            "{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={since}"
        );
        let ask = Ask::get(uri, METADATA);
        let answer = self.client.send(ask.request()?).await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        if !status.is_success() {
            let body = Limited::new(answer.into_body(), EVENT_BYTES_MAX).collect().await;
            let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Err(Refused::answer(status.as_u16(), &bytes));
        }
        events(answer.into_body(), resource, hearing).await
    }
}

/// Tells the events of a watch, a line each.
async fn events(mut body: Body, resource: &Resource, hearing: Hearing<'_>) -> Result<(), Refused> {
    let mut open: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refused::Unreachable(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        open.extend_from_slice(&data);
        while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
            let rest = open.split_off(end + 1);
            let line = std::mem::replace(&mut open, rest);
            event(&line, resource, hearing)?;
        }
        if open.len() > EVENT_BYTES_MAX {
            return Err(Refused::TooLarge(EVENT_BYTES_MAX));
        }
    }
    Ok(())
}

fn event(line: &[u8], resource: &Resource, hearing: Hearing<'_>) -> Result<(), Refused> {
    let mut event: Value = serde_json::from_slice(line).map_err(|error| Refused::Strange(error.to_string()))?;
    let object = event.get_mut("object").map(Value::take).unwrap_or_default();
    match event.get("type").and_then(Value::as_str).unwrap_or_default() {
        "ADDED" | "MODIFIED" => hearing(&named(object, resource), false),
        "DELETED" => hearing(&named(object, resource), true),
        "BOOKMARK" => {}
        _ => {
            let status = object.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            return Err(Refused::answer(status.unwrap_or(500), object.to_string().as_bytes()));
        }
    }
    Ok(())
}

//! HTTP: what may be asked where, and how much of it at once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use prograde_control::{Clock as _, SystemClock};
use prograde_policy::Stage;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::images::Lookup;
use super::judge;
use super::namespaces::Namespaces;
use super::review::{Answer, Misread, Review};
use crate::policies::InForce;

/// The largest question, in bytes. Kubernetes takes objects of 3 MiB, and sends the new and the old one.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many bytes of questions are in memory at once, in KiB.
const ROOM_KIB: usize = 64 * 1024;
/// How many questions are answered at once.
const SLOTS: usize = 32;
/// How long an answer may take where Kubernetes does not say it; its own default.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest that Kubernetes waits.
const LIMIT_MAX: Duration = Duration::from_secs(30);
/// How much earlier a refusal is sent, so that it arrives.
const MARGIN_MAX: Duration = Duration::from_millis(500);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

type Answered = Response<Full<Bytes>>;

/// Answers questions.
pub(super) struct Answers {
    policies: InForce,
    images: Lookup,
    namespaces: Option<Namespaces>,
    room: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

impl Answers {
    pub(super) fn new(policies: InForce, images: Lookup, namespaces: Option<Namespaces>) -> Self {
        let (room, slots) = (Arc::new(Semaphore::new(ROOM_KIB)), Arc::new(Semaphore::new(SLOTS)));
        Self { policies, images, namespaces, room, slots }
    }

    /// Answers a request.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answered {
        let stage = match request.uri().path() {
            "/healthz" => return plain(StatusCode::OK, "ok"),
            "/validate" => Stage::Validate,
            "/mutate" => Stage::Mutate,
            _ => return plain(StatusCode::NOT_FOUND, "ask /validate or /mutate"),
        };
        if request.method() != Method::POST {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "expected is POST");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if content.split(';').next().unwrap_or_default().trim() != JSON {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected is application/json");
        }
        self.in_time(stage, request).await
    }

    /// Kubernetes lets things in, where it is told to, when no answer comes: one comes before it gives up.
    async fn in_time(self: Arc<Self>, stage: Stage, request: Request<Incoming>) -> Answered {
        let limit = limit(request.uri().query().unwrap_or_default());
        let uid = Arc::new(OnceLock::new());
        let answered = timeout(limit, self.answered(stage, request, Arc::clone(&uid))).await;
        answered.unwrap_or_else(|_| match uid.get() {
            Some(uid) => {
                reviewed(uid, &Answer::refused(504, "it could not be told in time whether policies allow this"))
            }
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "the question was not read in time"),
        })
    }

    async fn answered(
        self: Arc<Self>,
        stage: Stage,
        request: Request<Incoming>,
        uid: Arc<OnceLock<String>>,
    ) -> Answered {
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length: usize = length.unwrap_or(BODY_BYTES_MAX);
        let large = || plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("it has more than {BODY_BYTES_MAX} bytes"));
        if length > BODY_BYTES_MAX {
            return large();
        }
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
        let stopped = || plain(StatusCode::SERVICE_UNAVAILABLE, "the server stops");
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(kib).await else { return stopped() };
        let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => return large(),
            Err(_) => return plain(StatusCode::BAD_REQUEST, "the question was broken off"),
        };
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return stopped() };
        let runtime = Handle::current();
        let answered = tokio::task::spawn_blocking(move || {
            // What is given up is still at work, and counts.
            let _held = (room, slot);
            self.decide(stage, &body, &runtime, &uid)
        });
        answered.await.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer was broken off"))
    }

    /// Blocks.
    fn decide(&self, stage: Stage, body: &[u8], runtime: &Handle, uid: &OnceLock<String>) -> Answered {
        let review = match Review::read(body) {
            Ok(mut review) => {
                // What is changed is changed as it was sent.
                if stage == Stage::Validate {
                    review.objects().for_each(|object| self.images.note(object));
                }
                review
            }
            Err(Misread::Nothing(why)) => return plain(StatusCode::BAD_REQUEST, &why),
            Err(Misread::Of(uid, why)) => return reviewed(&uid, &Answer::refused(400, why)),
        };
        uid.get_or_init(|| review.uid.clone());
        reviewed(&review.uid, &self.judge(stage, &review, runtime))
    }

    fn judge(&self, stage: Stage, review: &Review, runtime: &Handle) -> Answer {
        let policies = self.policies.now();
        let set = policies.set();
        let namespace = match self.namespace(review, policies.need_namespaces(), runtime) {
            Ok(namespace) => namespace,
            Err(why) => {
                tracing::warn!("{}: refused: {why}", review.shown());
                return Answer::refused(503, why);
            }
        };
        let request = review.request(set, namespace.as_deref(), SystemClock.now());
        let (answer, broken) = match stage {
            Stage::Mutate => judge::mutate(set, review, &request, &self.images, getrandom::u64().ok()),
            Stage::Validate | Stage::Whole => judge::validate(set, review, &request, &self.images),
        };
        if !broken.is_empty() {
            tracing::info!("{}: refused by {}", review.shown(), broken.join(", "));
        }
        answer
    }

    /// The resource's namespace, where policies ask for it.
    fn namespace(&self, review: &Review, needed: bool, runtime: &Handle) -> Result<Option<Arc<Value>>, String> {
        if !needed || review.namespace.is_empty() || review.is_of_namespace() {
            return Ok(None);
        }
        let name = &review.namespace;
        let namespaces = self.namespaces.as_ref().ok_or("policies ask for namespaces, and nobody looks them up")?;
        let found = runtime.block_on(namespaces.get(name));
        found.map(Some).map_err(|why| format!("policies ask for the namespace `{name}`, and it can't be read: {why}"))
    }
}

/// How long the answer may take. Kubernetes says how long it waits.
fn limit(query: &str) -> Duration {
    let said = query.split('&').find_map(|pair| pair.strip_prefix("timeout="));
    let said = said.and_then(|text| text.strip_suffix('s')?.parse().ok()).map(Duration::from_secs);
    let limit = said.unwrap_or(LIMIT).clamp(Duration::from_secs(1), LIMIT_MAX);
    limit.saturating_sub(MARGIN_MAX.min(limit / 10))
}

fn reviewed(uid: &str, answer: &Answer) -> Answered {
    made(StatusCode::OK, JSON, answer.to_json(uid).to_string())
}

fn plain(status: StatusCode, text: &str) -> Answered {
    made(status, TEXT, format!("{text}\n"))
}

fn made(status: StatusCode, content: &'static str, body: String) -> Answered {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_before_kubernetes_gives_up() {
        let check = |query: &str, want: u64| assert_eq!(limit(query).as_millis(), u128::from(want), "{query}");
        check("timeout=10s", 9_500);
        check("timeout=2s", 1_800);
        check("a=b&timeout=30s", 29_500);
        check("timeout=900s", 29_500);
        check("timeout=0s", 900);
        for query in ["", "timeout=", "timeout=1m", "timeout=-5s"] {
            check(query, 9_500);
        }
    }
}

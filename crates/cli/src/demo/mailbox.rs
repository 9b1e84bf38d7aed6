//! The author's mailbox: takes in what the server's notifications post.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, http::StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The longest letter.
const LETTER_BYTES_MAX: usize = 64 * 1024;
/// How many are kept.
const LETTERS_MAX: usize = 1_000;

#[derive(Default)]
struct Letters {
    letters: Mutex<Vec<Value>>,
    arrived: Notify,
}

/// A mailbox that is open until it is dropped.
pub(crate) struct Mailbox {
    address: SocketAddr,
    inner: Arc<Letters>,
    _serving: JoinSet<()>,
}

impl Mailbox {
    /// Opens one on any free port of this machine.
    pub(crate) async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Letters::default());
        let app = Router::new()
            .route("/", post(take_in))
            .layer(DefaultBodyLimit::max(LETTER_BYTES_MAX))
            .with_state(Arc::clone(&inner));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // Only a broken listener ends it, and then no letter comes, which is what the demo looks for.
            drop(axum::serve(listener, app).await);
        });
        Ok(Self { address, inner, _serving: serving })
    }

    /// Where to post to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The first letter that fits, waiting for it at most `patience`.
    pub(crate) async fn letter(&self, fits: impl Fn(&Value) -> bool, patience: Duration) -> Option<Value> {
        let look = async {
            loop {
                let arrived = self.inner.arrived.notified();
                if let Some(letter) = self.inner.find(&fits) {
                    return letter;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(patience, look).await.ok()
    }
}

impl Letters {
    fn find(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|letter| fits(letter)).cloned()
    }
}

async fn take_in(State(inner): State<Arc<Letters>>, Json(letter): Json<Value>) -> StatusCode {
    let mut letters = inner.letters.lock().unwrap_or_else(PoisonError::into_inner);
    if letters.len() >= LETTERS_MAX {
        return StatusCode::INSUFFICIENT_STORAGE;
    }
    letters.push(letter);
    drop(letters);
    inner.arrived.notify_waiters();
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    use super::*;

    async fn post_to(mailbox: &Mailbox, body: String) -> StatusCode {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = Request::post(mailbox.url()).header("content-type", "application/json");
        client.request(request.body(Full::from(body)).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_letter_is_found_also_when_it_comes_later() {
        let mailbox = Mailbox::open().await.unwrap();
        assert_eq!(post_to(&mailbox, r#"{"flight":"a"}"#.into()).await, StatusCode::NO_CONTENT);
        let fits = |letter: &Value| letter["flight"] == "b";
        assert_eq!(mailbox.letter(fits, Duration::from_millis(20)).await, None);
        let (found, status) = tokio::join!(
            mailbox.letter(fits, Duration::from_secs(20)),
            post_to(&mailbox, r#"{"flight":"b","text":"rolled back"}"#.into())
        );
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(found.unwrap()["text"], "rolled back");
    }

    #[tokio::test]
    async fn what_is_no_letter_is_refused() {
        let mailbox = Mailbox::open().await.unwrap();
        assert_eq!(post_to(&mailbox, "not json".into()).await, StatusCode::BAD_REQUEST);
        let long = format!("\"{}\"", "x".repeat(LETTER_BYTES_MAX));
        assert_eq!(post_to(&mailbox, long).await, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

//! Pages answered in Slack: its buttons and its command are sent here, signed with the app's secret.
//!
//! A request is believed by its signature alone, and for five minutes. Whoever presses is the person of `oncall.yaml` with
//! that member ID, or their name in Slack where there is none.
//!
//! Source: Slack, "Verifying requests from Slack", "Handling user interaction", "Implementing slash commands".

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prograde_model::oncall::{PageId, Rota};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;

use super::{Context, Failure, pages};

/// How old a request may be, in seconds.
const AGE_MAX_S: i64 = 5 * 60;
/// The largest request: a press brings the message along that it is in.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// The largest file with a secret.
const SECRET_BYTES_MAX: u64 = 4 * 1024;
/// How long telling the channel may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

const HELP: &str = "`ack P-1` takes a page, `resolve P-1` says that it is over, and nothing lists those that are open";

pub(super) fn router(context: Context) -> Router {
    Router::new().route("/chat/slack", post(slack)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(context)
}

/// What somebody wants of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Acknowledge(PageId),
    Resolve(PageId),
    List,
    Help,
}

/// Who wants what, and where the answer goes; a command's goes back at once.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    user: String,
    name: String,
    wish: Wish,
    answer_to: Option<String>,
}

/// The form that Slack sends: of a command, or with all of a press in one field.
#[derive(Debug, Default, Deserialize)]
struct Form {
    payload: Option<String>,
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    user_name: String,
    #[serde(default)]
    text: String,
}

/// A press, as far as it is read.
#[derive(Debug, Deserialize)]
struct Press {
    user: User,
    actions: Vec<Action>,
    response_url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    username: String,
}

#[derive(Debug, Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

async fn slack(State(context): State<Context>, headers: HeaderMap, body: Bytes) -> Response {
    let answered = async {
        let paging = pages::paging(&context)?;
        let rota = paging.duty().rota();
        let off =
            || Failure::not_found("pages are not answered in Slack: `chat` in `oncall.yaml` says how they can be");
        let file = rota.chat.as_ref().map(|chat| &chat.slack.signing_secret_file).ok_or_else(off)?;
        let folder = context.handled.as_ref().and_then(|handled| handled.files.oncall.as_deref()?.parent());
        let secret = secret(&folder.unwrap_or(Path::new("")).join(file)).await?;
        if !is_signed(&secret, &headers, &body, context.control.now().as_second()) {
            let hint =
                "the signing secret of the app has to be in the file that `oncall.yaml` names, and the clocks right";
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "PG0501", "the request is not signed by Slack", hint));
        }
        let said = read(&body).map_err(Failure::bad_request)?;
        let text = carry_out(&context, &rota, &said).await;
        Ok::<_, Failure>((said, text))
    };
    let (said, text) = match answered.await {
        Ok(answered) => answered,
        Err(failure) => return failure.into_response(),
    };
    match said.answer_to {
        // Slack shows nothing of the answer to a press itself.
        Some(url) => {
            tell(url, text).await;
            StatusCode::OK.into_response()
        }
        None => axum::Json(json!({"response_type": "in_channel", "text": text})).into_response(),
    }
}

async fn secret(path: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| {
        tracing::error!(file = %path.display(), "the signing secret can't be read: {why}");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "PG0505", "the signing secret can't be read", "see the log")
    };
    let metadata = tokio::fs::metadata(path).await.map_err(|error| unreadable(error.to_string()))?;
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(unreadable(format!("it has more than {SECRET_BYTES_MAX} bytes")));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|error| unreadable(error.to_string()))?;
    let secret = text.trim().to_owned();
    if secret.is_empty() { Err(unreadable("it is empty".to_owned())) } else { Ok(secret) }
}

/// Whether Slack signed it just now. Takes as long for a wrong signature as for the right one.
fn is_signed(secret: &str, headers: &HeaderMap, body: &[u8], now_s: i64) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(time), Some(signature)) = (text("x-slack-request-timestamp"), text("x-slack-signature")) else {
        return false;
    };
    let is_fresh = time.parse::<i64>().is_ok_and(|at| now_s.abs_diff(at) <= AGE_MAX_S.unsigned_abs());
    let Some(Ok(signature)) = signature.strip_prefix("v0=").map(hex::decode) else { return false };
    let Ok(key) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    let signed = key.chain_update(format!("v0:{time}:")).chain_update(body);
    signed.verify_slice(&signature).is_ok() && is_fresh
}

/// What is said in the body of a request.
fn read(body: &[u8]) -> Result<Said, String> {
    let form: Form = serde_urlencoded::from_bytes(body).map_err(|error| format!("the form can't be read: {error}"))?;
    let Some(payload) = form.payload else {
        return Ok(Said { user: form.user_id, name: form.user_name, wish: wish(&form.text), answer_to: None });
    };
    let press: Press = serde_json::from_str(&payload).map_err(|error| format!("`payload` can't be read: {error}"))?;
    let action = press.actions.first().ok_or("there is no action in it")?;
    let page = || action.value.parse::<PageId>().map_err(|error| error.to_string());
    let wish = match action.action_id.as_str() {
        "acknowledge" => Wish::Acknowledge(page()?),
        "resolve" => Wish::Resolve(page()?),
        other => return Err(format!("the action {other:?} is none of ours")),
    };
    let answer_to = press.response_url.filter(|url| may_be_told(url)).unwrap_or_default();
    Ok(Said { user: press.user.id, name: press.user.username, wish, answer_to: Some(answer_to) })
}

/// Whether an address is Slack's own, or of this machine as in tests.
fn may_be_told(url: &str) -> bool {
    let Ok(url) = url.parse::<axum::http::Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let is_slack = url.scheme_str() == Some("https") && (host == "slack.com" || host.ends_with(".slack.com"));
    is_slack || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What is wanted by the words after a command.
fn wish(text: &str) -> Wish {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let page = |text: &str| text.to_ascii_uppercase().parse::<PageId>();
    match words.as_slice() {
        [] | ["list"] => Wish::List,
        ["ack" | "acknowledge" | "take", id] => page(id).map_or(Wish::Help, Wish::Acknowledge),
        ["resolve" | "end", id] => page(id).map_or(Wish::Help, Wish::Resolve),
        _ => Wish::Help,
    }
}

/// Does what is wanted; says what came of it.
async fn carry_out(context: &Context, rota: &Rota, said: &Said) -> String {
    let known = rota.people.iter().find(|(_, person)| person.slack.as_deref() == Some(said.user.as_str()));
    let name = if said.name.trim().is_empty() { &said.user } else { &said.name };
    let by = known.map_or(name.as_str(), |(name, _)| name);
    let by = match super::orders::named(by) {
        Ok(by) => by,
        Err(failure) => return failure.body.message,
    };
    let done = match said.wish {
        Wish::Help => return HELP.to_owned(),
        Wish::List => return open(context).await,
        Wish::Acknowledge(page) => {
            pages::take(context, page, by).await.map(|view| format!("{page} is {by}'s: {}", view.title))
        }
        Wish::Resolve(page) => {
            pages::end(context, page, by).await.map(|view| format!("{page} is over, says {by}: {}", view.title))
        }
    };
    plain(&done.unwrap_or_else(|failure| failure.body.message))
}

/// The pages that are open, a line each.
async fn open(context: &Context) -> String {
    let Ok(paging) = pages::paging(context) else { return String::new() };
    let lines = paging.with_desk(|desk| {
        let open = desk.pages().rev().filter(|(_, entry)| entry.resolved_at.is_none()).take(20);
        let line = |(id, entry): (PageId, &prograde_model::oncall::Entry)| {
            let by = entry.acknowledged.as_ref().map_or_else(|| "waits".to_owned(), |(_, by)| format!("{by}'s"));
            format!("{id} ({by}): {}", entry.about.title)
        };
        open.map(line).collect::<Vec<_>>()
    });
    let lines = lines.await;
    if lines.is_empty() { "no page is open".to_owned() } else { plain(&lines.join("\n")) }
}

/// A text without Slack's marks (Slack, "Formatting text for app surfaces", "Escaping text").
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Tells the channel. What was done is done, also where it is not heard of.
async fn tell(url: String, text: String) {
    if url.is_empty() {
        return;
    }
    let body = json!({"response_type": "in_channel", "replace_original": false, "text": text});
    let told = tokio::task::spawn_blocking(move || prograde_notify::delivery::post(&url, body, ANSWER_MAX)).await;
    match told {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tracing::warn!("Slack did not take the answer to a press: {}", failure.why()),
        Err(error) => tracing::error!("answering Slack ended badly: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation, "Verifying requests from Slack".
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn headers(time: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-slack-request-timestamp", time.parse().unwrap());
        headers.insert("x-slack-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn what_slack_signed_just_now_is_believed_and_nothing_else() {
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let good = headers("1531420618", signature);
        let is = |headers: &HeaderMap, body: &str, now| is_signed(SECRET, headers, body.as_bytes(), now);
        assert!(is(&good, BODY, 1_531_420_618 + 300));
        assert!(!is(&good, BODY, 1_531_420_618 + 301), "too old");
        assert!(!is(&good, &BODY.replace("roadrunner", "coyote"), 1_531_420_618));
        assert!(!is(&headers("1531420619", signature), BODY, 1_531_420_618), "another time");
        assert!(!is(&headers("1531420618", &signature[3..]), BODY, 1_531_420_618));
        assert!(!is(&headers("now", signature), BODY, 1_531_420_618));
        assert!(!is(&HeaderMap::new(), BODY, 1_531_420_618));
    }

    #[test]
    fn commands_and_presses_are_read() {
        let page: PageId = "P-7".parse().unwrap();
        for (text, wanted) in [
            ("", Wish::List),
            (" list ", Wish::List),
            ("ack P-7", Wish::Acknowledge(page)),
            ("ACK p-7", Wish::Acknowledge(page)),
            ("resolve P-7", Wish::Resolve(page)),
            ("resolve", Wish::Help),
            ("ack P-x", Wish::Help),
            ("ack P-7 now", Wish::Help),
        ] {
            assert_eq!(wish(text), wanted, "{text:?}");
        }
        let said = read(BODY.as_bytes()).unwrap();
        assert_eq!((said.user.as_str(), said.name.as_str(), said.answer_to), ("U2CERLKJA", "roadrunner", None));
        let press = |action: &str, url: &str| {
            let payload = json!({"type": "block_actions", "user": {"id": "U1", "username": "ann", "team_id": "T1"},
                "actions": [{"type": "button", "action_id": action, "block_id": "prograde_page", "value": "P-7"}],
                "response_url": url, "message": {"text": "..."}});
            read(serde_urlencoded::to_string([("payload", payload.to_string())]).unwrap().as_bytes())
        };
        let said = press("acknowledge", "https://hooks.slack.com/actions/T1/1/x").unwrap();
        assert_eq!(
            (said.wish, said.answer_to.as_deref()),
            (Wish::Acknowledge(page), Some("https://hooks.slack.com/actions/T1/1/x"))
        );
        for elsewhere in
            ["https://slack.com.evil.example/x", "http://hooks.slack.com/x", "file:///etc/passwd", "http://10.0.0.1/"]
        {
            assert_eq!(press("resolve", elsewhere).unwrap().answer_to.as_deref(), Some(""), "{elsewhere}");
        }
        assert!(press("delete", "").unwrap_err().contains("none of ours"));
        for bad in ["payload=", "payload={}", "payload=%7B%22user%22%3A1%7D"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

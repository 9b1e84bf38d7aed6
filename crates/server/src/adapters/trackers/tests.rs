//! A strict server that answers as the public documentation of each API says, and refuses whatever else is asked; and its faults.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prograde_control::filing::Ticket;
use prograde_model::alert::Failure;
use prograde_model::incident::{ActionId, ActionKind, Draft, Ending};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

const TOKEN: &str = "s3cret-token";

/// A request as it came.
struct Asked {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

type Answers = Arc<dyn Fn(&Asked) -> Vec<u8> + Send + Sync>;

/// Answers one request a connection; it is gone when this is dropped.
struct Peer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, mut tasks) = (Arc::clone(&asked), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                connections.spawn(async move { answer(stream, &answers, &seen).await });
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(mut stream: TcpStream, answers: &Answers, seen: &Mutex<Vec<String>>) {
    let mut bytes = Vec::new();
    let head = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + length {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..read]);
    }
    let body = serde_json::from_slice(&bytes[head..]).unwrap_or(Value::Null);
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
    let answer = answers(&Asked { method, target, headers, body });
    // The other side may have read enough.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

fn json_answer(status: &str, body: &Value) -> Vec<u8> {
    http(status, "", &body.to_string())
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}

fn connect(kind: Kind, folder: &Path) -> Arc<dyn Tracker> {
    std::fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
    let config = TrackerConfig {
        name: "tracker".into(),
        kind,
        token_file: "token".into(),
        labels: vec!["post-mortem".into()],
        services: Vec::new(),
        automatic: true,
        every: "5m".parse().unwrap(),
        mark: "prograde".into(),
    };
    let clock: Arc<dyn Clock> = Arc::new(Fixed);
    tracker(&config, folder, &clock)
}

fn draft() -> Draft {
    Draft {
        action: ActionId::new(7),
        title: "test with \"locks\" & <b>".into(),
        text: "Owner: Bob\nDue: 2027-03-01\n".into(),
        kind: ActionKind::Prevent,
    }
}

/// The issues of a tracker in memory: title, labels, and how each ended.
type Issues = Arc<Mutex<Vec<(Value, Option<String>)>>>;

fn refused(asked: &Asked, why: &str) -> Vec<u8> {
    json_answer("400 Bad Request", &json!({"message": format!("{why}: {} {}", asked.method, asked.target)}))
}

/// GitHub as "REST API endpoints for issues" describes it.
fn github(issues: Issues) -> Answers {
    Arc::new(move |asked| {
        let header = |name: &str| asked.headers.get(name).map(String::as_str);
        let shown = (header("authorization"), header("accept"), header("x-github-api-version"));
        let bearer = format!("Bearer {TOKEN}");
        if shown != (Some(&bearer), Some("application/vnd.github+json"), Some("2022-11-28")) {
            return refused(asked, "headers");
        }
        if header("user-agent").is_none_or(str::is_empty) {
            return refused(asked, "GitHub wants a user agent");
        }
        let mut issues = issues.lock().unwrap();
        let shape = |index: usize, (body, ended): &(Value, Option<String>)| {
            let labels: Vec<Value> =
                body["labels"].as_array().unwrap().iter().map(|name| json!({"id": 1, "name": name})).collect();
            json!({"id": 1_000 + index, "number": index + 1, "html_url": format!("https://github.example/team/pad/issues/{}", index + 1),
                "state": if ended.is_some() { "closed" } else { "open" }, "state_reason": ended, "title": body["title"], "labels": labels})
        };
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        match (asked.method.as_str(), path, query) {
            (
                "GET",
                "/repos/team/pad/issues",
                "labels=prograde-ACT-7&state=all&sort=created&direction=asc&per_page=10",
            ) => {
                let all: Vec<Value> = issues.iter().enumerate().map(|(index, one)| shape(index, one)).collect();
                json_answer("200 OK", &json!(all))
            }
            ("POST", "/repos/team/pad/issues", "") => {
                let keys: Vec<&str> = asked.body.as_object().unwrap().keys().map(String::as_str).collect();
                let labels = json!(["prograde-ACT-7", "post-mortem"]);
                if keys != ["title", "body", "labels"]
                    || asked.body["labels"] != labels
                    || asked.body["title"] != draft().title
                {
                    return refused(asked, "body");
                }
                issues.push((asked.body.clone(), None));
                let index = issues.len() - 1;
                json_answer("201 Created", &shape(index, &issues[index]))
            }
            ("GET", "/repos/team/pad/issues/1", "") => json_answer("200 OK", &shape(0, &issues[0])),
            ("PATCH", "/repos/team/pad/issues/1", "") if asked.body["state"] == "closed" => {
                issues[0].1 = Some(asked.body["state_reason"].as_str().unwrap().to_owned());
                json_answer("200 OK", &shape(0, &issues[0]))
            }
            ("POST", "/repos/team/pad/issues/1/comments", "") if asked.body["body"].is_string() => {
                json_answer("201 Created", &json!({"id": 1}))
            }
            _ => refused(asked, "no such route"),
        }
    })
}

/// GitLab as its "Issues API" describes it.
fn gitlab(issues: Issues) -> Answers {
    Arc::new(move |asked| {
        if asked.headers.get("authorization").map(String::as_str) != Some(&format!("Bearer {TOKEN}")) {
            return json_answer("401 Unauthorized", &json!({"message": "401 Unauthorized"}));
        }
        let mut issues = issues.lock().unwrap();
        let shape = |index: usize, ended: &Option<String>| {
            json!({"id": 900 + index, "iid": index + 1, "web_url": format!("https://gitlab.example/team/sub/pad/-/issues/{}", index + 1),
                "state": if ended.is_some() { "closed" } else { "opened" }})
        };
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let rest = path.strip_prefix("/api/v4/projects/team%2Fsub%2Fpad/issues");
        match (asked.method.as_str(), rest, query) {
            ("GET", Some(""), "labels=prograde-ACT-7&scope=all&order_by=created_at&sort=asc&per_page=10") => {
                let all: Vec<Value> =
                    issues.iter().enumerate().map(|(index, (_, ended))| shape(index, ended)).collect();
                json_answer("200 OK", &json!(all))
            }
            ("POST", Some(""), "")
                if asked.body["labels"] == "prograde-ACT-7,post-mortem" && asked.body["description"].is_string() =>
            {
                issues.push((asked.body.clone(), None));
                json_answer("201 Created", &shape(issues.len() - 1, &None))
            }
            ("GET", Some("/1"), "") => json_answer("200 OK", &shape(0, &issues[0].1)),
            ("PUT", Some("/1"), "") if asked.body == json!({"state_event": "close"}) => {
                issues[0].1 = Some("closed".into());
                json_answer("200 OK", &shape(0, &issues[0].1))
            }
            ("POST", Some("/1/notes"), "") if asked.body["body"].is_string() => {
                json_answer("201 Created", &json!({"id": 1}))
            }
            _ => refused(asked, "no such route"),
        }
    })
}

/// Jira as "Jira Cloud platform REST API v2" (`cloud`) or "Jira Data Center REST API" describes it.
fn jira(issues: Issues, cloud: bool) -> Answers {
    Arc::new(move |asked| {
        // RFC 7617: ann@example.com:s3cret-token
        let shown =
            if cloud { "Basic YW5uQGV4YW1wbGUuY29tOnMzY3JldC10b2tlbg==".to_owned() } else { format!("Bearer {TOKEN}") };
        if asked.headers.get("authorization") != Some(&shown) {
            return json_answer("401 Unauthorized", &json!({"errorMessages": ["no"], "errors": {}}));
        }
        let mut issues = issues.lock().unwrap();
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let search = if cloud { "/search/jql" } else { "/search" };
        let jql = "jql=project%20%3D%20%22OPS%22%20AND%20labels%20%3D%20%22prograde-ACT-7%22%20ORDER%20BY%20created%20ASC&fields=status&maxResults=10";
        match (asked.method.as_str(), path.strip_prefix("/rest/api/2").unwrap_or("?"), query) {
            ("GET", path, query) if path == search && query == jql => {
                let all: Vec<Value> = issues.iter().map(|_| json!({"id": "10001", "key": "OPS-1"})).collect();
                json_answer("200 OK", &json!({"issues": all}))
            }
            ("POST", "/issue", "") => {
                let expected = json!({"project": {"key": "OPS"}, "issuetype": {"name": "Task"}, "summary": draft().title,
                    "description": draft().text, "labels": ["prograde-ACT-7", "post-mortem"]});
                if asked.body["fields"] != expected {
                    return json_answer(
                        "400 Bad Request",
                        &json!({"errorMessages": [], "errors": {"summary": "wrong"}}),
                    );
                }
                issues.push((asked.body.clone(), None));
                json_answer("201 Created", &json!({"id": "10001", "key": "OPS-1", "self": "https://jira.example/x"}))
            }
            ("GET", "/issue/OPS-1", "fields=status,resolution") => {
                let category = if issues[0].1.is_some() { "done" } else { "new" };
                json_answer(
                    "200 OK",
                    &json!({"key": "OPS-1", "fields": {"status": {"name": "?", "statusCategory": {"key": category}}}}),
                )
            }
            ("GET", "/issue/OPS-1/transitions", "") => json_answer(
                "200 OK",
                &json!({"transitions": [
                {"id": "11", "name": "Start", "to": {"statusCategory": {"key": "indeterminate"}}},
                {"id": "31", "name": "Finish", "to": {"statusCategory": {"key": "done"}}}]}),
            ),
            ("POST", "/issue/OPS-1/transitions", "") if asked.body == json!({"transition": {"id": "31"}}) => {
                issues[0].1 = Some("done".into());
                http("204 No Content", "", "")
            }
            ("POST", "/issue/OPS-1/comment", "") if asked.body["body"].is_string() => {
                json_answer("201 Created", &json!({"id": "1"}))
            }
            _ => refused(asked, "no such route"),
        }
    })
}

fn kinds(address: SocketAddr) -> [Kind; 4] {
    let url = format!("http://{address}");
    let jira = |edition, user| Kind::Jira {
        url: url.clone(),
        project: "OPS".into(),
        issue_type: "Task".into(),
        user,
        edition: Some(edition),
    };
    [
        Kind::Github { url: url.clone(), repository: "team/pad".into() },
        Kind::Gitlab { url: url.clone(), project: "team/sub/pad".into() },
        jira(crate::trackers::config::Edition::Cloud, Some("ann@example.com".into())),
        jira(crate::trackers::config::Edition::DataCenter, None),
    ]
}

#[tokio::test]
async fn a_ticket_is_opened_found_looked_at_and_closed() {
    for index in 0..4 {
        let issues = Issues::default();
        let answers = match index {
            0 => github(Arc::clone(&issues)),
            1 => gitlab(Arc::clone(&issues)),
            _ => jira(Arc::clone(&issues), index == 2),
        };
        let peer = Peer::start(answers).await;
        let folder = tempfile::tempdir().unwrap();
        let tracker = connect(kinds(peer.address)[index].clone(), folder.path());
        assert_eq!(tracker.find(ActionId::new(7)).await, Ok(None), "{index}");
        let opened = tracker.open(&draft()).await.unwrap();
        let found = tracker.find(ActionId::new(7)).await.unwrap();
        assert_eq!(found.as_ref(), Some(&opened));
        let url = match index {
            0 => "https://github.example/team/pad/issues/1".to_owned(),
            1 => "https://gitlab.example/team/sub/pad/-/issues/1".to_owned(),
            _ => format!("http://{}/browse/OPS-1", peer.address),
        };
        assert_eq!(opened, Ticket { id: if index < 2 { "1" } else { "OPS-1" }.into(), url });
        assert_eq!(tracker.look(&opened.id).await, Ok(None));
        tracker.close(&opened.id, Ending::Dropped, "ACT-7 is dropped (Ann): the queue is gone").await.unwrap();
        // Only GitHub tells why an issue was closed.
        let ending = if index == 0 { Ending::Dropped } else { Ending::Done };
        assert_eq!(tracker.look(&opened.id).await, Ok(Some(ending)), "{index}");
        let asked = peer.asked();
        assert!(
            asked.last().is_some_and(|last| last.starts_with("GET")) && !asked.iter().any(|one| one.contains(TOKEN)),
            "{asked:?}"
        );
    }
}

async fn failure(answer: Vec<u8>) -> Failure {
    let peer = Peer::start(Arc::new(move |_| answer.clone())).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = connect(kinds(peer.address)[0].clone(), folder.path());
    let found = tracker.find(ActionId::new(7)).await.unwrap_err();
    let opened = tracker.open(&draft()).await.unwrap_err();
    assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&opened), "{found:?} {opened:?}");
    for told in [&found, &opened] {
        let told = told.why();
        assert!(!told.contains(TOKEN) && !told.contains("127.0.0.1") && told.len() < 400, "{told}");
    }
    found
}

#[tokio::test]
async fn every_fault_has_a_meaning() {
    let said = |text: &str| json!({"message": text, "documentation_url": "https://docs.github.com/rest"}).to_string();
    let reset = "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1800000090\r\n";
    let pause = |seconds: i64| Some(jiff::SignedDuration::from_secs(seconds));
    for (answer, says, lasts, retry_after) in [
        (http("401 Unauthorized", "", &said("Bad credentials")), "status 401: Bad credentials", true, None),
        (http("403 Forbidden", "", &said("Resource not accessible")), "status 403: Resource", true, None),
        (http("403 Forbidden", reset, &said("API rate limit exceeded")), "status 403: API rate", false, pause(90)),
        (http("403 Forbidden", "retry-after: 30\r\n", &said("secondary")), "status 403: secondary", false, pause(30)),
        (http("429 Too Many Requests", "", "{}"), "status 429", false, pause(60)),
        (
            http("429 Too Many Requests", "retry-after: Fri, 15 Jan 2027 08:02:00 GMT\r\n", ""),
            "status 429",
            false,
            pause(120),
        ),
        (http("503 Service Unavailable", "retry-after: 7\r\n", "<html>"), "status 503", false, pause(7)),
        (http("404 Not Found", "", &said("Not Found")), "status 404: Not Found", true, None),
        (http("410 Gone", "", &said("Issues are disabled")), "status 410: Issues", true, None),
        (
            http(
                "422 Unprocessable Entity",
                "",
                &json!({"message": "Validation Failed", "errors": [{"field": "title"}]}).to_string(),
            ),
            "status 422: Validation Failed, [{\"field\":\"title\"}]",
            true,
            None,
        ),
        (http("500 Internal Server Error", "", ""), "status 500", false, None),
        (
            http("301 Moved Permanently", "location: http://127.0.0.1:1/elsewhere\r\n", ""),
            "redirects are not followed",
            true,
            None,
        ),
        (http("200 OK", "", "[{\"number\": "), "no JSON", false, None),
        (http("200 OK", "", "<html>"), "no JSON", false, None),
        (http("200 OK", "", "{\"a\": 1}"), "the answer has no", true, None),
        (http("200 OK", "", "[{\"number\": -1}]"), "the answer has no", true, None),
        (http("200 OK", "", &format!("[\"{}\"]", "x".repeat(10 << 20))), "longer than 1024 KiB", true, None),
        (http("200 OK", "", &"[".repeat(200_000)), "no JSON", false, None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[]".to_vec(), "not reached", false, None),
        (b"nonsense".to_vec(), "not reached", false, None),
        (Vec::new(), "not reached", false, None),
    ] {
        let failure = failure(answer).await;
        assert!(failure.why().contains(says), "{says}: {failure:?}");
        match &failure {
            Failure::Lasting { .. } => assert!(lasts, "{failure:?}"),
            Failure::Passing { retry_after: found, .. } => assert!(!lasts && *found == retry_after, "{failure:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_tracker_says_is_checked_before_it_is_kept() {
    for url in ["javascript:alert(1)", "", "https://", "ftp://x", &format!("https://x/{}", "y".repeat(2_000))] {
        let issue = json!([{"number": 1, "html_url": url, "state": "open"}]).to_string();
        let peer = Peer::start(Arc::new(move |_| http("200 OK", "", &issue))).await;
        let folder = tempfile::tempdir().unwrap();
        let tracker = connect(kinds(peer.address)[0].clone(), folder.path());
        let told = tracker.find(ActionId::new(7)).await.unwrap_err();
        assert!(told.why().contains("address of the ticket"), "{url}: {told:?}");
    }
    // A pull request bears the label as well.
    let issues =
        json!([{"number": 1, "html_url": "https://x/1", "pull_request": {}}, {"number": 2, "html_url": "https://x/2"}])
            .to_string();
    let peer = Peer::start(Arc::new(move |_| http("200 OK", "", &issues))).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = connect(kinds(peer.address)[0].clone(), folder.path());
    assert_eq!(tracker.find(ActionId::new(7)).await.unwrap().unwrap().id, "2");
    // A token that is gone is told without its place in the answer.
    std::fs::remove_file(folder.path().join("token")).unwrap();
    let told = tracker.find(ActionId::new(7)).await.unwrap_err();
    assert!(told.why().contains("can't be read"), "{told:?}");
}

#[test]
fn texts_are_encoded_byte_by_byte() {
    assert_eq!(api::segment("team/sub pad~é\"&="), "team%2Fsub%20pad~%C3%A9%22%26%3D");
    assert_eq!(mark("prograde", ActionId::new(7)), "prograde-ACT-7");
}

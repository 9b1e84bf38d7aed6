//! What receivers are told, beside the real Alertmanager, and what happens when they can't be told.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::peer::{amtool, missing, printed};
use super::serve::{Running, Served, wait};

/// A status, and after how long it should be tried again.
type Answer = (u16, Option<&'static str>);

/// A receiver that keeps what it is told, and answers as it is asked to.
#[derive(Clone, Default)]
struct Receiver {
    told: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Receiver {
    /// Listens; gives its address.
    fn listen(&self, served: &Served) -> String {
        let listener = served.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        self.serve(served, listener);
        format!("http://{address}")
    }

    fn serve(&self, served: &Served, listener: tokio::net::TcpListener) {
        let router = Router::new().fallback(take).with_state(self.clone());
        served.runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    fn told(&self, path: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|(at, ..)| at == path).map(|(.., body)| body.clone()).collect()
    }
}

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let answer = receiver.answers.lock().unwrap().pop_front().unwrap_or((200, None));
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    receiver.told.lock().unwrap().push((uri.path().to_owned(), headers, body));
    let status = StatusCode::from_u16(answer.0).unwrap();
    match answer.1 {
        Some(seconds) => (status, [("retry-after", seconds)], "later").into_response(),
        None => status.into_response(),
    }
}

/// A configuration whose receivers are at an address; `{way}` tells the two servers apart.
fn config(url: &str, way: &str) -> String {
    let texts = "title: '{{ .GroupLabels.alertname }} {{ .Alerts | len }}', text: '{{ range .Alerts }}{{ .Labels.zone }}{{ end }}', color: '{{ .Status }}', fallback: x, pretext: '', title_link: '', username: me, footer: ''";
    format!(
        "
route: {{ receiver: all, group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 1h }}
receivers:
  - name: all
    webhook_configs: [{{ url: '{url}/{way}/webhook' }}, {{ url: '{url}/{way}/one', max_alerts: 1, send_resolved: false }}]
    slack_configs: [{{ api_url: '{url}/{way}/slack', channel: '#{{{{ .GroupLabels.alertname | toLower }}}}', send_resolved: true, {texts}, fields: [{{ title: a, value: '{{{{ .Status }}}}' }}] }}]
    pagerduty_configs: [{{ url: '{url}/{way}/pager', routing_key: k, description: '{{{{ .CommonLabels.alertname }}}}', client: c, client_url: 'http://c', details: {{ firing: '{{{{ .Alerts.Firing | len }}}}', resolved: '' }} }}]
"
    )
}

fn alertmanager(served: &Served, config: &str) -> Option<(Running, String)> {
    let folder = served.folder.path();
    fs::write(folder.join("theirs.yml"), config).unwrap();
    let address = format!("127.0.0.1:{}", prograde_ports::free());
    let log = File::create(folder.join("log")).unwrap();
    let child = Command::new("prometheus-alertmanager")
        .args(["--config.file=theirs.yml", "--storage.path=theirs", "--cluster.listen-address="])
        .args([&format!("--web.listen-address={address}"), "--web.external-url=http://prograde.example.org"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    match child {
        // The external URL's path is the prefix of its own routes.
        Ok(child) => Some((Running(child), format!("http://{address}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing("prometheus-alertmanager");
            None
        }
        Err(error) => panic!("alertmanager can't be started: {error}"),
    }
}

/// What must be the same in both: all but times.
fn without_times(mut body: Value) -> Value {
    for alert in body.get_mut("alerts").and_then(Value::as_array_mut).into_iter().flatten() {
        let fields = alert.as_object_mut().unwrap();
        fields.remove("startsAt");
        if fields["status"] == "resolved" {
            fields.remove("endsAt");
        }
    }
    body
}

/// Posts the same to both, and compares what their receivers are told.
#[test]
fn receivers_are_told_the_same_as_by_alertmanager() {
    let receiver = Receiver::default();
    // A first service only to have a runtime for the receiver, whose address the second one needs.
    let stage = Served::start("route: { receiver: a }\nreceivers: [{ name: a }]\n");
    let url = receiver.listen(&stage);
    let served = Served::start(&config(&url, "ours"));
    let Some((_running, theirs)) = alertmanager(&served, &config(&url, "theirs")) else { return };
    let post = |arguments: &[&str]| {
        for at in [&served.url, &theirs] {
            let url = format!("--alertmanager.url={at}");
            let arguments = [&[url.as_str()], arguments].concat();
            wait("the alert is taken", || amtool(&arguments).filter(|output| output.status.success()));
        }
    };
    post(&["alert", "add", "Full", "zone=b", "job=x", "--annotation=summary=a full disk"]);
    post(&["alert", "add", "Full", "zone=a", "job=x", "--annotation=summary=b"]);
    let first = |way: &str, path: &str, count: usize| {
        wait(&format!("{way}/{path} is told {count} times"), || {
            receiver.told(&format!("/{way}/{path}")).get(count - 1).cloned()
        })
    };
    for path in ["webhook", "one", "slack", "pager"] {
        let (ours, theirs) = (first("ours", path, 1), first("theirs", path, 1));
        assert_eq!(without_times(ours), without_times(theirs), "{path}");
    }
    #[expect(clippy::disallowed_methods, reason = "what is posted ends at this moment, for both")]
    let ended = format!("--end={}", jiff::Timestamp::now());
    let (start, ended) = ("--start=2000-01-01T00:00:00Z", ended.as_str());
    post(&["alert", "add", "Full", "zone=b", "job=x", start, ended, "--annotation=summary=a full disk"]);
    post(&["alert", "add", "Full", "zone=a", "job=x", start, ended, "--annotation=summary=b"]);
    for path in ["webhook", "slack", "pager"] {
        let last = |way: &str| {
            wait(&format!("{way}/{path} is told of the end"), || {
                let told = receiver.told(&format!("/{way}/{path}"));
                let is_end = |body: &Value| {
                    let text = body.to_string();
                    text.contains("\"status\":\"resolved\",\"alerts\"")
                        || body["status"] == "resolved"
                        || text.contains("\"event_action\":\"resolve\"")
                        || text.contains("\"color\":\"resolved\"")
                };
                told.into_iter().find(is_end)
            })
        };
        assert_eq!(without_times(last("ours")), without_times(last("theirs")), "{path}");
    }
    assert_eq!(receiver.told("/ours/one").len(), 1);
    served.stop();
    stage.stop();
}

#[test]
fn fingerprints_are_alertmanagers() {
    let served = Served::start("route: { receiver: a }\nreceivers: [{ name: a }]\n");
    let config = "route: { receiver: a }\nreceivers: [{ name: a }]\n";
    let Some((_running, theirs)) = alertmanager(&served, config) else { return };
    let fingerprint = |at: &str| {
        let url = format!("--alertmanager.url={at}");
        wait("the alert is taken", || {
            amtool(&[&url, "alert", "add", "Füll", "disk=a b"]).filter(|output| output.status.success())
        });
        let found = printed(&amtool(&[&url, "-o", "json", "alert", "query"]).unwrap());
        serde_json::from_str::<Value>(&found).unwrap()[0]["fingerprint"].clone()
    };
    assert_eq!(fingerprint(&served.url), fingerprint(&theirs));
    served.stop();
}

#[test]
fn a_receiver_that_fails_is_told_again_and_one_that_refuses_is_not() {
    let receiver = Receiver::default();
    let stage = Served::start("route: { receiver: a }\nreceivers: [{ name: a }]\n");
    let url = receiver.listen(&stage);
    receiver.answers.lock().unwrap().extend([(500, None), (429, Some("1")), (503, None)]);
    let config = format!(
        "
route: {{ receiver: a, group_wait: 0s, group_interval: 1h, routes: [{{ match: {{ to: b }}, receiver: b }}] }}
receivers: [{{ name: a, webhook_configs: [{{ url: '{url}/a' }}] }}, {{ name: b, webhook_configs: [{{ url: '{url}/b' }}] }}]
"
    );
    let served = Served::start(&config);
    let Some(added) = served.amtool(&["alert", "add", "Full"]) else { return };
    printed(&added);
    wait("it is told at last", || (receiver.told("/a").len() == 4).then_some(()));
    receiver.answers.lock().unwrap().extend([(400, None)]);
    printed(&served.amtool(&["alert", "add", "Full", "to=b"]).unwrap());
    wait("it is told once", || (receiver.told("/b").len() == 1).then_some(()));
    // After a restart nobody is told what they know.
    let served = Served::resume(&config, served.stop());
    printed(&served.amtool(&["alert", "add", "Other", "to=b"]).unwrap());
    wait("it is told of the other", || (receiver.told("/b").len() == 2).then_some(()));
    assert_eq!(receiver.told("/a").len(), 4);
    served.stop();
    stage.stop();
}

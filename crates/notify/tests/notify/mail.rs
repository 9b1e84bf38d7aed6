//! Mails, to a real mail server: over TLS, logged in, and refused.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use prograde_model::alert::{Alert, Cause, Failure, Notification, NotificationKey};
use prograde_notify::delivery::Teller;
use serde_json::{Value, json};

use super::peer::missing;
use super::serve::{Running, now};

/// A mail server with a certificate of its own.
struct Server {
    _running: Option<Running>,
    port: u16,
    folder: PathBuf,
}

impl Server {
    fn start(mode: &str, folder: &Path) -> Option<Self> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/aiosmtpd/bin/python");
        if !python.exists() {
            missing("aiosmtpd");
            return None;
        }
        let certified = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=mail.example.org", "-addext", "subjectAltName=DNS:mail.example.org"])
            // Its own authority, and none for others.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(certified.status.success(), "{certified:?}");
        let port = prograde_ports::free();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notify/mail_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([mode, &format!("{port}"), "certificate.pem", "key.pem", "mails"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Some(Self { _running: Some(Running(child)), port, folder: folder.to_owned() })
    }

    fn mails(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("mails")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn config(port: u16, global: &str, way: &str) -> String {
    format!(
        "global: {{ smtp_smarthost: '127.0.0.1:{port}', smtp_from: 'Prograde <prograde@example.org>'{global} }}\n\
         route: {{ receiver: a, group_by: [alertname] }}\n\
         receivers: [{{ name: a, email_configs: [{{ {way} }}] }}]\n"
    )
}

fn alert(name: &str) -> Alert {
    Alert {
        labels: [("alertname", name)].into_iter().collect(),
        annotations: [("summary".to_owned(), "orders are <lost>".to_owned())].into(),
        starts_at: now(),
        ends_at: now(),
        timeout: false,
        updated_at: now(),
        generator_url: String::new(),
    }
}

/// Sends one mail, as a configuration in the server's folder says.
fn send(server: &Server, (global, way): (&str, &str), name: &str) -> Result<(), Failure> {
    let text = config(server.port, global, way);
    let config = prograde_notify::parse("alertmanager.yml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let file = server.folder.join("alertmanager.yml");
    let teller = Teller::new(&config, &file, "http://prograde.example.org".to_owned()).unwrap();
    let (group, receiver, integration) = ("{}".to_owned(), "a".to_owned(), "email/0".to_owned());
    let alert = alert(name);
    let notification = Notification {
        key: NotificationKey { group, receiver, integration },
        cause: Cause::First,
        group_labels: alert.labels.clone(),
        firing: BTreeSet::new(),
        resolved: BTreeSet::new(),
        alerts: vec![(alert, true)],
        at: now(),
        give_up_at: now(),
    };
    let way = teller.ways("a")[0].clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(teller.attempt(way, notification, None, Duration::from_secs(15)))
}

const TLS: &str = "tls_config: { ca_file: certificate.pem, server_name: mail.example.org }";
const LOGIN: &str = ", smtp_auth_username: prograde, smtp_auth_password_file: password";

#[test]
fn a_mail_goes_over_tls_and_logged_in_with_text_and_html() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = Server::start("starttls", folder.path()) else { return };
    fs::write(folder.path().join("password"), "let me in\n").unwrap();
    let way = format!(
        "to: 'Ann <ann@example.org>, bob@example.org', hello: ground.example.org, text: '{{{{ .CommonLabels.alertname }}}} é', \
         headers: {{ Subject: '{{{{ .CommonLabels.alertname }}}}', X-Team: pad }}, {TLS}"
    );
    send(&server, (LOGIN, &way), "Slow\r\nBcc: eve@example.org").unwrap();
    let mail = server.mails().pop().unwrap();
    let said = |field: &str| mail[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (&mail["tls"], said("login"), said("hello")),
        (&json!(true), "prograde".into(), "ground.example.org".into())
    );
    assert_eq!(said("from"), "prograde@example.org");
    assert_eq!(mail["to"], json!(["ann@example.org", "bob@example.org"]));
    let headers = &mail["headers"];
    assert_eq!(headers["subject"], "Slow Bcc: eve@example.org", "a line's end in a label makes no header");
    assert_eq!((&headers["x-team"], headers.get("bcc")), (&json!("pad"), None));
    assert!(headers["message-id"].as_str().unwrap().ends_with("@example.org>"), "{headers}");
    assert!(mail["parts"]["text/plain"].as_str().unwrap().contains("é"), "{mail}");
    assert!(mail["parts"]["text/html"].as_str().unwrap().contains("orders are &lt;lost&gt;"), "{mail}");
}

#[test]
fn a_mail_that_can_not_be_sent_is_a_failure_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = Server::start("starttls", folder.path()) else { return };
    fs::write(folder.path().join("password"), "let me out").unwrap();
    let check = |global: &str, way: &str, lasting: bool, says: &str| {
        let failure = send(&server, (global, way), "Slow").unwrap_err();
        assert_eq!(matches!(failure, Failure::Lasting { .. }), lasting, "{failure:?}");
        assert!(failure.why().contains(says) && !failure.why().contains("let me out"), "{failure:?}");
    };
    check("", &format!("to: nobody@example.org, {TLS}"), true, "nobody of that name is here");
    check("", &format!("to: later@example.org, {TLS}"), false, "not now");
    check(LOGIN, &format!("to: ann@example.org, {TLS}"), true, "535");
    check("", "to: not an address", true, "`to` is no list of addresses");
    // The certificate is its own, and no authority that is believed has signed it.
    check("", "to: ann@example.org", false, "certificate");
    check("", "to: ann@example.org, tls_config: { ca_file: certificate.pem }", false, "certificate");
    check("", "to: ann@example.org, tls_config: { ca_file: nowhere.pem }", true, "nowhere.pem");
    check("", "to: ann@example.org, smarthost: '127.0.0.1:1'", false, "");
    assert_eq!(server.mails(), Vec::<Value>::new());
    send(&server, ("", "to: ann@example.org, tls_config: { insecure_skip_verify: true }"), "Slow").unwrap();
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn without_tls_a_mail_goes_only_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = Server::start("plain", folder.path()) else { return };
    let failure = send(&server, ("", "to: ann@example.org"), "Slow").unwrap_err();
    assert!(failure.why().contains("STARTTLS"), "{failure:?}");
    assert_eq!(server.mails(), Vec::<Value>::new());
    send(&server, (", smtp_require_tls: false", "to: ann@example.org"), "Slow").unwrap();
    let mail = server.mails().pop().unwrap();
    assert_eq!((&mail["tls"], &mail["login"]), (&json!(false), &Value::Null));
    assert_eq!(mail["parts"].as_object().unwrap().keys().collect::<Vec<_>>(), ["text/html"]);
}

#[test]
fn a_server_that_never_answers_is_not_waited_for_long() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = prograde_notify::parse("alertmanager.yml", &config(port, "", "to: ann@example.org")).unwrap();
    let prograde_notify::config::Kind::Email(email) = &config.ways[0].1[0].kind else { panic!() };
    assert_eq!((email.host.as_str(), email.port), ("127.0.0.1", port));
    let folder = tempfile::tempdir().unwrap();
    let running = Server { _running: None, port, folder: folder.path().to_owned() };
    let failure = send(&running, ("", "to: ann@example.org"), "Slow").unwrap_err();
    assert!(matches!(failure, Failure::Passing { .. }), "{failure:?}");
}

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::*;
use crate::client::http::Patience;

fn http() -> Http {
    Http::new(Patience::default())
}

fn repository(registry: &str) -> Repository {
    Repository::new(registry, "team/app").unwrap()
}

fn basic(found: Result<Option<Credential>, RegistryError>) -> (String, String) {
    match found.unwrap() {
        Some(Credential::Basic { username, password }) => (username, password.reveal().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn registries_are_told_by_their_names() {
    for (registry, region) in [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", Some("eu-central-1")),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ("12345678901.dkr.ecr.eu-central-1.amazonaws.com", None),
        ("123456789012.dkr.ecr.evil.example/.amazonaws.com", None),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", None),
        ("public.ecr.aws", None),
    ] {
        assert_eq!(aws::region(registry), region, "{registry}");
    }
    assert!(["gcr.io", "eu.gcr.io", "europe-docker.pkg.dev"].iter().all(|registry| google::is_registry(registry)));
    assert!(["evilgcr.io", "pkg.dev.evil.example", "ghcr.io"].iter().all(|registry| !google::is_registry(registry)));
}

#[test]
fn a_workflows_token_goes_to_its_own_registry_alone() {
    let github = Some(("ann".to_owned(), Secret::new("ghs_token")));
    let federation = Federation { github, ..Federation::default() };
    assert_eq!(basic(federation.of(&http(), &repository("ghcr.io"))), ("ann".to_owned(), "ghs_token".to_owned()));
    for registry in ["docker.io", "gcr.io", "ghcr.io.example.org", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"] {
        assert_eq!(federation.of(&http(), &repository(registry)).unwrap(), None, "{registry}");
    }
}

/// moto stands for AWS; none where it was left out, which is a failure in CI.
struct Aws(Child, String);

impl Aws {
    fn start() -> Option<Self> {
        let place = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/moto/bin/moto_server"));
        if !place.is_file() {
            assert!(std::env::var_os("CI").is_none(), "moto is missing: `scripts/test-peers.sh moto`");
            eprintln!("left out: moto is missing: `scripts/test-peers.sh moto`");
            return None;
        }
        let port = prograde_ports::free();
        let mut command = Command::new(place);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 && !line.contains("Running on") {
            line.clear();
        }
        // What it says of requests has to go somewhere.
        thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Some(Self(child, format!("http://127.0.0.1:{port}/")))
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn an_identity_takes_a_role_and_gets_a_password() {
    let Some(aws) = Aws::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    fs::write(&token_file, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJwYWQifQ.\n").unwrap();
    let role = AwsRole {
        role: "arn:aws:iam::123456789012:role/pusher".to_owned(),
        token_file: token_file.clone(),
        session: "prograde".to_owned(),
        sts: Some(aws.1.clone()),
        ecr: Some(aws.1.clone()),
    };
    let federation = Federation { aws: Some(role.clone()), ..Federation::default() };
    let registry = repository("123456789012.dkr.ecr.eu-central-1.amazonaws.com");
    let (username, password) = basic(federation.of(&http(), &registry));
    assert_eq!(username, "AWS");
    assert!(!password.is_empty());

    fs::remove_file(&token_file).unwrap();
    let error = federation.of(&http(), &registry).unwrap_err().to_string();
    assert!(error.contains("token can't be read"), "{error}");
    fs::write(&token_file, "secret-token").unwrap();
    let clear = AwsRole { sts: Some("http://sts.example.org/".to_owned()), ..role };
    let error =
        Federation { aws: Some(clear), ..Federation::default() }.of(&http(), &registry).unwrap_err().to_string();
    assert!(error.contains("in clear") && !error.contains("secret-token"), "{error}");
}

/// Google has no server that could run here: this answers as its documents say, and keeps what it was asked.
fn google(answers: Vec<(u16, &'static str)>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line);
            }
            let mut content = vec![0; length];
            reader.read_exact(&mut content).unwrap();
            asked.push(format!("{head}\n{}", String::from_utf8(content).unwrap()));
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .unwrap();
        }
        asked
    });
    (url, serving)
}

#[test]
fn an_identity_is_exchanged_twice_for_a_service_account() {
    let (url, serving) = google(vec![
        (200, r#"{"value": "subject"}"#),
        (200, r#"{"access_token": "federated", "expires_in": 3600}"#),
        (200, r#"{"accessToken": "of-the-account"}"#),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("google.json");
    let account = serde_json::json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{url}/token"), "service_account_impersonation_url": format!("{url}/sa:generateAccessToken"),
        "credential_source": { "url": format!("{url}/identity"), "headers": { "Authorization": "bearer of-the-runner" },
            "format": { "type": "json", "subject_token_field_name": "value" } },
    });
    fs::write(&file, account.to_string()).unwrap();
    let federation = Federation { google: Some(file), ..Federation::default() };
    let found = basic(federation.of(&http(), &repository("europe-docker.pkg.dev")));
    assert_eq!(found, ("oauth2accesstoken".to_owned(), "of-the-account".to_owned()));
    let asked = serving.join().unwrap();
    assert!(asked[0].starts_with("GET /identity") && asked[0].contains("bearer of-the-runner"), "{}", asked[0]);
    assert!(asked[1].starts_with("POST /token") && asked[1].contains("subject_token=subject"), "{}", asked[1]);
    assert!(asked[1].contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"), "{}", asked[1]);
    assert!(
        asked[2].starts_with("POST /sa:generateAccessToken") && asked[2].contains("Bearer federated"),
        "{}",
        asked[2]
    );
}

#[test]
fn what_can_not_be_exchanged_says_why_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("google.json");
    fs::write(folder.path().join("token"), "the-subject").unwrap();
    let federation = Federation { google: Some(file.clone()), ..Federation::default() };
    let error = |text: &str| {
        fs::write(&file, text).unwrap();
        let error = federation.of(&http(), &repository("gcr.io")).unwrap_err().to_string();
        assert!(!error.contains("the-subject") && !error.contains("hunter2"), "{error}");
        error
    };
    let key = r#"{"type": "service_account", "private_key": "hunter2"}"#;
    assert!(error(key).contains("holds no key that never expires"));
    assert!(error("hunter2").contains("no file of credentials"));
    let with = |url: &str| {
        format!(r#"{{"type": "external_account", "token_url": "{url}", "credential_source": {{"file": "token"}}}}"#)
    };
    assert!(error(&with("http://sts.example.org")).contains("in clear"));
    let (url, serving) = google(vec![(400, r#"{"error": "no pool takes the-subject"}"#)]);
    let said = error(&with(&url));
    assert!(said.contains("no pool takes ***"), "{said}");
    serving.join().unwrap();
    assert!(error(r#"{"type": "external_account", "credential_source": {}}"#).contains("one `file` or one `url`"));
}

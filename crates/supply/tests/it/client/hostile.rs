//! Registries that are busy, broken or wicked.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Mutex;

use prograde_model::Digest;
use prograde_supply::client::{Credentials, Pushed, RegistryError, Source};
use serde_json::json;

use super::script::{Asked, Reply, Script};
use super::{basic, impatient};
use crate::digest_of;

/// What a scripted server answers to the nth request.
type Answers = fn(&Asked, usize) -> Option<Reply>;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn manifest() -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [] }).to_string().into_bytes()
}

fn error_of(answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> RegistryError {
    let server = Script::start(answer);
    impatient(Credentials::none()).fetch_manifest(&server.reference("app")).map(|found| found.digest).unwrap_err()
}

#[test]
fn who_is_busy_is_asked_again_but_not_for_ever() {
    let server = Script::start(|_, before| match before {
        0 => Reply::status(429).with("retry-after", "1"),
        1 => Reply::status(503),
        _ => Reply::ok(MANIFEST, manifest()),
    });
    let client = impatient(Credentials::none());
    assert_eq!(client.fetch_manifest(&server.reference("app")).unwrap().digest, digest_of(&manifest()));
    assert_eq!(server.seen().len(), 3);

    let long = error_of(|_, _| Reply::status(429).with("retry-after", "86400"));
    assert!(matches!(long, RegistryError::Busy { wait, .. } if wait.as_secs() == 86400), "{long}");
    let date = error_of(|_, _| {
        Reply::status(503)
            .with("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .with("retry-after", "Sun, 06 Nov 1994 09:49:37 GMT")
    });
    assert!(matches!(date, RegistryError::Busy { wait, .. } if wait.as_secs() == 3600), "{date}");
    let always = error_of(|_, _| Reply::status(429));
    assert!(matches!(always, RegistryError::Refused { status: 429, .. } | RegistryError::Busy { .. }), "{always}");
}

#[test]
fn lies_about_digests_and_kinds_are_found() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let header = error_of({
        let digest = digest.clone();
        move |_, _| Reply::ok(MANIFEST, manifest()).with("docker-content-digest", &digest)
    });
    assert!(matches!(header, RegistryError::Corrupt { .. }), "{header}");
    let server = Script::start(|_, _| Reply::ok(MANIFEST, manifest()));
    let client = impatient(Credentials::none());
    let wrong = client.fetch_manifest(&server.reference(&format!("app@{digest}"))).unwrap_err();
    assert!(matches!(wrong, RegistryError::Corrupt { .. }), "{wrong}");
    for kind in [INDEX, "application/vnd.docker.distribution.manifest.v2+json"] {
        let error = error_of(move |_, _| Reply::ok(kind, manifest()));
        assert!(matches!(error, RegistryError::Invalid { .. }), "{error}");
    }
    for body in ["", "[]", "{", "{}", "<html>"] {
        let error = error_of(move |_, _| Reply::ok("text/html", body));
        assert!(matches!(error, RegistryError::Invalid { .. }), "{body}: {error}");
    }
    // What is sent without its kind says it itself.
    let plain = Script::start(|_, _| Reply::ok("application/json; charset=utf-8", manifest()));
    assert_eq!(client.fetch_manifest(&plain.reference("app")).unwrap().media_type, MANIFEST);
}

#[test]
fn answers_end_whatever_the_other_side_does() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let endless = error_of({
        let head = head.clone();
        move |_, _| Reply::Endless(head.clone())
    });
    assert!(matches!(endless, RegistryError::TooLarge { .. }), "{endless}");
    let silent = error_of(|_, _| Reply::Stall(Vec::new()));
    assert!(matches!(silent, RegistryError::Timeout { .. }), "{silent}");
    let stalled = error_of(move |_, _| Reply::Stall(head.clone()));
    assert!(matches!(stalled, RegistryError::Timeout { .. }), "{stalled}");
    for raw in [
        &b""[..],
        b"HTTP/1.1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
        b"\0\0\0\0\0\0\r\n\r\n",
        b"220 smtp\r\n",
    ] {
        let error = error_of(move |_, _| Reply::Raw(raw.to_vec()));
        assert!(matches!(error, RegistryError::Unreachable { .. } | RegistryError::Invalid { .. }), "{error}");
    }
    let many = error_of(|_, _| Reply::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec()));
    assert!(matches!(many, RegistryError::Unreachable { .. }), "{many}");
}

#[test]
fn redirects_end_and_take_no_credentials_along() {
    let round = error_of(|asked, _| Reply::status(307).with("location", &asked.path));
    assert!(matches!(round, RegistryError::Misled { .. }), "{round}");
    let nowhere = error_of(|_, _| Reply::status(302));
    assert!(matches!(nowhere, RegistryError::Misled { .. }), "{nowhere}");
    for location in ["file:///etc/passwd", "http://me:pw@127.0.0.1/", "gopher://x"] {
        let error = error_of(move |_, _| Reply::status(307).with("location", location));
        assert!(matches!(error, RegistryError::Misled { .. }), "{location}: {error}");
    }

    let blob = b"some bytes".to_vec();
    let digest = digest_of(&blob);
    let elsewhere = Script::start({
        let blob = blob.clone();
        move |_, _| Reply::ok("application/octet-stream", blob.clone())
    });
    let there = format!("http://{}/signed?secret=1", elsewhere.address);
    let registry = Script::start(move |asked, _| {
        if asked.headers.contains_key("authorization") {
            Reply::status(307).with("location", &there)
        } else {
            Reply::status(401).with("www-authenticate", "Basic realm=x")
        }
    });
    let client = impatient(Credentials::none().with(&registry.address, basic("me", "s3cret")));
    let reference = registry.reference("app");
    assert_eq!(client.fetch_blob(reference.repository(), &digest, 100).unwrap(), blob);
    assert!(elsewhere.seen().iter().all(|asked| !asked.headers.contains_key("authorization")));

    // The one that we were sent to asks for credentials: it gets none.
    let asking = Script::start(|_, _| Reply::status(401).with("www-authenticate", "Basic realm=x"));
    let there = format!("http://{}/x", asking.address);
    let registry = Script::start(move |asked, _| match asked.headers.get("authorization") {
        Some(_) => Reply::status(307).with("location", &there),
        None => Reply::status(401).with("www-authenticate", "Basic realm=x"),
    });
    let client = impatient(Credentials::none().with(&registry.address, basic("me", "s3cret")));
    let error = client.fetch_blob(registry.reference("app").repository(), &digest, 100).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorised { .. }), "{error}");
    assert!(asking.seen().iter().all(|asked| !asked.headers.contains_key("authorization")));
}

#[test]
fn credentials_are_not_sent_to_a_foreign_place_in_clear() {
    for realm in ["http://evil.example/token", "http://10.0.0.1/token", "ftp://x/", "/token", "http://me:pw@127.0.0.1/"]
    {
        let server = Script::start(move |_, _| {
            Reply::status(401).with("www-authenticate", &format!("Bearer realm=\"{realm}\",service=\"r\""))
        });
        let client = impatient(Credentials::none().with(&server.address, basic("me", "s3cret")));
        let error = client.fetch_manifest(&server.reference("app")).unwrap_err();
        assert!(matches!(error, RegistryError::Misled { .. }), "{realm}: {error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}

/// A registry with a token service in one server.
fn with_tokens(says: &'static str) -> Script {
    Script::start(move |asked, _| {
        if asked.path.starts_with("/token") {
            return Reply::ok("application/json", says);
        }
        match asked.headers.get("authorization").map(String::as_str) {
            Some("Bearer t0ken") => Reply::ok(MANIFEST, manifest()),
            _ => Reply::status(401).with(
                "www-authenticate",
                &format!(
                    "Bearer realm=\"http://{}/token?x=y\",service=\"r\",scope=\"repository:app:pull\"",
                    asked.headers["host"]
                ),
            ),
        }
    })
}

#[test]
fn a_token_is_asked_for_once_and_shown() {
    let server = with_tokens(r#"{"access_token": "t0ken", "expires_in": 300}"#);
    let client = impatient(Credentials::none().with(&server.address, basic("me", "pw")));
    for _ in 0..3 {
        client.fetch_manifest(&server.reference("app:v1")).unwrap();
    }
    let seen = server.seen();
    let asked: Vec<&Asked> = seen.iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?x=y&service=r&scope=repository%3Aapp%3Apull");
    assert_eq!(asked[0].headers["authorization"], "Basic bWU6cHc=");
    assert_eq!(seen.len(), 5, "one refusal, one token, three manifests");

    // Without credentials the token service is asked all the same: much is open to everybody.
    let open = with_tokens(r#"{"token": "t0ken"}"#);
    impatient(Credentials::none()).fetch_manifest(&open.reference("app")).unwrap();
    assert!(
        open.seen().iter().all(|asked| asked.headers.get("authorization").is_none_or(|shown| shown == "Bearer t0ken"))
    );
    // A token is never part of what is said of a broken answer.
    for says in [
        "",
        "{}",
        r#"{"token": ""}"#,
        r#"{"token": "t0k"#,
        r#"{"token": 7}"#,
        r#"{"token": "a\nb"}"#,
        r#"{"token": "wrong"}"#,
    ] {
        let server = with_tokens(says);
        let error = impatient(Credentials::none()).fetch_manifest(&server.reference("app")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("t0k"), "{says}: {error}");
        assert_eq!(server.seen().iter().filter(|asked| asked.path.starts_with("/token")).count(), 1, "{says}");
    }
}

#[test]
fn a_refusal_is_told_without_the_password_that_it_repeats() {
    let server = Script::start(|asked, _| match asked.headers.get("authorization") {
        None => Reply::status(401).with("www-authenticate", "Basic realm=x"),
        Some(shown) => {
            let body = json!({ "errors": [{ "code": "DENIED", "message": format!("no: {shown} s3cret\u{1b}[2J") }] });
            Reply::Whole(403, Vec::new(), body.to_string().into_bytes())
        }
    });
    let client = impatient(Credentials::none().with(&server.address, basic("me", "s3cret")));
    let error = client.fetch_manifest(&server.reference("app")).unwrap_err().to_string();
    assert!(error.contains("no: Basic *** ***") && !error.contains("s3cret"), "{error}");
}

#[test]
fn a_blob_is_continued_where_it_broke_off() {
    let blob: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = digest_of(&blob);
    for ranges in [true, false] {
        let whole = blob.clone();
        let server = Script::start(move |asked, before| {
            let from = asked.headers.get("range").map(|range| range["bytes=".len()..range.len() - 1].parse().unwrap());
            let (from, status): (usize, _) = match from {
                Some(from) if ranges => (from, "206 Partial Content"),
                _ => (0, "200 OK"),
            };
            let end = if before < 3 { (from.max(before * 200_000) + 200_000).min(whole.len()) } else { whole.len() };
            let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
            let mut raw = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncontent-range: {range}\r\nconnection: close\r\n\r\n",
                whole.len() - from
            )
            .into_bytes();
            raw.extend(&whole[from..end]);
            Reply::Raw(raw)
        });
        let mut file = tempfile::tempfile().unwrap();
        let mut told = Vec::new();
        let repository = server.reference("app").repository().clone();
        let client = impatient(Credentials::none());
        client.fetch_blob_into(&repository, &digest, blob.len() as u64, &mut file, &mut |at| told.push(at)).unwrap();
        let mut found = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut found).unwrap();
        assert_eq!(found, blob);
        assert_eq!(told.last(), Some(&(blob.len() as u64)));
        assert!(told.is_sorted(), "progress never goes back");

        // What another run has left is used; what it has left wrong is not.
        let seen = server.seen().len();
        file.set_len(1_000_000).unwrap();
        client.fetch_blob_into(&repository, &digest, blob.len() as u64, &mut file, &mut |_| {}).unwrap();
        assert_eq!(server.seen()[seen].headers["range"], "bytes=1000000-");
        file.rewind().unwrap();
        file.write_all(b"wrong").unwrap();
        file.set_len(1_000_000).unwrap();
        client.fetch_blob_into(&repository, &digest, blob.len() as u64, &mut file, &mut |_| {}).unwrap();
        assert_eq!(file.metadata().unwrap().len(), blob.len() as u64);
    }
}

#[test]
fn wrong_blobs_are_not_kept() {
    let digest = digest_of(b"right");
    for reply in [
        || Reply::ok("x/y", b"wrong".to_vec()),
        || Reply::ok("x/y", b"right and more".to_vec()),
        || Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\nright".to_vec()),
        || Reply::ok("x/y", b"righ".to_vec()),
        || Reply::Whole(206, vec![("content-range", "bytes 3-7/5".into())], b"right".to_vec()),
        || Reply::Whole(204, Vec::new(), Vec::new()),
    ] as [fn() -> Reply; 6]
    {
        let server = Script::start(move |_, _| reply());
        let mut file = tempfile::tempfile().unwrap();
        let repository = server.reference("app").repository().clone();
        let client = impatient(Credentials::none());
        let error = client.fetch_blob_into(&repository, &digest, 5, &mut file, &mut |_| {}).unwrap_err();
        assert!(matches!(error, RegistryError::Corrupt { .. }), "{error}");
        assert_eq!(file.metadata().unwrap().len(), 0);
        let error = client.fetch_blob(&repository, &digest, 4).unwrap_err();
        assert!(matches!(error, RegistryError::Corrupt { .. } | RegistryError::TooLarge { .. }), "{error}");
    }
}

/// As much of a registry as uploads need, which breaks in the ways that a test names.
fn upload_server(breaks: fn(&Asked, usize) -> Option<Reply>) -> (Script, &'static Mutex<BTreeMap<String, Vec<u8>>>) {
    let stored: &'static Mutex<BTreeMap<String, Vec<u8>>> = Box::leak(Box::default());
    let server = Script::start(move |asked, before| {
        if let Some(reply) = breaks(asked, before) {
            return reply;
        }
        let mut stored = stored.lock().unwrap();
        let session = "/v2/app/blobs/uploads/1?state=x";
        match asked.method.as_str() {
            "HEAD" => {
                Reply::status(if stored.contains_key(asked.path.rsplit('/').next().unwrap()) { 200 } else { 404 })
            }
            "POST" => {
                stored.insert("open".into(), Vec::new());
                Reply::status(202).with("location", session)
            }
            "GET" => {
                let end = stored["open"].len().saturating_sub(1);
                Reply::status(204).with("location", session).with("range", &format!("0-{end}"))
            }
            "PATCH" => {
                let open = stored.get_mut("open").unwrap();
                let from: usize = asked.headers["content-range"].split('-').next().unwrap().parse().unwrap();
                if from != open.len() {
                    return Reply::status(416);
                }
                open.extend(&asked.body);
                Reply::status(202).with("location", session)
            }
            "PUT" => {
                let mut open = stored.remove("open").unwrap_or_default();
                open.extend(&asked.body);
                let digest = asked.path.rsplit("digest=").next().unwrap().to_owned();
                if digest_of(&open).as_str() != digest {
                    return Reply::status(400);
                }
                stored.insert(digest, open);
                Reply::status(201)
            }
            other => panic!("{other}"),
        }
    });
    (server, stored)
}

fn push(server: &Script, blob: &[u8]) -> Result<Pushed, RegistryError> {
    let client = impatient(Credentials::none());
    client.push_blob(server.reference("app").repository(), &digest_of(blob), Source::Bytes(blob), &[], &mut |_| {})
}

#[test]
fn uploads_survive_what_breaks_on_the_way() {
    let (small, large) = (vec![7; 1000], (0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let cases: [(&str, Answers); 5] = [
        ("nothing", |_, _| None),
        ("the answer to the third request is lost", |_, before| (before == 2).then(|| Reply::Raw(Vec::new()))),
        ("the answer to the fifth request is lost", |_, before| (before == 4).then(|| Reply::Raw(Vec::new()))),
        ("the registry is busy", |asked, before| {
            (asked.method != "HEAD" && before % 2 == 0).then(|| Reply::status(429).with("retry-after", "0"))
        }),
        ("a proxy takes little", |asked, _| (asked.body.len() > 20 << 20).then(|| Reply::status(413))),
    ];
    for (name, breaks) in cases {
        for blob in [&small, &large] {
            let (server, stored) = upload_server(breaks);
            assert_eq!(push(&server, blob).unwrap(), Pushed::Sent, "{name}");
            assert_eq!(stored.lock().unwrap().get(digest_of(blob).as_str()), Some(blob), "{name}");
            assert_eq!(push(&server, blob).unwrap(), Pushed::Present, "{name}");
        }
    }
}

#[test]
fn an_upload_that_can_not_end_well_ends() {
    let cases: [fn(&Asked, usize) -> Option<Reply>; 5] = [
        |asked, _| (asked.method == "PUT").then(|| Reply::Raw(Vec::new())),
        |asked, _| (asked.method == "POST").then(|| Reply::status(202)),
        |asked, _| (asked.method == "POST").then(|| Reply::status(202).with("location", "gopher://x")),
        |asked, _| (asked.method == "POST").then(|| Reply::status(201)),
        |asked, _| (asked.method == "PATCH").then(|| Reply::status(416)),
    ];
    for (number, breaks) in cases.into_iter().enumerate() {
        let (server, _) = upload_server(breaks);
        let blob = vec![1; if number == 4 { 100_000 } else { 10 }];
        push(&server, &blob).unwrap_err();
        assert!(server.seen().len() < 60, "{number}: {} requests", server.seen().len());
    }
}

#[test]
fn an_upload_at_another_host_is_not_told_who_we_are() {
    let elsewhere = Script::start(|_, _| Reply::status(201));
    let there = format!("http://{}/bucket?sig=1", elsewhere.address);
    let registry =
        Script::start(move |asked, _| match (asked.headers.contains_key("authorization"), asked.method.as_str()) {
            (false, _) => Reply::status(401).with("www-authenticate", "Basic realm=x"),
            (true, "HEAD") => Reply::status(404),
            (true, _) => Reply::status(202).with("location", &there),
        });
    let client = impatient(Credentials::none().with(&registry.address, basic("me", "s3cret")));
    let reference = registry.reference("app");
    client.push_blob(reference.repository(), &digest_of(b"x"), Source::Bytes(b"x"), &[], &mut |_| {}).unwrap();
    let seen = elsewhere.seen();
    assert_eq!((seen.len(), seen[0].body.as_slice()), (1, &b"x"[..]));
    assert!(!seen[0].headers.contains_key("authorization"));
    assert!(seen[0].path.starts_with("/bucket?sig=1&digest=sha256:"), "{}", seen[0].path);
}

#[test]
fn lists_end_and_stay_at_the_registry() {
    let client = impatient(Credentials::none());
    let pages = Script::start(|asked, _| {
        if asked.path.contains("last=") {
            return Reply::ok("application/json", r#"{"tags": null}"#);
        }
        let link = "</v2/app/tags/list?last=b>; rel=\"next\"";
        Reply::ok("application/json", r#"{"tags": ["a", "b"]}"#).with("link", link)
    });
    assert_eq!(client.tags(pages.reference("app").repository()).unwrap(), ["a", "b"]);
    let round = Script::start(|asked, _| {
        Reply::ok("application/json", r#"{"tags": ["a"]}"#).with("link", &format!("<{}>; rel=\"next\"", asked.path))
    });
    let error = client.tags(round.reference("app").repository()).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    let away = Script::start(|_, _| {
        Reply::ok("application/json", r#"{"tags": ["a"]}"#)
            .with("link", "<http://127.0.0.1:1/v2/app/tags/list>; rel=\"next\"")
    });
    let error = client.tags(away.reference("app").repository()).unwrap_err();
    assert!(matches!(error, RegistryError::Misled { .. }), "{error}");
}

#[test]
fn a_list_of_referrers_that_others_change_is_given_up() {
    let subject = digest_of(b"subject");
    let (server, client) = (contended(), impatient(Credentials::none()));
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": { "mediaType": "x/y", "digest": subject, "size": 2 },
        "layers": [], "subject": { "mediaType": MANIFEST, "digest": subject, "size": 1 } });
    let bytes = manifest.to_string().into_bytes();
    let reference = server.reference("app").repository().at(&digest_of(&bytes));
    let error = client.push_manifest(&reference, MANIFEST, &bytes).unwrap_err();
    assert!(matches!(error, RegistryError::Contended { .. }), "{error}");
}

/// Takes everything and keeps nothing.
fn contended() -> Script {
    Script::start(|asked, _| if asked.method == "PUT" { Reply::status(201) } else { Reply::status(404) })
}

#[test]
fn a_helper_says_who_we_are() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    std::fs::write(&config, r#"{"credHelpers": {"h.example": "prograde-test-that-is-missing"}}"#).unwrap();
    let client = impatient(Credentials::from_files(vec![dir.path().join("missing.json"), config]));
    let digest: Digest = digest_of(b"x");
    // No credentials are asked for before the registry wants some: a missing helper costs nothing then.
    let open = Script::start(|_, _| Reply::ok("x/y", "x"));
    assert_eq!(client.fetch_blob(open.reference("app").repository(), &digest, 10).unwrap(), b"x");
}

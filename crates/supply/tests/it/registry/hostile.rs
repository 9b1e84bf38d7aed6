//! Clients that lie, hurry, dawdle and go away.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::{MANIFEST, Served, TOKEN, body, document, header, refuses, sha256};

impl Served {
    /// Sends bytes as they are; gives what comes back until the connection or the half minute ends.
    fn raw(&self, text: &[u8], then: Option<Shutdown>) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.write_all(text);
        if let Some(how) = then {
            stream.shutdown(how).unwrap();
        }
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
                Ok(_) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{headers}\r\n")
}

#[test]
fn lies_about_digests_leave_nothing_behind() {
    let served = Served::new();
    let promised = sha256(b"promised");
    let answer = served.call("POST", &format!("/v2/pad/blobs/uploads/?digest={promised}"), &[], b"something else");
    refuses(answer, 400, "DIGEST_INVALID");
    let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
    served.call("PATCH", &location, &[], b"something else");
    refuses(served.call("PUT", &format!("{location}?digest={promised}"), &[], b""), 400, "DIGEST_INVALID");
    refuses(served.call("PUT", &format!("{location}?digest={promised}"), &[], b""), 404, "BLOB_UPLOAD_UNKNOWN");
    for query in ["", "?digest=", "?digest=md5:00", "?digest=sha256:..%2f..%2fx"] {
        let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
        refuses(served.call("PUT", &format!("{location}{query}"), &[], b"x"), 400, "DIGEST_INVALID");
        served.call("DELETE", &location, &[], b"");
    }
    refuses(served.call("POST", "/v2/pad/blobs/uploads/?digest-algorithm=md5", &[], b""), 400, "DIGEST_INVALID");
    refuses(served.get("/v2/pad/tags/list"), 404, "NAME_UNKNOWN");
    assert_eq!(std::fs::read_dir(served.dir().join("uploads")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(served.dir().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn names_lead_nowhere_else() {
    let served = Served::new();
    let long = "a".repeat(300);
    for path in [
        "/v2/../x/tags/list",
        "/v2/%2e%2e/x/tags/list",
        "/v2/a/%2e%2e/%2e%2e/b/manifests/x",
        "/v2/a%00b/tags/list",
        "/v2/a%2f..%2fb/tags/list",
        "/v2/%ff/tags/list",
        "/v2/UPPER/tags/list",
        "/v2//tags/list",
        &format!("/v2/{long}/tags/list"),
        &format!("/v2/a/manifests/{long}"),
        "/v2/a/blobs/sha256:%2e%2e%2fx",
        "/v2/a/blobs/uploads/%2e%2e%2f%2e%2e%2fregistry.db",
        "/v2/a/blobs/uploads/..",
    ] {
        for method in ["GET", "DELETE", "PUT", "PATCH"] {
            let answer = served.raw(head(method, path, "Content-Length: 0\r\nConnection: close\r\n").as_bytes(), None);
            let refused = ["400", "404", "405"].iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status}")));
            assert!(refused, "{method} {path}: {answer}");
        }
    }
    assert!(served.dir().join("registry.db").exists());
}

#[test]
fn manifests_are_bounded() {
    let served = Served::new();
    let put = |text: &[u8]| served.call("PUT", "/v2/pad/manifests/v1", &[("content-type", MANIFEST)], text);
    let mut large = served.image("pad", "a");
    large["annotations"] = json!({ "fill": "" });
    let fill = (4 << 20) - large.to_string().len();
    large["annotations"]["fill"] = json!("x".repeat(fill));
    assert_eq!(put(large.to_string().as_bytes()).status(), 201, "4 MiB and no byte more");
    large["annotations"]["fill"] = json!("x".repeat(fill + 1));
    // Said beforehand, and found out.
    let said = head("PUT", "/v2/pad/manifests/v1", &format!("Content-Length: {}\r\n", (4 << 20) + 1));
    assert!(served.raw(said.as_bytes(), None).starts_with("HTTP/1.1 413"));
    let mut chunked = head("PUT", "/v2/pad/manifests/v1", "Transfer-Encoding: chunked\r\n").into_bytes();
    let text = large.to_string();
    chunked.extend_from_slice(format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len()).as_bytes());
    assert!(served.raw(&chunked, None).starts_with("HTTP/1.1 413"));
    for bomb in [
        "[".repeat(1 << 20),
        format!("{{\"a\":{}", "{\"a\":".repeat(500_000)),
        "{\"layers\":[".to_owned() + &"{},".repeat(100_000) + "]}",
    ] {
        refuses(put(bomb.as_bytes()), 400, "MANIFEST_INVALID");
    }
}

#[test]
fn blobs_and_uploads_are_bounded() {
    let served = Served::with(
        |settings| {
            settings.blob_bytes_max = 1000;
            settings.uploads_max = 3;
        },
        |hooks| hooks,
    );
    let content = vec![b'x'; 1001];
    let digest = sha256(&content);
    let said = head("POST", &format!("/v2/pad/blobs/uploads/?digest={digest}"), "Content-Length: 1001\r\n");
    assert!(served.raw(said.as_bytes(), None).starts_with("HTTP/1.1 413"));
    let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
    assert_eq!(served.call("PATCH", &location, &[], &content[..1000]).status(), 202);
    let mut chunked = head("PATCH", &location, "Transfer-Encoding: chunked\r\n").into_bytes();
    chunked.extend_from_slice(b"1\r\nx\r\n0\r\n\r\n");
    assert!(served.raw(&chunked, None).starts_with("HTTP/1.1 413"));
    refuses(served.get(&location), 404, "BLOB_UPLOAD_UNKNOWN");
    for _ in 0..3 {
        assert_eq!(served.call("POST", "/v2/pad/blobs/uploads/", &[], b"").status(), 202);
    }
    let full = served.call("POST", "/v2/pad/blobs/uploads/", &[], b"");
    assert_eq!(header(&full, "retry-after"), "5");
    refuses(full, 429, "TOOMANYREQUESTS");
    served.later(Duration::from_mins(16));
    assert_eq!(served.call("POST", "/v2/pad/blobs/uploads/", &[], b"").status(), 202, "what rests makes room");
}

#[test]
fn an_upload_that_breaks_off_goes_on_where_it_was() {
    let served = Served::new();
    let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
    let mut cut = head("PATCH", &location, "Content-Length: 1000\r\n").into_bytes();
    cut.extend_from_slice(b"hello");
    served.raw(&cut, Some(Shutdown::Write));
    // The server may still be writing what it has received.
    let deadline = 500;
    let range = (0..deadline)
        .map(|_| {
            std::thread::park_timeout(Duration::from_millis(20));
            header(&served.get(&location), "range")
        })
        .find(|range| range == "0-4");
    assert_eq!(range.as_deref(), Some("0-4"));
    let digest = sha256(b"hello, world");
    let done = served.call("PUT", &format!("{location}?digest={digest}"), &[("content-range", "5-11")], b", world");
    assert_eq!(done.status(), 201);
}

#[test]
fn who_sends_nothing_is_not_waited_for() {
    let served = Served::with(|settings| settings.silence_max = Duration::from_millis(200), |hooks| hooks);
    let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
    let mut slow = head("PATCH", &location, "Content-Length: 100000\r\n").into_bytes();
    slow.extend_from_slice(b"slow");
    assert!(served.raw(&slow, None).starts_with("HTTP/1.1 408"));
    assert_eq!(header(&served.get(&location), "range"), "0-3");
    let manifest = head("PUT", "/v2/pad/manifests/v1", "Content-Length: 100\r\nContent-Type: a/b\r\n");
    assert!(served.raw(manifest.as_bytes(), None).starts_with("HTTP/1.1 408"));
}

#[test]
fn fifty_clients_push_the_same_blob() {
    let served = Served::new();
    let content = vec![7; 300_000];
    let digest = sha256(&content);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|number| {
                let (served, content, digest) = (&served, &content, &digest);
                scope.spawn(move || {
                    let name = format!("r{}", number % 5);
                    let location =
                        header(&served.call("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b""), "location");
                    served.call("PUT", &format!("{location}?digest={digest}"), &[], content).status()
                })
            })
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), 201);
        }
    });
    assert!(body(served.get(&format!("/v2/r0/blobs/{digest}"))) == content);
    assert_eq!(std::fs::read_dir(served.dir().join("uploads")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(served.dir().join("blobs/sha256")).unwrap().count(), 1);
}

#[test]
fn two_pushes_of_one_tag_leave_one_of_them_whole() {
    let served = Served::new();
    std::thread::scope(|scope| {
        for client in 0..2 {
            let served = &served;
            scope.spawn(move || {
                for round in 0..10 {
                    served.push_image("pad", "v1", &format!("{client} {round}"));
                }
            });
        }
    });
    let image = served.get("/v2/pad/manifests/v1");
    let digest = header(&image, "docker-content-digest");
    let text = body(image);
    assert_eq!(sha256(&text), digest);
    assert_eq!(document(served.get("/v2/pad/tags/list"))["tags"], json!(["v1"]));
    let image: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let layer = image["layers"][0]["digest"].as_str().unwrap();
    assert!(
        ["0 9", "1 9"]
            .contains(&String::from_utf8(body(served.get(&format!("/v2/pad/blobs/{layer}")))).unwrap().as_str())
    );
}

#[test]
fn one_upload_takes_one_writer() {
    let served = Served::new();
    let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
    std::thread::scope(|scope| {
        let sent: Vec<_> = (0..8)
            .map(|_| {
                let (served, location) = (&served, &location);
                scope.spawn(move || served.call("PATCH", location, &[("content-range", "0-9")], b"0123456789").status())
            })
            .collect();
        let taken =
            sent.into_iter().map(|client| client.join().unwrap().as_u16()).filter(|status| *status == 202).count();
        assert_eq!(taken, 1, "the others come too late");
    });
    let digest = sha256(b"0123456789");
    assert_eq!(served.call("PUT", &format!("{location}?digest={digest}"), &[], b"").status(), 201);
}

#[test]
fn a_manifest_that_rotted_is_not_given_out_and_heals() {
    let served = Served::new();
    let digest = served.push_image("pad", "v1", "a");
    let path = served.blob_path(&digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    refuses(served.get("/v2/pad/manifests/v1"), 500, "UNKNOWN");
    served.push_image("pad", "v1", "a");
    assert_eq!(served.get("/v2/pad/manifests/v1").status(), 200);
}

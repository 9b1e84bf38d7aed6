//! Targets that mean harm or are broken: each leads to an answer that says what is wrong, and `up` is 0.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use prograde_observe::scrape::state::Health;

use super::Scraper;
use super::site::{Site, respond};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a thread of a test may sleep")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// What each path does.
fn behave(path: &str, stream: &mut TcpStream) {
    let begin = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
    let write = |stream: &mut TcpStream, text: &[u8]| stream.write_all(text).is_ok();
    match path {
        "/huge" => {
            write(stream, format!("{begin}content-length: 104857600\r\n\r\n").as_bytes());
            while write(stream, "# a comment that is nothing but long\n".repeat(2_000).as_bytes()) {}
        }
        "/endless" => {
            write(stream, format!("{begin}transfer-encoding: chunked\r\n\r\n").as_bytes());
            while write(stream, b"5\r\na 1\n\n\r\n") {
                pause();
            }
        }
        "/slow-head" => {
            write(stream, b"HTTP/1.1 200 OK\r\n");
            while write(stream, b"x: y\r\n") {
                pause();
            }
        }
        "/endless-head" => {
            write(stream, b"HTTP/1.1 200 OK\r\n");
            while write(stream, "x: y\r\n".repeat(1_000).as_bytes()) {}
        }
        "/silent" => (0..400).for_each(|_| pause()),
        "/bomb" => {
            let body = gzip(&b"# 234567890\n".repeat(20_000_000 / 12));
            respond(stream, "200 OK", &[("content-encoding", "gzip")], &body);
        }
        "/no-gzip" => respond(stream, "200 OK", &[("content-encoding", "gzip")], b"a 1\n"),
        "/cut-gzip" => {
            let body = gzip(b"a 1\n");
            respond(stream, "200 OK", &[("content-encoding", "gzip")], &body[..body.len() - 6]);
        }
        "/brotli" => respond(stream, "200 OK", &[("content-encoding", "br")], b"a 1\n"),
        "/protobuf" => respond(stream, "200 OK", &[("content-type", "application/vnd.google.protobuf")], b"a"),
        "/redirects" => respond(stream, "302 Found", &[("location", "/redirects")], b""),
        "/nowhere" => respond(stream, "302 Found", &[], b""),
        "/elsewhere" => respond(stream, "307 Temporary Redirect", &[("location", "good")], b""),
        "/cut" => drop(write(stream, format!("{begin}content-length: 100\r\n\r\na 1\n").as_bytes())),
        "/hangs-up" => {}
        "/no-http" => drop(write(stream, b"SSH-2.0-OpenSSH_9.2\r\n")),
        "/error" => respond(stream, "500 Internal Server Error", &[], b"a 1\n"),
        "/broken" => respond(stream, "200 OK", &[], b"a 1\nb{c=\"d\" 1\n"),
        "/good" => respond(stream, "200 OK", &[], b"a 1\n"),
        "/zipped" => respond(stream, "200 OK", &[("content-encoding", "GZIP")], &gzip(b"a 1\n")),
        other => panic!("{other}"),
    }
}

/// Each path with what it leads to; nothing where it is up.
const PATHS: [(&str, &str); 20] = [
    ("/huge", "body size limit exceeded: more than 10485760 bytes"),
    ("/endless", "no whole answer within 2 s"),
    ("/slow-head", "no whole answer within 2 s"),
    ("/endless-head", "not reached: "),
    ("/silent", "no whole answer within 2 s"),
    ("/bomb", "body size limit exceeded: more than 10485760 bytes"),
    ("/no-gzip", "the body is not gzip: "),
    ("/cut-gzip", "the body is not gzip: "),
    ("/brotli", "an answer in `br` can't be read"),
    ("/protobuf", "an answer in `application/vnd.google.protobuf` can't be read"),
    ("/redirects", "more than 10 redirects"),
    ("/nowhere", "a redirect that names no address"),
    ("/elsewhere", ""),
    ("/cut", "the answer broke off: "),
    ("/hangs-up", "not reached: "),
    ("/no-http", "not reached: "),
    ("/error", "server returned HTTP status 500"),
    ("/broken", "line 2, column 9: "),
    ("/good", ""),
    ("/zipped", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_targets_are_down_and_say_why() {
    let site = Site::start(|head, stream| behave(head[0].split(' ').nth(1).unwrap(), stream));
    let jobs = PATHS.map(|(path, _)| {
        format!(
            "- {{ job_name: {path}, metrics_path: {path}, body_size_limit: 10MB, \
             static_configs: [{{ targets: ['{}'] }}] }}\n",
            site.address
        )
    });
    let text = format!("global: {{ scrape_interval: 3s, scrape_timeout: 2s }}\nscrape_configs:\n{}", jobs.concat());
    let scraper = Scraper::start(&text).await;
    let targets = scraper.scraped().await;
    scraper.handle.stop().await;
    assert_eq!(targets.len(), PATHS.len());
    for (path, error) in PATHS {
        let target = targets.iter().find(|target| target.job == path).unwrap();
        let status = &target.status;
        let is_up = status.health == Health::Up;
        assert_eq!(is_up, error.is_empty(), "{path}: {status:?}");
        assert!(status.last_error.starts_with(error), "{path}: {status:?}");
        let written = scraper.recorder.last("job", path);
        let up = written.iter().find(|(labels, _)| labels.starts_with("up{")).unwrap().1;
        assert!((up.value - f64::from(u8::from(is_up))).abs() < f64::EPSILON, "{path}: {up:?}");
        assert_eq!(written.keys().any(|labels| labels.starts_with("a{")), is_up, "{path}: {written:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!(
        "scrape_configs: [{{ job_name: a, scrape_interval: 1s, static_configs: [{{ targets: ['{address}'] }}] }}]"
    );
    let scraper = Scraper::start(&text).await;
    let targets = scraper.scraped().await;
    assert!(targets[0].status.last_error.contains("refused"), "{targets:?}");
    scraper.handle.stop().await;
}

//! Requests as text in, requests as text out.

use http::Request;

use super::*;

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn origin() -> Origin {
    Origin::new("192.0.2.1:5".parse().unwrap(), "127.0.0.1:80".parse().unwrap())
}

fn refusal(method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Refusal> {
    Survey::of(&parts(method, target, headers), &origin(), &TraceIds::new()).err()
}

fn written_with(parts: &Parts, framing: Framing, options: &ProxyOptions) -> Vec<String> {
    let survey = Survey::of(parts, &origin(), &TraceIds::new()).unwrap();
    let mut out = Vec::new();
    survey.write(&mut out, parts, framing, &origin(), options);
    let text = String::from_utf8(out).unwrap();
    let lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").map(str::to_owned);
    // The trace id is new each time, and has tests of its own.
    lines
        .map(|line| if line.starts_with("traceparent: ") && line.contains("-01") { "traceparent".into() } else { line })
        .collect()
}

fn written(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<String> {
    written_with(&parts(method, target, headers), Framing::None, &ProxyOptions::default())
}

const OWN: [&str; 4] =
    ["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: http", "x-forwarded-host: shop", "traceparent"];

#[test]
fn a_plain_request_is_passed_on_with_who_asked() {
    let lines = written("GET", "/a?b=c", &[("accept", "*/*"), ("host", "shop")]);
    assert_eq!(lines[..3], ["GET /a?b=c HTTP/1.1", "host: shop", "accept: */*"]);
    assert_eq!(lines[3..], OWN);
}

#[test]
fn hop_by_hop_headers_end_here() {
    let lines = written(
        "GET",
        "/",
        &[
            ("host", "shop"),
            ("connection", "keep-alive, X-Private"),
            ("connection", "close,content-type"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("content-type", "text/plain"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("expect", "100-continue"),
            ("cookie", "kept=1"),
        ],
    );
    assert_eq!(lines[..3], ["GET / HTTP/1.1", "host: shop", "cookie: kept=1"]);
    assert_eq!(lines[3..], OWN);
}

#[test]
fn connection_can_take_away_neither_the_host_nor_our_own_headers() {
    let named = "host, x-forwarded-for, x-forwarded-host, x-forwarded-proto, traceparent";
    let lines = written("GET", "/", &[("host", "shop"), ("connection", named)]);
    assert_eq!(lines[1], "host: shop");
    assert_eq!(lines[2..], OWN);
}

#[test]
fn an_upgrade_and_trailers_are_asked_for_again() {
    let lines = written(
        "GET",
        "/",
        &[("host", "shop"), ("connection", "Upgrade, TE"), ("upgrade", "websocket"), ("te", "trailers, gzip")],
    );
    assert_eq!(lines[2..5], ["connection: upgrade", "upgrade: websocket", "te: trailers"]);
}

#[test]
fn what_a_client_says_about_forwarding_is_believed_only_behind_a_proxy() {
    let claims = [
        ("host", "shop"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "bank"),
    ];
    let lines = written("GET", "/", &claims);
    assert_eq!(lines[2], "x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.1");
    assert_eq!(lines[3..5], OWN[1..3]);
    let behind = ProxyOptions { behind_trusted_proxy: true, via: Some("prograde".into()), ..ProxyOptions::default() };
    let lines = written_with(&parts("GET", "/", &claims), Framing::None, &behind);
    assert_eq!(lines[2..4], ["x-forwarded-proto: https", "x-forwarded-host: bank"]);
    assert_eq!(lines.last().unwrap(), "via: 1.1 prograde");
}

#[test]
fn the_framing_is_said_once() {
    let request = parts("POST", "/", &[("host", "shop"), ("content-length", "3")]);
    let options = ProxyOptions::default();
    let count =
        |framing, what: &str| written_with(&request, framing, &options).iter().filter(|l| l.starts_with(what)).count();
    assert_eq!((count(Framing::Length, "content-length: 3"), count(Framing::Length, "transfer-encoding")), (1, 0));
    assert_eq!(
        (count(Framing::Chunked, "content-length"), count(Framing::Chunked, "transfer-encoding: chunked")),
        (0, 1)
    );
}

#[test]
fn a_valid_trace_goes_through_and_a_bad_one_is_replaced_with_its_state() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let lines = written("GET", "/", &[("host", "h"), ("traceparent", good), ("tracestate", "a=1")]);
    assert!(lines.contains(&format!("traceparent: {good}")) && lines.contains(&"tracestate: a=1".into()), "{lines:?}");
    for bad in [&[("traceparent", "nonsense")][..], &[("traceparent", good), ("traceparent", good)]] {
        let mut headers = vec![("host", "h"), ("tracestate", "a=1")];
        headers.extend(bad);
        let lines = written("GET", "/", &headers);
        assert_eq!(lines.iter().filter(|line| line.starts_with("trace")).collect::<Vec<_>>(), ["traceparent"]);
    }
}

#[test]
fn the_target_decides_where_a_request_goes() {
    let lines = written("GET", "http://user@bank:81/a", &[("host", "shop")]);
    assert_eq!(lines[..2], ["GET /a HTTP/1.1", "host: bank:81"]);
    assert_eq!(written("OPTIONS", "*", &[("host", "shop")])[0], "OPTIONS * HTTP/1.1");
    assert_eq!(refusal("GET", "*", &[("host", "shop")]), Some(Refusal::Target));
    assert_eq!(refusal("GET", "shop:80", &[("host", "shop")]), Some(Refusal::Target));
    assert_eq!(refusal("CONNECT", "shop:80", &[("host", "shop")]), Some(Refusal::Connect));
    assert_eq!(refusal("GET", "/", &[]), Some(Refusal::Host));
    assert_eq!(refusal("GET", "/", &[("host", "a"), ("host", "a")]), Some(Refusal::Host));
    for bad in ["a b", "a/b", "u@a", "a,b"] {
        assert_eq!(refusal("GET", "/", &[("host", bad)]), Some(Refusal::Host), "{bad}");
    }
    let mut old = parts("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(written_with(&old, Framing::None, &ProxyOptions::default())[1], "host: 127.0.0.1:80");
}

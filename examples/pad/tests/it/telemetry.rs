//! Traces and metrics.

use axum::body::Body;
use axum::http::{Method, Request};
use pad::faults::Faults;
use pad::trace::Span;

use crate::{ask, get, pad};

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn the_callers_trace_goes_on_in_a_child_span() {
    let request = Request::get("/").header("traceparent", CALLER).body(Body::empty()).unwrap();
    let answer = ask(&pad(Faults::NONE), request).await;
    let returned = answer.headers["traceparent"].to_str().unwrap();
    assert!(returned.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && returned.ends_with("-01"), "{returned}");
    assert_ne!(returned, CALLER, "the span is a new one");
}

#[tokio::test]
async fn without_a_caller_a_trace_begins() {
    let pad = pad(Faults::NONE);
    let (one, other) = (get(&pad, "/").await, get(&pad, "/panic").await);
    let (one, other) = (&one.headers["traceparent"], &other.headers["traceparent"]);
    assert_ne!(one, other);
    let span = Span::of_request(one.to_str().ok());
    assert!(span.parent_id.is_some(), "what is returned is valid: {one:?}");
}

#[test]
fn only_valid_headers_are_taken() {
    assert_eq!(Span::of_request(Some(CALLER)).parent_id, Some(0xb7ad_6b71_6920_3331));
    let later = CALLER.replace("00-", "01-") + "-what-may-come";
    assert!(Span::of_request(Some(&later)).parent_id.is_some(), "later versions may say more");
    let all_zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    let no_parent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
    for bad in [
        "",
        "-",
        "00",
        all_zero,
        no_parent,
        &CALLER.to_uppercase(),
        &CALLER.replace("00-", "ff-"),
        &CALLER[1..],
        &CALLER.replace('7', "g"),
        &CALLER.replace('7', "+"),
        &format!("{CALLER}-more"),
        &format!("{CALLER}0"),
        "00-ü",
    ] {
        assert_eq!(Span::of_request(Some(bad)).parent_id, None, "{bad}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let pad = pad(Faults::NONE);
    for path in ["/status/503", "/status/503", "/status/201", "/nowhere/1", "/nowhere/2", "/panic"] {
        get(&pad, path).await;
    }
    let odd = Request::builder().method(Method::from_bytes(b"BREW").unwrap()).uri("/").body(Body::empty()).unwrap();
    ask(&pad, odd).await;
    let metrics = get(&pad, "/metrics").await;
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"http_requests_total{method="GET",route="/status/{code}",status="503"} 2"#,
        r#"http_requests_total{method="GET",route="/status/{code}",status="201"} 1"#,
        r#"http_requests_total{method="GET",route="unmatched",status="404"} 2"#,
        r#"http_requests_total{method="GET",route="/panic",status="500"} 1"#,
        r#"http_requests_total{method="other",route="/",status="405"} 1"#,
        r#"http_request_duration_seconds_count{route="/status/{code}"} 3"#,
        r#"http_request_duration_seconds_bucket{le="+Inf",route="unmatched"} 2"#,
        "http_requests_in_flight 1",
        &format!(r#"pad_build_info{{version="{}",source="{}"}} 1"#, pad::VERSION, pad::SOURCE),
    ] {
        assert!(metrics.text.lines().any(|l| l == line), "{line} is missing in\n{}", metrics.text);
    }
    assert!(metrics.text.ends_with("# EOF\n"));
}

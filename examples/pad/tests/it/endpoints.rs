//! What each endpoint answers.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use pad::faults::Faults;
use pad::greeting::GREETING;
use pad::health::Health;
use pad::redact::{MASK, shown};
use pad::routes::{self, OPENAPI};
use pad::settings::Settings;
use serde_json::{Value, json};

use crate::{ask, get, pad};

#[tokio::test]
async fn the_first_page_greets() {
    let answer = get(&pad(Faults::NONE), "/").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["greeting"], json!(GREETING));
    assert_eq!(answer.json()["version"], json!(pad::VERSION));
}

#[tokio::test]
async fn the_version_names_build_and_commit() {
    let settings = Settings { faults: Faults::NONE, commit: Some("c0ffee12".into()), ..Settings::default() };
    let answer = get(&routes::router(&settings, Health::default()), "/version").await.json();
    assert_eq!(answer, json!({ "name": "pad", "version": pad::VERSION, "source": pad::SOURCE, "commit": "c0ffee12" }));
}

#[tokio::test]
async fn probes_follow_the_life_of_the_process() {
    let health = Health::default();
    let pad = routes::router(&Settings { faults: Faults::NONE, ..Settings::default() }, health.clone());
    let statuses = async || {
        let mut statuses = Vec::new();
        for path in ["/startupz", "/healthz", "/livez", "/readyz"] {
            statuses.push(get(&pad, path).await.status.as_u16());
        }
        statuses
    };
    assert_eq!(statuses().await, [503, 503, 200, 503]);
    health.started();
    assert_eq!(statuses().await, [200, 200, 200, 200]);
    health.draining();
    assert_eq!(statuses().await, [200, 200, 200, 503]);
    health.started();
    assert_eq!(statuses().await, [200, 200, 200, 503], "there is no way back from draining");
}

#[tokio::test]
async fn statuses_are_bounded() {
    let pad = pad(Faults::NONE);
    for code in [200, 204, 205, 304, 404, 418, 503, 599] {
        assert_eq!(get(&pad, &format!("/status/{code}")).await.status.as_u16(), code);
    }
    for bad in ["0", "100", "199", "600", "70000", "-1", "teapot"] {
        assert_eq!(get(&pad, &format!("/status/{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(get(&pad, "/status/204").await.text, "");
}

#[tokio::test]
async fn delays_are_bounded() {
    let pad = pad(Faults::NONE);
    assert_eq!(get(&pad, "/delay/0.01").await.json(), json!({ "delayed_s": 0.01 }));
    for bad in ["-1", "60.1", "1e300", "NaN", "inf", "soon"] {
        assert_eq!(get(&pad, &format!("/delay/{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn a_panic_is_answered_and_survived() {
    let pad = pad(Faults::NONE);
    let answer = get(&pad, "/panic").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json(), json!({ "error": "the handler panicked" }));
    assert_eq!(get(&pad, "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn secrets_in_headers_are_masked() {
    let request = Request::get("/headers")
        .header("authorization", "Bearer abc")
        .header("cookie", "session=abc")
        .header("x-api-key", "abc")
        .header("x-city", "Bern")
        .body(Body::empty())
        .unwrap();
    let answer = ask(&pad(Faults::NONE), request).await.json();
    for secret in ["authorization", "cookie", "x-api-key"] {
        assert_eq!(answer[secret], json!([MASK]), "{secret}");
    }
    assert_eq!(answer["x-city"], json!(["Bern"]));
}

#[tokio::test]
async fn the_environment_is_shown() {
    let answer = get(&pad(Faults::NONE), "/env").await.json();
    let path = std::env::vars().find(|(name, _)| name == "PATH").unwrap().1;
    assert_eq!(answer["PATH"], json!(path));
}

#[test]
fn secrets_are_known_by_name_or_by_form() {
    for name in ["API_KEY", "GITHUB_TOKEN", "db_password", "MY_SECRET_THING", "PGPASSFILE", "AWS_CREDENTIALS", "Cookie"]
    {
        assert_eq!(shown(name, "abc"), MASK, "{name}");
    }
    for value in ["postgres://me:hunter2@db/pad", "a=b,redis://:hunter2@cache:6379"] {
        assert_eq!(shown("DATABASE", value), MASK, "{value}");
    }
    for value in ["https://example.org/@me", "https://example.org", "me@example.org", "1.5"] {
        assert_eq!(shown("PLACE", value), value);
    }
}

#[tokio::test]
async fn unknown_pages_and_methods_are_refused_in_json() {
    let pad = pad(Faults::NONE);
    let missing = get(&pad, "/nowhere").await;
    assert_eq!((missing.status, missing.json()["error"].is_string()), (StatusCode::NOT_FOUND, true));
    let post = ask(&pad, Request::post("/").body(Body::empty()).unwrap()).await;
    assert_eq!((post.status, post.json()["error"].is_string()), (StatusCode::METHOD_NOT_ALLOWED, true));
}

/// The routes in the source and the paths in the description are the same.
#[tokio::test]
async fn the_description_holds_every_route_and_no_other() {
    let api: Value = serde_json::from_str(OPENAPI).unwrap();
    let described: BTreeSet<&str> = api["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let source = include_str!("../../src/routes.rs");
    let routed: BTreeSet<&str> = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(described, routed);
    assert_eq!(api["info"]["version"], json!(pad::VERSION));

    let pad = pad(Faults::NONE);
    for path in described {
        let path = path.replace("{seconds}", "0").replace("{code}", "202");
        assert_ne!(get(&pad, &path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_docs_page_loads_nothing_from_elsewhere() {
    let answer = get(&pad(Faults::NONE), "/docs").await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    assert!(answer.text.contains("fetch(\"openapi.json\")"));
    assert!(!answer.text.contains("http://") && !answer.text.contains("https://"));
}

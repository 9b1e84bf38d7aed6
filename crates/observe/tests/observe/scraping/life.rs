//! Targets that come and go, and what they are asked.

use std::fs;

use prograde_observe::Sample;
use prograde_observe::scrape::{ScrapeJob, TargetGroup};

use super::site::{Site, respond};
use super::{Scraper, config};

fn job(site: &Site, more: &str) -> String {
    format!(
        "scrape_configs: [{{ job_name: a, scrape_interval: 100ms, static_configs: [{{ targets: ['{}'] }}], {more} }}]",
        site.address
    )
}

fn good() -> Site {
    Site::of_bodies(vec![("/metrics".to_owned(), "text/plain", b"# HELP a Of a.\na 1\n".to_vec())])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_asked_as_prometheus_asks() {
    let site = good();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "secret\n").unwrap();
    let more = format!("params: {{ a: [b, 'c d'] }}, authorization: {{ credentials_file: '{}' }}", token.display());
    let scraper = Scraper::start(&job(&site, &more)).await;
    let metadata = scraper
        .wait("it has described itself", |this| Some(this.handle.metadata()).filter(|all| !all.is_empty()))
        .await;
    assert_eq!((metadata[0].metric.as_str(), metadata[0].metadata.help.as_str()), ("a", "Of a."));
    scraper.handle.stop().await;
    let mut head = site.heads()[0].clone();
    assert_eq!(head.remove(0), "GET /metrics?a=b&a=c+d HTTP/1.1");
    head.retain(|line| !line.starts_with("host: "));
    head.sort();
    assert_eq!(
        head,
        [
            "accept-encoding: gzip".to_owned(),
            format!("accept: {}", prograde_observe::exposition::ACCEPT),
            "authorization: Bearer secret".to_owned(),
            concat!("user-agent: Prograde/", env!("CARGO_PKG_VERSION")).to_owned(),
            "x-prometheus-scrape-timeout-seconds: 0.1".to_owned(),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = good();
    let port = other.address.port();
    let site = Site::start(move |_, stream| {
        respond(stream, "302 Found", &[("location", &format!("http://localhost:{port}/metrics"))], b"");
    });
    let scraper = Scraper::start(&job(&site, "basic_auth: { username: u, password: p }")).await;
    let targets = scraper.scraped().await;
    scraper.handle.stop().await;
    assert_eq!(targets[0].status.last_error, "");
    let asks = |head: &[String]| head.iter().any(|line| line.starts_with("authorization: "));
    assert!(site.heads().iter().all(|head| asks(head)));
    assert!(!other.heads().is_empty() && !other.heads().iter().any(|head| asks(head)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_goes_away_ends_and_one_that_stays_goes_on() {
    let site = good();
    let scraper = Scraper::start(&job(&site, "")).await;
    scraper.scraped().await;
    // Another configuration for the same target: nothing ends.
    scraper.handle.reload(config(&job(&site, "sample_limit: 100")).jobs).await;
    let before = scraper.recorder.all("a").len();
    scraper.wait("it goes on", |this| (this.recorder.all("a").len() > before + 2).then_some(())).await;
    assert!(!scraper.recorder.all("a").iter().any(Sample::is_stale));
    scraper.handle.reload(Vec::new()).await;
    assert!(scraper.handle.targets().active.is_empty());
    let ended = scraper.wait("it ends", |this| this.recorder.all("a").into_iter().find(Sample::is_stale)).await;
    let all = scraper.recorder.all("a");
    assert!(all.iter().all(|sample| sample.timestamp <= ended.timestamp), "{all:?}");
    assert!(scraper.recorder.all("up").iter().any(Sample::is_stale));
    scraper.handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_no_series() {
    let site = good();
    let scraper = Scraper::start(&job(&site, "")).await;
    scraper.scraped().await;
    scraper.handle.stop().await;
    let written = scraper.recorder.0.lock().unwrap();
    assert!(!written.is_empty() && !written.iter().any(|(_, sample)| sample.is_stale()));
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_of_the_local_node_are_given_at_run_time() {
    let site = good();
    let scraper = Scraper::start("").await;
    scraper.handle.reload(vec![ScrapeJob::local_node("prograde", 100)]).await;
    let labels = [("service", "shop"), ("environment", "production"), ("version", "1"), ("replica", "0")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let group = TargetGroup { addresses: vec![site.address.to_string()], labels };
    scraper.handle.set_targets("prograde", vec![group]).await;
    scraper.scraped().await;
    scraper.handle.stop().await;
    let written = scraper.recorder.last("service", "shop");
    let name = format!(
        r#"a{{environment="production", instance="{}", job="prograde", replica="0", service="shop", version="1"}}"#,
        site.address
    );
    assert!(written.contains_key(&name), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_targets_are_followed() {
    let site = good();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.json");
    let text = format!(
        "scrape_configs: [{{ job_name: a, scrape_interval: 100ms, file_sd_configs: [{{ files: ['{}'] }}] }}]",
        file.display()
    );
    let scraper = Scraper::start(&text).await;
    assert!(scraper.handle.targets().active.is_empty());
    fs::write(&file, format!(r#"[{{"targets": ["{}"], "labels": {{"from": "file"}}}}]"#, site.address)).unwrap();
    let targets = scraper.scraped().await;
    assert_eq!(targets[0].target.labels.get("from"), "file");
    assert_eq!(targets[0].target.discovered.get("__meta_filepath"), file.display().to_string());
    fs::write(&file, "[]").unwrap();
    scraper.wait("it is gone", |this| this.handle.targets().active.is_empty().then_some(())).await;
    scraper.handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_targets_than_allowed_are_all_refused() {
    let site = good();
    let text = format!(
        "scrape_configs: [{{ job_name: a, scrape_interval: 1s, target_limit: 1, \
         static_configs: [{{ targets: ['{}', 'localhost:1'] }}] }}]",
        site.address
    );
    let scraper = Scraper::start(&text).await;
    let targets = scraper.scraped().await;
    scraper.handle.stop().await;
    assert_eq!(targets.len(), 2);
    assert!(targets.iter().all(|one| one.status.last_error == "target_limit exceeded: 2 targets, more than 1"));
    assert!(site.heads().is_empty());
}

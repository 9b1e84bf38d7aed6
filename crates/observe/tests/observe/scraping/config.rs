//! Which configurations promtool takes, and what relabelling makes of targets, asked of Prometheus itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use prograde_observe::Labels;
use prograde_observe::scrape::config::{CODE_UNSUPPORTED, parse};
use serde_json::Value as Json;

use super::Scraper;
use crate::peer::Prometheus;
use crate::rules::promtool;

/// Files that are taken or refused; each is one job's fields, or a whole file where it has lines.
const FILES: [&str; 81] = [
    "static_configs: [{ targets: ['a:1', 'b'] }]",
    "static_configs: [{ targets: ['[::1]:80', '[::1]'] }]",
    "static_configs: [{ targets: ['a:1'], labels: { x: y, n: 5, f: true } }]",
    "static_configs: [{ targets: ['http://a:1'] }]",
    "static_configs: [{ targets: ['a/b'] }]",
    "static_configs: [{ targets: [''] }]",
    "static_configs: [{ targets: a }]",
    "static_configs: [{ targets: ['a:1'], labels: { a-b: c } }]",
    "static_configs: [{ targets: ['a:1'], unknown: 1 }]",
    "static_configs: [{ targets: ['a:1'] }], relabel_configs: [{ target_label: __address__, replacement: 'b/c' }]",
    "static_configs: [{ targets: ['a:1'] }], relabel_configs: [{ target_label: __scrape_timeout__, replacement: 2m }]",
    "static_configs: [{ targets: ['a:1'] }], relabel_configs: [{ target_label: __scrape_interval__, replacement: x }]",
    "static_configs: [{ targets: ['http://a'] }], relabel_configs: [{ regex: '.*', action: drop }]",
    "static_configs: [{ targets: ['http://a'] }], relabel_configs: [{ target_label: __address__, replacement: b }]",
    "scrape_interval: 5s",
    "scrape_interval: 0s",
    "scrape_interval: 5",
    "scrape_interval: 1h30m, scrape_timeout: 30s",
    "scrape_interval: 5s, scrape_timeout: 6s",
    "scrape_timeout: 2m",
    "honor_labels: true, honor_timestamps: false",
    "honor_labels: yes",
    "honor_labels: 1",
    "params: { a: [b], c: [] }",
    "params: { a: b }",
    "params: []",
    "scheme: https",
    "metrics_path: /other",
    "basic_auth: { username: u, password: p }",
    "basic_auth: { username: u, password: p, password_file: f }",
    "basic_auth: { user: u }",
    "authorization: { credentials: x }",
    "authorization: { type: Token, credentials: x }",
    "authorization: { type: Basic, credentials: x }",
    "authorization: { credentials: x, credentials_file: f }",
    "authorization: { credentials: x }, basic_auth: { username: u }",
    "bearer_token: x",
    "bearer_token: x, bearer_token_file: f",
    "bearer_token: x, authorization: { credentials: x }",
    "bearer_token: x, basic_auth: { username: u }",
    "tls_config: { insecure_skip_verify: true, server_name: a }",
    "tls_config: { unknown: a }",
    "tls_config: { min_version: TLS12 }",
    "tls_config: { min_version: SSL3 }",
    "follow_redirects: false, enable_http2: false",
    "follow_redirects: maybe",
    "sample_limit: 5, label_limit: 5, label_name_length_limit: 5, label_value_length_limit: 5, target_limit: 5",
    "sample_limit: -5",
    "sample_limit: many",
    "body_size_limit: 10MB",
    "body_size_limit: 10MiB",
    "body_size_limit: 1.5KB",
    "body_size_limit: 0",
    "body_size_limit: 10",
    "body_size_limit: 10mb",
    "file_sd_configs: [{ files: [a.json, 'b/*.yml'] }]",
    "file_sd_configs: [{ files: [a.txt] }]",
    "file_sd_configs: [{ files: ['a*/b.yml'] }]",
    "file_sd_configs: [{ files: [] }]",
    "file_sd_configs: [{ files: [a.json], refresh_interval: 1m }]",
    "unknown: 1",
    "scrape_configs: []\n",
    "scrape_configs:\n",
    "scrape_configs: {}\n",
    "scrape_configs: [~]\n",
    "scrape_configs: [{}]\n",
    "scrape_configs: [{ job_name: '' }]\n",
    "scrape_configs: [{ job_name: a }, { job_name: a }]\n",
    "scrape_configs: [{ job_name: a }, { job_name: b }]\n",
    "global: { scrape_interval: 5s, scrape_timeout: 6s }\n",
    "global: { scrape_interval: 5s, evaluation_interval: 1m, external_labels: { a: b } }\n",
    "global: { scrape_timeout: 2m }\n",
    "global: { external_labels: { a-b: c } }\n",
    "global: { unknown: 1 }\n",
    "global:\n",
    "unknown: 1\n",
    "rule_files: ['a*/b.yml']\n",
    "rule_files: ['none-*.yml']\n",
    "alerting: { alertmanagers: [{ static_configs: [{ targets: ['a:1'] }], api_version: v2, timeout: 5s }] }\n",
    "alerting: { alertmanagers: [{ api_version: v3 }] }\n",
    "alerting: { alert_relabel_configs: [{ action: labeldrop, regex: a }], unknown: 1 }\n",
];

/// Rules that are taken or refused.
const RULES: [&str; 34] = [
    "",
    "target_label: a",
    "target_label: 'a b'",
    "target_label: '${1}_x'",
    "target_label: '$1'",
    "target_label: '1a'",
    "target_label: '${1'",
    "source_labels: [a], target_label: b, regex: '(.*)', replacement: 'x$1', separator: ''",
    "source_labels: a, target_label: b",
    "source_labels: [a-b], target_label: b",
    "regex: '(', target_label: a",
    "regex: 8080, target_label: a, replacement: 5",
    "action: keep, source_labels: [a], regex: b",
    "action: KEEP, source_labels: [a], regex: b",
    "action: drop",
    "action: keepequal, source_labels: [a], target_label: b",
    "action: keepequal, source_labels: [a]",
    "action: dropequal, source_labels: [a], target_label: b, regex: x",
    "action: dropequal, source_labels: [a], target_label: b, regex: '(.*)', separator: ';'",
    "action: hashmod, source_labels: [a], target_label: b, modulus: 4",
    "action: hashmod, source_labels: [a], target_label: b",
    "action: hashmod, source_labels: [a], target_label: '$1', modulus: 4",
    "action: labelmap, regex: 'a(.*)'",
    "action: labelmap, regex: 'a(.*)', replacement: 'b c'",
    "action: labelmap, regex: 'a(.*)', replacement: 'b_${1}'",
    "action: labeldrop, regex: a",
    "action: labeldrop, regex: a, source_labels: [b]",
    "action: labelkeep, regex: a, replacement: b",
    "action: labelkeep, regex: a, replacement: '$1'",
    "action: lowercase, source_labels: [a], target_label: b",
    "action: lowercase, source_labels: [a], target_label: b, replacement: x",
    "action: uppercase, source_labels: [a]",
    "action: rename, source_labels: [a], target_label: b",
    "target_label: a, unknown: 1",
];

#[test]
fn promtool_takes_and_refuses_the_same_configurations() {
    let mut files: Vec<String> = FILES
        .map(|fields| match fields.strip_suffix('\n') {
            Some(_) => fields.to_owned(),
            None => format!("scrape_configs: [{{ job_name: a, {fields} }}]\n"),
        })
        .to_vec();
    files.extend(RULES.map(|rule| format!("scrape_configs: [{{ job_name: a, relabel_configs: [{{ {rule} }}] }}]\n")));
    files.extend(
        RULES.map(|rule| format!("scrape_configs: [{{ job_name: a, metric_relabel_configs: [{{ {rule} }}] }}]\n")),
    );
    let folder = tempfile::tempdir().unwrap();
    let mut differences = String::new();
    for text in files {
        fs::write(folder.path().join("prometheus.yml"), &text).unwrap();
        let Some((taken, said)) = promtool(folder.path(), &["check", "config", "prometheus.yml"]) else { return };
        let ours = parse("prometheus.yml", &text, folder.path());
        if ours.is_ok() != taken {
            writeln!(differences, "{text}\n  ours: {ours:?}\n  theirs: {taken} {said}").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// What promtool takes and Prograde refuses, by name. Which platforms it can ask depends on how it was built.
#[test]
fn what_is_not_done_is_refused_by_name() {
    let files = [
        "scrape_configs: [{ job_name: a, dns_sd_configs: [{ names: [a] }] }]\n",
        "scrape_configs: [{ job_name: a, proxy_url: 'http://a' }]\n",
        "scrape_configs: [{ job_name: a, tls_config: { min_version: TLS13 } }]\n",
        "scrape_configs: [{ job_name: a, oauth2: { client_id: a, client_secret: b, token_url: 'http://a' } }]\n",
        "remote_write: [{ url: 'http://a' }]\n",
        "remote_read: [{ url: 'http://a' }]\n",
    ];
    let folder = tempfile::tempdir().unwrap();
    for text in files {
        let found = parse("prometheus.yml", text, folder.path()).unwrap_err();
        assert!(found.0.iter().all(|one| one.code == CODE_UNSUPPORTED && !one.hint.is_empty()), "{found}");
        fs::write(folder.path().join("prometheus.yml"), text).unwrap();
        let Some((taken, said)) = promtool(folder.path(), &["check", "config", "prometheus.yml"]) else { return };
        assert!(taken, "{text}: {said}");
    }
}

/// Jobs with rules whose effects are compared; nothing listens at their targets, and an hour is longer than the test.
fn relabelled() -> String {
    let rules = [
        "{ source_labels: [a, b], target_label: joined }",
        "{ source_labels: [a, b], separator: '', regex: '(.)(.*)', target_label: '${1}_x', replacement: '$2-$1$$' }",
        "{ source_labels: [a], regex: '(?P<n>.*)', target_label: n, replacement: '${n}_$nn' }",
        "{ source_labels: [a], regex: no, target_label: a, replacement: y }",
        "{ source_labels: [a], target_label: a, replacement: '' }",
        "{ source_labels: [a], regex: '(.*)', target_label: '$1', replacement: '' }",
        "{ source_labels: [none], target_label: '$1', replacement: x }",
        "{ source_labels: [none], target_label: 'a$1', replacement: '' }",
        "{ source_labels: [a], regex: one, action: keep }",
        "{ source_labels: [a], regex: on, action: keep }",
        "{ source_labels: [a], regex: 'one|x', action: drop }",
        "{ source_labels: [a], target_label: c, action: keepequal }",
        "{ source_labels: [a], target_label: b, action: keepequal }",
        "{ source_labels: [a], target_label: c, action: dropequal }",
        "{ source_labels: [__address__, a], modulus: 1000000007, target_label: shard, action: hashmod }",
        "{ source_labels: [a], modulus: 18446744073709551615, target_label: shard, action: hashmod }",
        "{ regex: '(a|b)', replacement: 'copy_$1', action: labelmap }",
        "{ regex: '__meta_(.+)', action: labelmap }",
        "{ regex: 'a|job', action: labeldrop }",
        "{ regex: '__.*|c', action: labelkeep }",
        "{ source_labels: [upper], target_label: lower, action: lowercase }",
        "{ source_labels: [lower], target_label: upper, action: uppercase }",
        "{ target_label: __metrics_path__, replacement: '/a b/ü?x=1' }",
        "{ target_label: __scheme__, replacement: https }",
        "{ target_label: __param_x, replacement: 'a b&c=d/ü' }",
        "{ target_label: instance, replacement: me }",
        "{ target_label: __scrape_interval__, replacement: 2h }",
        "{ target_label: __tmp, replacement: x }, { source_labels: [__tmp], target_label: tmp }",
        "{ source_labels: [__address__], regex: '(.*):.*', target_label: __address__, replacement: '$1' }",
        "{ source_labels: [__scrape_interval__, __scrape_timeout__], target_label: times }",
    ];
    let mut text = "global: { scrape_interval: 1h30m, scrape_timeout: 90s }\nscrape_configs:\n".to_owned();
    for (index, rule) in rules.iter().enumerate() {
        write!(
            text,
            "- job_name: j{index}\n  params: {{ x: ['1', '2'], y: ['z'] }}\n  static_configs: [{{ targets: \
             ['localhost:1', '[::1]:2'], labels: {{ a: one, b: two, c: one, upper: AÉß, lower: aéß, __meta_x: m }} }}]\n  \
             relabel_configs: [{rule}]\n"
        )
        .unwrap();
    }
    text
}

fn labels(json: &Json) -> Labels {
    json.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_makes_the_same_of_targets() {
    let text = relabelled();
    let Some(prometheus) = Prometheus::start_with(&text) else { return };
    let jobs = text.matches("job_name").count();
    let targets = prometheus.wait("it has found all targets", |prometheus| {
        let targets = prometheus.get("/api/v1/targets");
        let count = |field: &str| targets[field].as_array().unwrap().len();
        (count("activeTargets") + count("droppedTargets") >= 2 * jobs).then_some(targets)
    });
    let (active, dropped) =
        (targets["activeTargets"].as_array().unwrap(), targets["droppedTargets"].as_array().unwrap());
    // What 2.42 tells of an active target's labels before relabelling is overwritten by relabelling itself.
    let told = |target: &Json| {
        let text = |field: &str| target[field].as_str().unwrap().to_owned();
        let times = format!("{} {}", text("scrapeInterval"), text("scrapeTimeout"));
        format!("{} {} {} {times}", text("scrapePool"), labels(&target["labels"]), text("scrapeUrl"))
    };
    let theirs: BTreeSet<String> = active.iter().map(told).collect();
    let their_dropped: BTreeSet<String> =
        dropped.iter().map(|target| labels(&target["discoveredLabels"]).to_string()).collect();
    let scraper = Scraper::start(&text).await;
    let found = scraper.handle.targets();
    scraper.handle.stop().await;
    let times = |ms: i64| match ms {
        7_200_000 => "2h",
        5_400_000 => "1h30m",
        90_000 => "1m30s",
        _ => "?",
    };
    let ours = found.active.iter().map(|one| {
        let target = &one.target;
        let times = format!("{} {}", times(target.interval_ms), times(target.timeout_ms));
        format!("{} {} {} {times}", one.job, target.labels, target.url)
    });
    let ours: BTreeSet<String> = ours.collect();
    let our_dropped: BTreeSet<String> = found.dropped.iter().map(ToString::to_string).collect();
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert!(ours.len() > 40, "{ours:?}");
    assert_eq!(only(&ours, &theirs), only(&theirs, &ours));
    assert_eq!(only(&our_dropped, &their_dropped), only(&their_dropped, &our_dropped));
}

use std::path::Path;

use super::*;

fn parsed(text: &str) -> Config {
    parse("prometheus.yml", text, Path::new("/etc/prometheus")).unwrap()
}

#[test]
fn an_ordinary_file_is_read() {
    let config = parsed(
        "
global: { scrape_interval: 15s, evaluation_interval: 30s, external_labels: { region: eu }, sample_limit: 7 }
rule_files: [rules/*.yml, /abs.yml]
alerting:
  alertmanagers: [{ static_configs: [{ targets: ['am:9093'] }], path_prefix: /am }]
scrape_configs:
- job_name: a
  static_configs: [{ targets: ['a:1', 'b:2'], labels: { env: prod, port: 80 } }]
- job_name: b
  scrape_interval: 5s
  scheme: https
  sample_limit: 9
  body_size_limit: 1MB
  params: { module: [http_2xx] }
  bearer_token_file: token
  tls_config: { ca_file: ca.pem, insecure_skip_verify: no }
  file_sd_configs: [{ files: [targets/*.json] }]
  relabel_configs:
  - { source_labels: [__address__], regex: '(.*):.*', target_label: host }
",
    );
    assert_eq!(config.rule_files, [Path::new("/etc/prometheus/rules/*.yml"), Path::new("/abs.yml")]);
    assert_eq!(config.global.external_labels, [("region".to_owned(), "eu".to_owned())]);
    let [a, b] = config.jobs.as_slice() else { panic!("{config:?}") };
    assert_eq!((a.interval_ms, a.timeout_ms, b.interval_ms, b.timeout_ms), (15_000, 10_000, 5_000, 5_000));
    assert_eq!((a.limits.samples, b.limits.samples, b.limits.body_bytes), (Some(7), Some(9), Some(1 << 20)));
    assert_eq!(a.targets[0].labels[1], ("port".to_owned(), "80".to_owned()));
    let token = Secret::File("/etc/prometheus/token".into());
    assert_eq!(b.http.credentials, Some(Credentials::Token { scheme: "Bearer".to_owned(), token }));
    assert_eq!(b.target_files[0].files, [Path::new("/etc/prometheus/targets/*.json")]);
    assert_eq!(b.relabelling.len(), 1);
    assert_eq!(config.alertmanagers[0].path_prefix, "/am");
    assert_eq!(parsed("").jobs, parsed("scrape_configs:\nglobal:\n").jobs);
}

#[test]
fn secrets_are_shown_to_nobody() {
    let config = parsed("scrape_configs: [{ job_name: a, basic_auth: { username: u, password: hunter2 } }]");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn all_findings_of_a_file_are_told_with_their_places() {
    let text = "\
global:
  scrape_interval: often
  scrape_timeout: 2m
  external_labels: { a-b: c }
  query_log_file: log
storage: { tsdb: { out_of_order_time_window: 1h } }
remote_write: [{ url: 'http://a' }]
rule_files: ['a*/b.yml']
scrape_configs:
- job_name: a
  kubernetes_sd_configs: [{ role: pod }]
  proxy_url: http://proxy
  static_configs: [{ targets: ['http://a/metrics'] }]
- job_name: a
  scrape_interval: 1s
  scrape_timeout: 2s
  sample_limit: -1
  body_size_limit: 5
  honor_labels: maybe
  unknown: 1
  scheme: ftp
  basic_auth: { username: u, password: p, password_file: f }
  authorization: { type: Basic, credentials: x }
  tls_config: { cert_file: c }
  file_sd_configs: [{ files: ['a.txt'] }, {}]
- job_name: b
  static_configs: [{ targets: ['a:1', 'http://b', 'c/d'] }, { targets: [''] }]
- relabel_configs:
  - { regex: '(' }
  - { action: rename, target_label: a }
  - { action: hashmod, target_label: a }
  - { action: labeldrop, target_label: a }
  - { action: lowercase, target_label: a, replacement: b }
  - { source_labels: [a-b], target_label: 'c d' }
  - { action: labelmap, replacement: 'a b' }
- text
alerting:
  alertmanagers: [{ api_version: v1, dns_sd_configs: [] }]
";
    insta::assert_snapshot!(parse("prometheus.yml", text, Path::new("")).unwrap_err().to_string());
    let notices = parsed("storage: {}\ntracing: {}\nglobal: { query_log_file: a }\n").notices;
    assert_eq!(notices.iter().map(|notice| notice.line).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(notices.iter().all(|notice| notice.code == CODE_ASIDE));
}

#[test]
fn hostile_files_are_errors() {
    for text in ["[", "- a", "a: 1", "scrape_configs: {a: b}", "global: []", "\u{0}", "scrape_configs: [[[[]]]]"] {
        assert!(parse("prometheus.yml", text, Path::new("")).is_err(), "{text:?}");
    }
}

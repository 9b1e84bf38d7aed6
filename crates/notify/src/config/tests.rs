//! Findings, secrets, and hostile files; what is taken at all is asked of `amtool` as well, in `tests/notify`.

use super::*;

fn found(text: &str) -> Vec<String> {
    let found = parse("alertmanager.yml", text).unwrap_err();
    found
        .0
        .iter()
        .map(|finding| format!("{}:{} {} {}", finding.line, finding.column, finding.code, finding.message))
        .collect()
}

#[test]
fn all_findings_are_told_at_once_in_the_order_of_lines() {
    let text = "\
route:
  receiver: a
  group_wait: soon
  routes:
    - receiver: b
      matchers: [ a ]
receivers:
  - name: a
    opsgenie_configs: [{ api_key: x }]
    webhook_configs: [{ url: 'x', http_config: { tls_config: {} } }]
";
    assert_eq!(
        found(text),
        [
            "3:15 PG0650 `soon` in `group_wait` is not a duration",
            "5:17 PG0650 there is no receiver `b`",
            "6:19 PG0650 \"a\" is not a matcher: write `name=\"value\"`, or `!=`, `=~` or `!~` for the sign",
            "9:23 PG0651 `opsgenie_configs` is a kind of receiver that we do not have",
            "10:30 PG0650 `url` has no scheme",
            "10:50 PG0652 `tls_config` is not supported",
        ]
    );
}

#[test]
fn secrets_are_never_shown() {
    let text = "\
global: { slack_api_url: 'https://x/hidden', smtp_from: a@b.c, smtp_smarthost: 'x:1', smtp_auth_username: u, smtp_auth_password: hidden }
route: { receiver: a }
receivers:
  - name: a
    webhook_configs: [{ url: 'https://u:hidden@x/hidden', http_config: { bearer_token: hidden, proxy_url: 'http://u:hidden@p' } }]
    slack_configs: [{ api_url: 'https://x/hidden' }, {}]
    pagerduty_configs: [{ routing_key: hidden }]
    matrix_configs: [{ homeserver_url: 'http://x', room_id: r, access_token: hidden }]
    ntfy_configs: [{ topic: t, token: hidden }]
";
    let config = parse("alertmanager.yml", text).unwrap();
    assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
    assert!(!config.shown.contains("hidden"), "{}", config.shown);
    // Neither are addresses that can't be used.
    assert!(!found(&text.replace("https://u:", "ftp://u:")).join("\n").contains("hidden"));
}

#[test]
fn a_secret_in_a_file_is_read_when_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Secret::File("key".into());
    assert!(matches!(secret.read(folder.path()), Err(SecretError::Read { .. })));
    std::fs::write(folder.path().join("key"), " k \n").unwrap();
    assert_eq!(secret.read(folder.path()).unwrap(), "k");
    std::fs::write(folder.path().join("key"), [0xff]).unwrap();
    assert!(matches!(secret.read(folder.path()), Err(SecretError::Form { .. })));
}

#[test]
fn hostile_files_are_refused() {
    let mut deep = String::from("receivers: [{ name: a }]\nroute: { receiver: a");
    (0..60).for_each(|_| deep.push_str(", routes: [{ receiver: a"));
    deep.push_str(&"}]".repeat(60));
    deep.push('}');
    // By its depth as YAML or as a tree, whichever is noticed first.
    assert!(!found(&deep).is_empty());
    for broken in [
        "",
        "a",
        "[]",
        "route: ",
        "route: {",
        "route: { receiver: a }\n---\nroute: { receiver: a }\n",
        "receivers: a\nroute: b\n",
    ] {
        assert!(!found(broken).is_empty(), "{broken:?}");
    }
}

//! What templates give, beside `amtool template render`.

use std::collections::BTreeSet;
use std::fs;

use jiff::Timestamp;
use prograde_model::alert::{Alert, Cause, Notification, NotificationKey};
use prograde_model::labels::Labels;
use prograde_notify::message::{Data, Messages};

use super::peer::{amtool, printed};

const TEXTS: [&str; 24] = [
    "{{ .Receiver }} {{ .Status | toUpper }} {{ .ExternalURL }}",
    "{{ len .Alerts }} {{ .Alerts.Firing | len }} {{ len .Alerts.Resolved }}",
    "{{ range .Alerts }}{{ .Status }} {{ .Labels.alertname }} {{ .Fingerprint }} {{ .GeneratorURL }};{{ end }}",
    "{{ range .Alerts }}{{ .StartsAt }} {{ .StartsAt.Unix }} {{ .EndsAt.Year }};{{ end }}",
    "{{ (index .Alerts 0).Labels.zone }}",
    "{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }} {{ end }}",
    "{{ .CommonLabels.Names | join \", \" }} {{ .CommonLabels.Values | join \"/\" }}",
    "{{ .CommonLabels.SortedPairs.Values | join \" \" }} {{ .CommonLabels.SortedPairs.Names | join \" \" }}",
    "{{ (.CommonLabels.Remove .GroupLabels.Names).Values | join \"+\" }}",
    "{{ range $name, $value := .CommonLabels }}{{ $name }}:{{ $value }};{{ end }}",
    "{{ with .CommonLabels.nothing }}there{{ else }}not there{{ end }}|{{ .CommonLabels.nothing }}|",
    "{{ .CommonAnnotations.summary | title }}",
    "{{ \"wORLD hello_there it's 2nd-hand\" | title }}",
    "{{ \"ÀB\" | toLower }} {{ reReplaceAll \"(.)b\" \"${1}x\" \"abab\" }}",
    "{{ match \"^a.c$\" \"abc\" }} {{ match \"b\" \"abc\" }} {{ if match \"x\" \"abc\" }}y{{ else }}n{{ end }}",
    "{{ join \",\" (stringSlice \"a\" \"b\" \"c\") }}",
    "{{ (.CommonLabels.Remove (stringSlice \"job\" \"zone\")).SortedPairs.Names | join \",\" }}",
    "{{ range .Alerts.Firing }}{{ .Annotations.summary }}{{ end }}",
    "{{ if gt (len .Alerts.Firing) 0 }}firing{{ end }}{{ if eq .Status \"resolved\" }}resolved{{ end }}",
    "{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" .Receiver }}",
    "{{ .GroupLabels }} {{ .CommonLabels }}",
    "{{ range $i, $a := .Alerts }}{{ if $i }}, {{ end }}{{ $a.Labels.zone }}{{ end }}",
    "{{ .CommonLabels.job | printf \"%q %5s|\" \"a\" }}{{ \"a b\" | urlquery }}{{ \"<a>\" | safeHtml }}",
    "{{- /* nothing */ -}} {{ $x := .Status }}{{ $x }} {{ .CommonLabels.alertname | html }}",
];

fn notification() -> Notification {
    let alert = |zone: &str, fires| {
        let labels = [("alertname", "Full"), ("job", "a&b"), ("zone", zone)];
        let alert = Alert {
            labels: labels.into_iter().collect(),
            annotations: [("summary".to_owned(), "the disk is full".to_owned())].into(),
            starts_at: "2023-01-02T03:04:05Z".parse().unwrap(),
            ends_at: "2023-01-02T04:04:05Z".parse().unwrap(),
            timeout: false,
            updated_at: Timestamp::UNIX_EPOCH,
            generator_url: format!("http://p/{zone}"),
        };
        (alert, fires)
    };
    let group_labels: Labels = [("alertname", "Full")].into_iter().collect();
    Notification {
        key: NotificationKey { group: "{}:{}".into(), receiver: "team".into(), integration: "console/0".into() },
        cause: Cause::First,
        group_labels,
        alerts: vec![alert("a", true), alert("b", false), alert("c", true)],
        at: Timestamp::UNIX_EPOCH,
        give_up_at: Timestamp::UNIX_EPOCH,
        firing: BTreeSet::default(),
        resolved: BTreeSet::default(),
    }
}

#[test]
fn texts_are_filled_in_as_by_amtool() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::new(&notification(), "http://am", usize::MAX);
    let path = folder.path().join("data.json");
    fs::write(&path, serde_json::to_string(&data).unwrap()).unwrap();
    let empty = folder.path().join("empty.tmpl");
    fs::write(&empty, "").unwrap();
    for text in TEXTS {
        let config = format!(
            "route: {{ receiver: team }}\nreceivers: [{{ name: team, console_configs: [{{ text: {} }}] }}]\n",
            serde_json::to_string(text).unwrap()
        );
        let config = prograde_notify::parse("alertmanager.yml", &config).unwrap();
        let messages = Messages::new(&config, "alertmanager.yml", folder.path()).unwrap();
        let ours = messages.fill("team", "console/0", "text", &data.value()).unwrap();
        let Some(output) = amtool(&[
            "template",
            "render",
            &format!("--template.glob={}", empty.display()),
            &format!("--template.text={text}"),
            &format!("--template.data={}", path.display()),
        ]) else {
            return;
        };
        let theirs = printed(&output);
        assert_eq!(ours, theirs.strip_suffix('\n').unwrap_or(&theirs), "{text}");
    }
}

#[test]
fn the_texts_that_are_there_by_themselves_can_be_filled_in() {
    let config = "
global: { slack_api_url: 'http://x' }
route: { receiver: team }
receivers:
  - name: team
    slack_configs: [{}]
    pagerduty_configs: [{ routing_key: x }]
    matrix_configs: [{ homeserver_url: 'http://x', room_id: '!x', access_token: y, html: '{{ template \"email.default.html\" . }}' }]
    ntfy_configs: [{ topic: x }]
    console_configs: [{}]
";
    let config = prograde_notify::parse("alertmanager.yml", config).unwrap();
    let messages = Messages::new(&config, "alertmanager.yml", std::path::Path::new(".")).unwrap();
    let data = Data::new(&notification(), "http://am", usize::MAX).value();
    let fill = |way: &str, field: &str| messages.fill("team", way, field, &data).unwrap();
    assert_eq!(fill("console/0", "text"), "2 firing: Full (a&b)");
    assert_eq!(fill("slack/0", "title"), "2 firing: Full (a&b)");
    assert_eq!(fill("slack/0", "color"), "danger");
    assert_eq!(fill("pagerduty/0", "details.num_firing"), "2");
    insta::assert_snapshot!("pager", fill("pagerduty/0", "details.firing"));
    insta::assert_snapshot!("matrix", fill("matrix/0", "text"));
    insta::assert_snapshot!("html", messages.fill_html("team", "matrix/0", "html", &data).unwrap());
}

#[test]
fn templates_that_are_wrong_are_told_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tmpl"), "{{ define \"x\" }}{{ .A }}{{ end }}\n{{ nope }}\n").unwrap();
    fs::write(folder.path().join("b.tmpl"), "{{ define \"own\" }}own{{ end }}").unwrap();
    let read = |templates: &str, text: &str| {
        let config = format!(
            "templates: ['{templates}']\nroute: {{ receiver: team }}\nreceivers: [{{ name: team, console_configs: [{{ text: '{text}' }}] }}]\n"
        );
        let config = prograde_notify::parse("alertmanager.yml", &config).unwrap();
        Messages::new(&config, "alertmanager.yml", folder.path())
    };
    let found = read("*.tmpl", "{{ .Status").unwrap_err().to_string();
    assert!(found.contains("a.tmpl:2:") && found.contains("`text` of console/0 of receiver `team`"), "{found}");
    let good = read("b.*", "{{ template \"own\" . }}").unwrap();
    assert_eq!(good.fill("team", "console/0", "text", &Data::new(&notification(), "", 9).value()).unwrap(), "own");
    assert!(read("missing.tmpl", "x").is_err());
    assert!(read("none*.tmpl", "x").is_ok());
    assert!(read("*/x.tmpl", "x").is_err());
}

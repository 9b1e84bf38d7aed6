//! Templates of alerts, asked of promtool: what each annotation becomes.

use std::fmt::Write as _;
use std::fs;

use prograde_observe::evaluate::Options;
use prograde_observe::rules::template::{Context, External, filled};
use prograde_observe::{Labels, Memory, Sample};

use super::rules::promtool;

/// Those that can be filled in.
const TEMPLATES: &[&str] = &[
    "plain",
    "{{ $labels.job }} {{ $labels.instance }} {{ $labels.gone }} {{ $value }} {{ .Value }} {{ .Labels.job }}",
    // promtool has no answer for `externalURL` and `pathPrefix`, which need the server itself.
    "{{ $externalLabels.region }} {{ $externalURL }} {{ .ExternalURL }} {{ .ExternalLabels }}",
    "{{ . }} {{ $labels }} {{ $externalLabels }}",
    "{{ range query `up` | sortByLabel `instance` }}{{ .Labels.instance }}={{ .Value }};{{ end }}",
    "{{ range query `up` | sortByLabel `zone` }}{{ label `zone` . }};{{ end }}",
    "{{ with query `up{instance=\"a.example:80\"}` }}{{ . | first | value | humanize }} {{ first . | label `job` }} {{ first . }}{{ end }}",
    "{{ query `sum(up)` | first | value }} {{ query `scalar(sum(up))` | first | value }} {{ query `gone` | len }}",
    "{{ query `label_replace(sum(up), \"__value__\", \"x\", \"\", \"\")` | first | strvalue }}|{{ query `sum(up)` | first | strvalue }}",
    "{{ if query `gone` }}a{{ else }}b{{ end }}",
    "{{ humanize 0.0 }} {{ humanize 1.0 }} {{ humanize 1234567.0 }} {{ humanize .12 }} {{ humanize 1e-9 }} {{ humanize -5000.0 }} {{ humanize 1e30 }} {{ humanize 1e-30 }}",
    "{{ humanize 999.99999 }} {{ humanize 1000 }} {{ humanize `1500` }} {{ humanize `1e3` }} {{ humanize `NaN` }} {{ humanize `+Inf` }} {{ humanize `-inf` }}",
    "{{ humanize1024 0.0 }} {{ humanize1024 1.0 }} {{ humanize1024 1024 }} {{ humanize1024 1048576.0 }} {{ humanize1024 -123456789.0 }} {{ humanize1024 1e30 }} {{ humanize1024 `NaN` }} {{ humanize1024 0.5 }}",
    "{{ humanizeDuration 0 }} {{ humanizeDuration 1 }} {{ humanizeDuration 60 }} {{ humanizeDuration 3600 }} {{ humanizeDuration 86400 }} {{ humanizeDuration 93784.5 }} {{ humanizeDuration -93784 }}",
    "{{ humanizeDuration 0.1 }} {{ humanizeDuration .0001 }} {{ humanizeDuration 59.123456 }} {{ humanizeDuration -0.5 }} {{ humanizeDuration `12345` }} {{ humanizeDuration `NaN` }} {{ humanizeDuration 1e-30 }}",
    "{{ humanizePercentage 0.1234567 }} {{ humanizePercentage 1 }} {{ humanizePercentage `0.5` }} {{ humanizePercentage -2.5 }}",
    "{{ humanizeTimestamp 1435065584.128 }} {{ humanizeTimestamp 0 }} {{ humanizeTimestamp `1` }} {{ humanizeTimestamp -1.5 }} {{ humanizeTimestamp `NaN` }} {{ humanizeTimestamp 1e9 }}",
    "{{ toTime 1435065584.128 }} {{ (toTime `1.5`).Format `2006-01-02 15:04:05.000` }} {{ (toTime 86400).Weekday }} {{ (1e9 | toTime).Year }} {{ (toTime 5).Unix }}",
    "{{ title `aa bb CC d-e f_g h.i é ß` }} {{ toUpper `aB é ß` }} {{ toLower `Ab É` }}",
    "{{ match `a+` `baac` }} {{ match `^a+$` `baac` }} {{ match `(?i)B` `abc` }} {{ match `` `x` }} {{ match `.` `\n` }}",
    "{{ reReplaceAll `(a)(b)` `x$2$1` `abab` }} {{ reReplaceAll `:\\d+` `` `host:80` }} {{ reReplaceAll `a` `$$` `aa` }} {{ reReplaceAll `(?P<n>b)` `[${n}]` `abc` }} {{ reReplaceAll `x*` `-` `abc` }} {{ reReplaceAll `(a)` `$1x` `a` }}",
    "{{ stripPort `host:80` }} {{ stripPort `host` }} {{ stripPort `[::1]:80` }} {{ stripPort `::1` }} {{ stripPort `a:b:c` }} {{ stripPort `[::1]` }} {{ stripPort `:80` }} {{ stripPort `host:` }} {{ stripPort `[a:1` }} {{ stripPort `` }} {{ stripPort `a]:1` }}",
    "{{ stripDomain `host.example.com:80` }} {{ stripDomain `host.example.com` }} {{ stripDomain `10.0.0.1:80` }} {{ stripDomain `10.0.0.1` }} {{ stripDomain `[::1]:80` }} {{ stripDomain `::1` }} {{ stripDomain `host` }} {{ stripDomain `` }} {{ stripDomain `.a` }} {{ stripDomain `a.b:` }}",
    "{{ graphLink `up{a=\"b c\"}` }} {{ tableLink `sum(up) > 1` }}",
    "{{ parseDuration `1h30m` }} {{ parseDuration `0` }} {{ parseDuration `5ms` }} {{ parseDuration `1d` | printf `%.0f` }}",
    "{{ safeHtml `<b>&` }} {{ html `<b>&` }} {{ safeHtml `<b>` | len }}",
    "{{ (args 1 `a`).arg1 }} {{ args 1 `a` }} {{ range $k, $v := args `x` `y` }}{{ $k }}{{ $v }}{{ end }} {{ (args).arg0 }}",
    "{{ $value | printf `%.3f` }} {{ printf `%s is %v` $labels.job $value }} {{ $x := 5 }}{{ $x }}",
    "{{ define `a` }}[{{ . }}]{{ end }}{{ template `a` $value }}",
    "{{ if gt $value 1.0 }}more{{ else }}less{{ end }} {{ if eq $labels.job `api` }}api{{ end }}",
    "{{- $labels.job -}} ",
];

/// Those that fail when they are carried out.
const FAILING: &[&str] = &[
    "{{ first (query `gone`) }}",
    "{{ query `sum(` }}",
    "{{ query `up[5m]` }}",
    "{{ query `\"text\"` }}",
    "{{ .Gone }}",
    "{{ $labels.job.more }}",
    "{{ humanize `x` }}",
    "{{ humanize true }}",
    "{{ humanize }}",
    "{{ humanizeTimestamp 1e30 }}",
    "{{ toTime `NaN` }}",
    "{{ humanizePercentage `1e999` }}",
    "{{ parseDuration `5` }}",
    "{{ parseDuration `1.5m` }}",
    "{{ match `(` `a` }}",
    "{{ reReplaceAll `(` `a` `b` }}",
    "{{ title 5 }}",
    "{{ label `a` 5 }}",
    "{{ value $value }}",
    "{{ sortByLabel `a` 5 }}",
    "{{ query 5 }}",
    "{{ pathPrefix 1 }}",
    "{{ define `a` }}{{ end }}{{ template `b` }}",
];

/// Files for promtool with an annotation for each template; and what each becomes here.
fn files(templates: &[&str]) -> (String, String, Vec<String>) {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let mut rules =
        "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up{zone=\"b\"} < 2\n    annotations:\n".to_owned();
    let mut test = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n".to_owned();
    test.push_str(
        "  external_labels: {region: eu}\n  external_url: 'https://prom.example/base?q=1'\n  input_series:\n",
    );
    let mut memory = Memory::default();
    let series = [("a.example:80", "a", 3.0), ("b.example:80", "b", 1.5), ("c.example:80", "", 0.0)];
    for (instance, zone, value) in series {
        let pairs = [("__name__", "up"), ("job", "api"), ("instance", instance), ("zone", zone)];
        let labels: Labels = pairs.into_iter().collect();
        writeln!(test, "  - {{ series: '{labels}', values: '{value}x5' }}").unwrap();
        memory.push(&labels, Sample { timestamp: 60_000, value });
    }
    test.push_str("  alert_rule_test:\n  - eval_time: 1m\n    alertname: Down\n    exp_alerts:\n");
    test.push_str("    - exp_labels: { job: api, instance: 'b.example:80', zone: b }\n      exp_annotations:\n");
    let pairs = [("__name__", "up"), ("job", "api"), ("instance", "b.example:80"), ("zone", "b")];
    let labels: Labels = pairs.into_iter().collect();
    let external =
        External { labels: [("region", "eu")].into_iter().collect(), url: "https://prom.example/base?q=1".to_owned() };
    let context = Context { store: &memory, at_ms: 60_000, options: &Options::default(), external: &external };
    let mut ours = Vec::new();
    for (index, template) in templates.iter().enumerate() {
        let becomes = filled("Down", template, &labels, 1.5, &context);
        writeln!(rules, "      t{index}: {}", quoted(template)).unwrap();
        writeln!(test, "        t{index}: {}", quoted(&becomes)).unwrap();
        ours.push(becomes);
    }
    (rules, test, ours)
}

fn asked(rules: &str, test: &str) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    fs::write(folder.path().join("test.yml"), test).unwrap();
    promtool(folder.path(), &["test", "rules", "test.yml"])
}

#[test]
fn promtool_fills_in_templates_alike() {
    let (rules, test, ours) = files(TEMPLATES);
    let failed: Vec<&String> = ours.iter().filter(|text| text.starts_with("<error")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let Some((passed, said)) = asked(&rules, &test) else { return };
    assert!(passed, "{said}");
    // That it would have said so.
    assert!(!asked(&rules, &test.replacen("plain", "otherwise", 1)).unwrap().0);
}

#[test]
fn templates_fail_where_promtools_do() {
    let (rules, test, ours) = files(FAILING);
    for (template, text) in FAILING.iter().zip(&ours) {
        assert!(text.starts_with("<error expanding template: "), "{template}: {text}");
    }
    let Some((_, said)) = asked(&rules, &test) else { return };
    let got = said.split("got:").nth(1).unwrap();
    for (index, template) in FAILING.iter().enumerate() {
        assert!(got.contains(&format!("t{index}=\"<error expanding template: ")), "{template}:\n{got}");
    }
}

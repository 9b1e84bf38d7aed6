//! What templates are filled in with; `tests/observe` asks Prometheus the same.

use super::{Context, External, check, expand, filled};
use crate::evaluate::Options;
use crate::labels::Labels;
use crate::sample::Sample;
use crate::store::Memory;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn with_context<T>(then: impl FnOnce(&Context<'_>) -> T) -> T {
    let mut memory = Memory::default();
    for (job, value) in [("b", 2.0), ("a", 1.0)] {
        memory.push(&labels(&[("__name__", "up"), ("job", job)]), Sample { timestamp: 60_000, value });
    }
    let external = External { labels: labels(&[("region", "eu")]), url: "https://prom.example/base".to_owned() };
    then(&Context { store: &memory, at_ms: 90_000, options: &Options::default(), external: &external })
}

fn fill(template: &str) -> String {
    let series = labels(&[("__name__", "up"), ("job", "pad"), ("instance", "pad.example:80")]);
    with_context(|context| filled("Down", template, &series, 0.25, context))
}

#[test]
fn templates_see_the_series_and_the_surroundings() {
    assert_eq!(fill("{{ $labels.job }} is at {{ $value }} {{ $labels.gone }}"), "pad is at 0.25 ");
    assert_eq!(fill("{{ .Labels.job }} {{ .Value }} {{ .ExternalURL }}"), "pad 0.25 https://prom.example/base");
    assert_eq!(
        fill("{{ $externalLabels.region }} {{ $externalURL }} {{ pathPrefix }}"),
        "eu https://prom.example/base /base"
    );
    assert_eq!(fill("{{ $labels.instance | stripPort }} {{ $value | humanizePercentage }}"), "pad.example 25%");
}

#[test]
fn templates_ask_queries() {
    assert_eq!(fill(r#"{{ range query "up" }}{{ .Labels.job }}={{ .Value }} {{ end }}"#), "a=1 b=2 ");
    assert_eq!(fill(r#"{{ query "sum(up)" | first | value }}"#), "3");
    assert_eq!(fill(r#"{{ query "scalar(up{job='b'})" | first | value }}"#), "2");
    assert_eq!(fill(r#"{{ with query "gone" }}x{{ else }}none{{ end }}"#), "none");
}

#[test]
fn a_template_that_fails_says_so() {
    let failing = [
        "{{ gone }}",
        r#"{{ query "sum(" }}"#,
        r#"{{ query "up[5m]" }}"#,
        r#"{{ query "gone" | first }}"#,
        "{{ .Gone }}",
    ];
    let told: Vec<String> = failing.iter().map(|template| fill(template)).collect();
    insta::assert_snapshot!(told.join("\n"));
    assert!(check("Down", "{{ gone }}").is_err());
    check("Down", r#"{{ query "up" | first | value | humanize }} {{ $labels.job }}"#).unwrap();
}

#[test]
fn a_template_asks_so_many_queries_and_no_more() {
    with_context(|context| {
        let ask = |count: usize| {
            let template = format!("{{{{ range {count} }}}}{{{{ $x := query \"1\" }}}}{{{{ end }}}}");
            expand("Down", &template, &Labels::default(), 0.0, context)
        };
        ask(1000).unwrap();
        assert!(ask(1001).unwrap_err().message.contains("1000 queries"));
    });
}

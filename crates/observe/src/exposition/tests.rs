use proptest::prelude::*;

use super::*;

/// Everything that a body says, a line each.
fn told(format: Format, body: &[u8]) -> String {
    let lines = Parser::new(format, body).map(|entry| match entry {
        Ok(Entry::Sample(line)) => {
            let labels: Vec<String> = line.labels().iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            let at = line.timestamp.map_or(String::new(), |at| format!(" at {at}"));
            format!("{} = {}{at}", labels.join(" "), line.value)
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_text_format_is_read() {
    let body =
        b"# HELP a Says \\\\ and \\n and \\q.\n# TYPE a counter\n#any comment\n\n  a{b=\"x\\\"\\n\\\\\\q\",} 1 1700\n\
        a 2\n a { b = \"1\" c=\"\" } +Inf\n:b:c{} nan -\n";
    insta::assert_snapshot!(told(Format::Text, body), @r#"
    Help { metric: "a", help: "Says \\ and \n and \\q." }
    Type { metric: "a", kind: Counter }
    __name__="a" b="x\"\n\\\\q" = 1 at 1700
    __name__="a" = 2
    __name__="a" b="1" c="" = inf
    line 8, column 12: expected the end of the line, or milliseconds since 1970
    "#);
}

#[test]
fn openmetrics_is_read() {
    let body = b"# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds A \\\"word\\\".\n\
        a_seconds_total{b=\"1\",c=\"\xc3\xa9\"} 1.5 1700.5 # {trace=\"x\"} 0.5 1700\na_seconds_total 2 # {} 1\n# EOF\n";
    insta::assert_snapshot!(told(Format::OpenMetrics, body), @r#"
    Type { metric: "a_seconds", kind: Counter }
    Unit { metric: "a_seconds", unit: "seconds" }
    Help { metric: "a_seconds", help: "A \"word\"." }
    __name__="a_seconds_total" b="1" c="é" = 1.5 at 1700500
    __name__="a_seconds_total" = 2
    "#);
}

#[test]
fn errors_name_the_place() {
    let text: [&[u8]; 12] = [
        b"a 1\nb{c=\"d} 1\n",
        b"a{b=\"\xff\"} 1",
        b"a{=\"b\"} 1",
        b"a{b} 1",
        b"a{b=c} 1",
        b"a",
        b"a 1_000",
        b"a 1e999",
        b"a 1 2 3",
        b"a 1 99999999999999999999",
        b"# TYPE a meter",
        b"1a 1",
    ];
    let open: [&[u8]; 8] = [
        b"a 1\n",
        b"a 1\n\n# EOF",
        b"a  1\n# EOF",
        b"a{b=\"1\",} 1\n# EOF",
        b"a 1 NaN\n# EOF",
        b"# UNIT a b\n# EOF",
        b"# comment\n# EOF",
        b"# EOF\na 1",
    ];
    let text = text.into_iter().map(|body| told(Format::Text, body));
    let open = open.into_iter().map(|body| told(Format::OpenMetrics, body));
    insta::assert_snapshot!(text.chain(open).collect::<Vec<_>>().join("\n---\n"));
}

#[test]
fn the_format_follows_the_content_type() {
    assert_eq!(Format::of("application/openmetrics-text; version=1.0.0; charset=utf-8"), Some(Format::OpenMetrics));
    assert_eq!(Format::of("text/plain; version=0.0.4"), Some(Format::Text));
    assert_eq!(Format::of(""), Some(Format::Text));
    assert_eq!(Format::of("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"), None);
}

/// Fragments out of which both formats are made, and some that are wrong.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"a"[..],
        b"{",
        b"}",
        b"b",
        b"=",
        b"\"",
        b"\\",
        b"\n",
        b" ",
        b"1",
        b"#",
        b" # {",
        b"# EOF",
        b"# TYPE ",
        b",",
        b"\xff",
        b"\0",
        b"NaN",
        b"1.5e3",
    ]);
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_body_is_too_much(body in soup()) {
        for format in [Format::Text, Format::OpenMetrics] {
            for entry in Parser::new(format, &body).flatten() {
                if let Entry::Sample(line) = entry {
                    prop_assert!(line.labels().iter().all(|(name, _)| !name.is_empty()));
                }
            }
        }
    }
}

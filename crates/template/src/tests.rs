//! What is told of templates that can't be read or carried out.

use super::{Call, CallError, Error, Escape, Functions, Limits, Templates, Value};

fn call<'a>(data: Value, variables: &'a [(&'a str, Value)], functions: &'a Functions<'a>) -> Call<'a> {
    Call { data, variables, functions, limits: Limits::default(), escape: Escape::Nothing }
}

fn fill(text: &str) -> Result<String, Error> {
    let functions = Functions::new().with("fail", |_| Err(CallError::new("no answer")));
    let mut templates = Templates::new();
    templates.add("page", text, &functions, &["$value"])?;
    let data = Value::texts([("job", "pad")]);
    let variables = [("$value", Value::Float(2.5))];
    templates.execute("page", &call(data, &variables, &functions))
}

#[test]
fn variables_and_data_come_from_the_caller() {
    assert_eq!(fill("{{ .job }} {{ $value }}{{ .gone }}").unwrap(), "pad 2.5");
    assert!(fill("{{ define \"a\" }}{{ $value }}{{ end }}").is_err());
}

#[test]
fn errors_say_where_and_what() {
    let texts = [
        "first\n  {{ .job | upper }}",
        "{{ if .job }}\n",
        "{{ end }}",
        "{{ $gone }}",
        "{{ \"open }}",
        "{{ (1 }}",
        "{{ 1 | 2 }}",
        "{{ 99999999999999999999 }}",
        "{{ range .job }}{{ end }}",
        "{{ .job.name }}",
        "{{ .job 1 }}",
        "{{ printf \"%d\" 1 | fail }}",
        "{{ eq 1 \"a\" }}",
        "{{ index .job 9 }}",
        "é {{ template \"gone\" }}",
        "{{ printf \"%[1]d\" 1 }}",
        "{{ define \"a\" }}x{{ end }}{{ define \"a\" }}y{{ end }}",
        "{{ block \"a\" . }}",
        "{{ break }}",
        "{{ if 1 }}{{ else }}{{ else }}{{ end }}",
        "{{ slice \"é\" 1 }}",
    ];
    let told: Vec<String> = texts.iter().map(|text| fill(text).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn later_texts_replace_earlier_ones_unless_they_are_empty() {
    let functions = Functions::new();
    let mut templates = Templates::new();
    for text in ["{{ define \"a\" }}1{{ end }}", "{{ define \"a\" }}2{{ end }}", "{{ define \"a\" }} {{ end }}"] {
        templates.add("file", text, &functions, &[]).unwrap();
    }
    let call = call(Value::Nil, &[], &functions);
    assert_eq!(templates.execute("a", &call).unwrap(), "2");
    assert!(templates.contains("a") && !templates.contains("b"));
    assert!(templates.execute("b", &call).is_err());
}

#[test]
fn what_is_printed_into_html_is_escaped_once() {
    let functions = Functions::new().with("safeHtml", |arguments| {
        let text = arguments.first().and_then(Value::as_text);
        text.map(Value::markup).ok_or_else(|| CallError::new("expected a string"))
    });
    let mut templates = Templates::new();
    let text = "<b title='{{ . }}'>{{ . }}</b>{{ safeHtml . }}{{ len (safeHtml .) }}{{ safeHtml . | printf \"%s\" }}";
    templates.add("mail", text, &functions, &[]).unwrap();
    let call = Call { escape: Escape::Html, ..call(Value::from("<i>"), &[], &functions) };
    assert_eq!(templates.execute("mail", &call).unwrap(), "<b title='&lt;i&gt;'>&lt;i&gt;</b><i>3&lt;i&gt;");
}

//! Templates in rules: labels and annotations of alerts are filled in from the series that an alert is about, and from
//! queries.
//!
//! Source: Prometheus documentation, "Template reference" and "Alerting rules"; Prometheus 2.42, `template/template.go`.

mod functions;
mod host;
mod humanize;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use prograde_template::{Call, Error, Escape, Limits, Templates, Value};

use crate::evaluate::Options;
use crate::labels::Labels;
use crate::store::Store;

/// How many queries one template may ask.
const QUERIES_MAX: usize = 1000;

/// The longest text that one template may give, in bytes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// What is set before a template is carried out.
const VARIABLES: [&str; 4] = ["$labels", "$externalLabels", "$externalURL", "$value"];

/// What Prometheus is configured to call itself towards others.
#[derive(Debug, Clone, Default)]
pub struct External {
    /// Labels that are set on all that leaves it.
    pub labels: Labels,
    /// Where it can be reached; empty if nowhere.
    pub url: String,
}

/// What templates may ask.
pub struct Context<'a> {
    /// What queries are answered from.
    pub store: &'a dyn Store,
    /// When.
    pub at_ms: i64,
    /// What each query may take.
    pub options: &'a Options<'a>,
    /// What `$externalLabels` and `$externalURL` are.
    pub external: &'a External,
}

/// Fills in a template of the alert `alert`, given the labels and the value of the series.
pub fn expand(
    alert: &str,
    template: &str,
    series: &Labels,
    value: f64,
    context: &Context<'_>,
) -> Result<String, Error> {
    let asked = Cell::new(0);
    let functions = functions::table(Some((context, &asked)));
    let name = name(alert);
    let mut templates = Templates::new();
    templates.add(&name, template, &functions, &VARIABLES)?;
    let labels = functions::texts(series);
    let external_labels = functions::texts(&context.external.labels);
    let url = Value::from(context.external.url.as_str());
    let data = Value::record(
        "template.AlertTemplateData",
        vec![
            ("Labels", labels.clone()),
            ("ExternalLabels", external_labels.clone()),
            ("ExternalURL", url.clone()),
            ("Value", Value::Float(value)),
        ],
    );
    let [label_name, external_name, url_name, value_name] = VARIABLES;
    let variables =
        [(label_name, labels), (external_name, external_labels), (url_name, url), (value_name, Value::Float(value))];
    let limits = Limits { output_bytes_max: TEXT_BYTES_MAX, ..Limits::default() };
    let call = Call { data, variables: &variables, functions: &functions, limits, escape: Escape::Nothing };
    templates.execute(&name, &call)
}

/// As [`expand`]; a template that fails becomes a text that says so, as in Prometheus: an alert with a poor text is better
/// than none. It is what [`alert::next`](super::alert::next) is given.
pub fn filled(alert: &str, template: &str, series: &Labels, value: f64, context: &Context<'_>) -> String {
    expand(alert, template, series, value, context)
        .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
}

/// Whether a template can be read. What it asks is not known before it is carried out.
pub fn check(alert: &str, template: &str) -> Result<(), Error> {
    Templates::new().add(&name(alert), template, &functions::table(None), &VARIABLES)
}

/// What Prometheus calls an alert's templates in errors.
fn name(alert: &str) -> String {
    format!("__alert_{alert}")
}

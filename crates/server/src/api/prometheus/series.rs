//! Which series there are, and which labels they have.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use prograde_observe::Labels;
use prograde_observe::labels::is_label_name;
use prograde_observe::matcher::Matcher;
use prograde_observe::store::{Store, StoreError};
use serde_json::Value;

use super::answer::{Data, Refused};
use super::encode;
use super::parameters::Parameters;
use crate::api::Context;
use crate::metrics::QUERY_TIMEOUT;

/// `series`: the labels of all series that one of `match[]` describes.
pub(super) async fn series(State(context): State<Context>, parameters: Parameters) -> Result<Data, Refused> {
    let (from, to) = parameters.between_ms()?;
    let all = parameters.matchers()?;
    if all.is_empty() {
        return Err(Refused::bad_data("no match[] parameter provided".into()));
    }
    let json = context.metrics.ask(QUERY_TIMEOUT, move |store, _| {
        let mut found = BTreeSet::new();
        for matchers in &all {
            found.extend(store.series(matchers, from, to)?);
        }
        Ok::<_, StoreError>(listed(&found))
    });
    Ok(Data::written(json.await??))
}

fn listed(series: &BTreeSet<Labels>) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, labels) in series.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        encode::labels(&mut out, labels);
    }
    out.push(b']');
    out
}

/// `labels`: the names of labels.
pub(super) async fn labels(State(context): State<Context>, parameters: Parameters) -> Result<Data, Refused> {
    texts(&context, parameters, |store, matchers, from, to| store.label_names(matchers, from, to)).await
}

/// `label/<name>/values`: the values of one label.
pub(super) async fn values(
    State(context): State<Context>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Data, Refused> {
    if !is_label_name(&name) {
        return Err(Refused::bad_data(format!("invalid label name: {:?}", name.chars().take(100).collect::<String>())));
    }
    texts(&context, parameters, move |store, matchers, from, to| store.label_values(&name, matchers, from, to)).await
}

/// What a question gives for each of `match[]`, together; for all series if there is none.
async fn texts(
    context: &Context,
    parameters: Parameters,
    question: impl Fn(&dyn Store, &[Matcher], i64, i64) -> Result<Vec<String>, StoreError> + Send + 'static,
) -> Result<Data, Refused> {
    let (from, to) = parameters.between_ms()?;
    let mut all = parameters.matchers()?;
    if all.is_empty() {
        all.push(Vec::new());
    }
    let found = context.metrics.ask(QUERY_TIMEOUT, move |store, _| {
        let mut found = BTreeSet::new();
        for matchers in &all {
            found.extend(question(store, matchers, from, to)?);
        }
        Ok::<_, StoreError>(found)
    });
    let found = found.await??;
    Ok(Data::of(&found.into_iter().collect::<Value>()))
}

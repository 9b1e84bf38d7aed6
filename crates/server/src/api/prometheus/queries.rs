//! Queries at one time and over a range of time.

use axum::extract::State;
use prograde_observe::evaluate;
use prograde_observe::promql;

use super::answer::{Data, Refused};
use super::encode;
use super::parameters::Parameters;
use crate::api::Context;
use crate::metrics::QUERY_TIMEOUT;

/// `query`: at one time.
pub(super) async fn instant(State(context): State<Context>, parameters: Parameters) -> Result<Data, Refused> {
    let at_ms = parameters.time_ms("time")?.unwrap_or_else(|| context.control.now().as_millisecond());
    let expression = expression(&parameters)?;
    let timeout = parameters.timeout(QUERY_TIMEOUT)?;
    let json = context.metrics.ask(timeout, move |store, options| {
        Ok::<_, Refused>(encode::value(&evaluate::instant(&expression, store, at_ms, options)?))
    });
    Ok(Data::written(json.await??))
}

/// `query_range`: at each step from a first time to a last one.
pub(super) async fn range(State(context): State<Context>, parameters: Parameters) -> Result<Data, Refused> {
    let needed = |name| {
        parameters.needed(name)?;
        parameters.time_ms(name)
    };
    let (start, end) = (needed("start")?.unwrap_or(0), needed("end")?.unwrap_or(0));
    parameters.needed("step")?;
    let step = parameters.duration_ms("step")?.unwrap_or(0);
    if step <= 0 {
        return Err(Refused::parameter("step", "a step must be greater than 0"));
    }
    let expression = expression(&parameters)?;
    let timeout = parameters.timeout(QUERY_TIMEOUT)?;
    let json = context.metrics.ask(timeout, move |store, options| {
        Ok::<_, Refused>(encode::matrix(&evaluate::range(&expression, store, start, end, step, options)?))
    });
    Ok(Data::written(json.await??))
}

/// `query_exemplars`: none are kept. The query must be one all the same.
pub(super) async fn exemplars(parameters: Parameters) -> Result<Data, Refused> {
    expression(&parameters)?;
    Ok(Data::written(b"[]".to_vec()))
}

fn expression(parameters: &Parameters) -> Result<promql::Expression, Refused> {
    let text = parameters.needed("query")?;
    promql::parse(text).map_err(|error| Refused::parameter("query", error.to_string()))
}

//! What people order.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use prograde_model::event::Event;
use prograde_model::ids::{FlightId, ServiceName, Target};

use super::types::{
    AbortRequest, ApproveRequest, LiftRequest, Ordered, OverrideRequest, RollbackRequest, ScaleRequest,
};
use super::views::find_flight;
use super::{Context, Failure};

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

pub(super) fn body<T>(body: Body<T>) -> Result<T, Failure> {
    body.map(|Json(value)| value).map_err(|rejection| Failure::bad_request(rejection.body_text()))
}

pub(super) fn ordered(flight: FlightId, events: &[Event]) -> Json<Ordered> {
    Json(Ordered { flight, events: events.iter().map(|event| event.encode().0).collect() })
}

pub(super) async fn approve(
    State(context): State<Context>,
    Path(id): Path<String>,
    order: Body<ApproveRequest>,
) -> Result<Json<Ordered>, Failure> {
    let order = body(order)?;
    let flight = find_flight(&context, &id)?;
    let (environment, by) = (order.environment.as_ref(), named(&order.by)?);
    let events = if order.merge {
        context.by_hand.merge(&flight, environment, by).await?
    } else {
        context.control.approve(&flight, environment, by).await?
    };
    Ok(ordered(flight, &events))
}

pub(super) async fn override_hold(
    State(context): State<Context>,
    Path(id): Path<String>,
    order: Body<OverrideRequest>,
) -> Result<Json<Ordered>, Failure> {
    let order = body(order)?;
    let flight = find_flight(&context, &id)?;
    let (by, reason) = (named(&order.by)?, reason(&order.reason)?);
    let what = (order.environment.as_ref(), plain(&order.hold, "`hold`", 200)?);
    let events = context.control.override_hold(&flight, what, by, reason).await?;
    Ok(ordered(flight, &events))
}

pub(super) async fn abort(
    State(context): State<Context>,
    Path(id): Path<String>,
    order: Body<AbortRequest>,
) -> Result<Json<Ordered>, Failure> {
    let order = body(order)?;
    let flight = find_flight(&context, &id)?;
    let events = context.control.abort(&flight, named(&order.by)?, reason(&order.reason)?).await?;
    Ok(ordered(flight, &events))
}

pub(super) async fn roll_back(
    State(context): State<Context>,
    Path(service): Path<ServiceName>,
    order: Body<RollbackRequest>,
) -> Result<Json<Ordered>, Failure> {
    let order = body(order)?;
    let (by, reason) = (named(&order.by)?, reason(&order.reason)?);
    let to = (order.to.clone(), order.past_point_of_no_return);
    let (flight, events) = context.control.roll_back(&service, &order.environment, to, by, reason).await?;
    Ok(ordered(flight, &events))
}

pub(super) async fn scale(
    State(context): State<Context>,
    Path(service): Path<ServiceName>,
    order: Body<ScaleRequest>,
) -> Result<Json<Ordered>, Failure> {
    let order = body(order)?;
    let (by, reason) = (named(&order.by)?, reason(&order.reason)?);
    let target = Target { environment: order.environment.clone(), service };
    let (flight, events) = context.control.order_scale(&target, order.replicas, by, reason).await?;
    Ok(ordered(flight, &events))
}

pub(super) async fn lift(State(context): State<Context>, order: Body<LiftRequest>) -> Result<Json<Ordered>, Failure> {
    let order = body(order)?;
    let target = Target { environment: order.environment.clone(), service: order.service.clone() };
    let held = context.control.with_fleet(|fleet| fleet.quarantine(&target, &order.digest).map(|q| q.flight.clone()));
    let events =
        context.control.lift_quarantine(&target, &order.digest, named(&order.by)?, reason(&order.reason)?).await?;
    let flight = held.ok_or_else(|| Failure::not_found("the digest is not in quarantine"))?;
    Ok(ordered(flight, &events))
}

/// A person's name: something, and not a page of it.
pub(super) fn named(by: &str) -> Result<&str, Failure> {
    plain(by, "`by`", 200)
}

pub(super) fn reason(text: &str) -> Result<&str, Failure> {
    plain(text, "`reason`", 2_000)
}

pub(super) fn plain<'a>(text: &'a str, what: &str, longest: usize) -> Result<&'a str, Failure> {
    let text = text.trim();
    if text.is_empty() || text.len() > longest || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Failure::bad_request(format!(
            "{what} must be a text of 1 to {longest} bytes without control characters"
        )));
    }
    Ok(text)
}

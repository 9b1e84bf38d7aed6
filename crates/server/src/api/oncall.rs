//! Who is on call, and changes of it.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use prograde_control::duty::{Duty, DutyError};
use prograde_control::rota::zone;
use prograde_model::dora::Span;
use prograde_model::oncall::{self, Change, ChangeId, Made, RosterRefusal, Rota};
use serde::Deserialize;

use super::orders::{Body, body, named, plain};
use super::types::AnswerRequest;
use super::{Context, Failure, pages};

/// How far calendars look ahead and back.
const CALENDAR_DAYS: i64 = 90;
const CALENDAR_PAST_DAYS: i64 = 7;

fn duty(context: &Context) -> Result<&Duty, Failure> {
    pages::paging(context).map(prograde_control::paging::Paging::duty)
}

fn refused(error: &DutyError) -> Failure {
    match error {
        DutyError::Refused(RosterRefusal::Unknown(_)) => Failure::not_found(error.to_string()),
        DutyError::Refused(RosterRefusal::Schedule { .. } | RosterRefusal::Person { .. }) => {
            Failure::bad_request(error.to_string())
        }
        DutyError::Refused(_) => {
            Failure::refused(error.to_string(), "`prograde oncall show` tells who is on call when")
        }
        DutyError::Record(_) => Failure::internal(error),
    }
}

pub(super) async fn rota(State(context): State<Context>) -> Result<Json<Rota>, Failure> {
    Ok(Json(duty(&context)?.rota().as_ref().clone()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangesQuery {
    /// Those that are over or withdrawn as well.
    #[serde(default)]
    all: bool,
}

pub(super) async fn changes(
    State(context): State<Context>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<Vec<Made>>, Failure> {
    let now = context.control.now();
    let mut changes = duty(&context)?.changes().await;
    changes.retain(|made| query.all || (made.withdrawn_by.is_none() && made.change.until > now));
    Ok(Json(changes))
}

pub(super) async fn change(State(context): State<Context>, order: Body<Change>) -> Result<Json<Made>, Failure> {
    let (duty, order) = (duty(&context)?, body(order)?);
    let by = named(&order.by)?.to_owned();
    let reason = if order.reason.trim().is_empty() { "" } else { plain(&order.reason, "`reason`", 2_000)? }.to_owned();
    duty.change(Change { by, reason, ..order }).await.map(Json).map_err(|error| refused(&error))
}

pub(super) async fn withdraw(
    State(context): State<Context>,
    Path(id): Path<String>,
    order: Body<AnswerRequest>,
) -> Result<Json<Made>, Failure> {
    let (duty, order) = (duty(&context)?, body(order)?);
    let wrong = |error: prograde_model::InvalidName| Failure::bad_request(error.to_string());
    let id: ChangeId = id.parse().map_err(wrong)?;
    duty.withdraw(id, named(&order.by)?).await.map(Json).map_err(|error| refused(&error))
}

/// A calendar that is always the same address, for calendars that ask again: `/api/v1/oncall/primary.ics`.
pub(super) async fn calendar(State(context): State<Context>, Path(name): Path<String>) -> Result<Response, Failure> {
    let rota = duty(&context)?.rota();
    let wanted = name.strip_suffix(".ics").unwrap_or(&name);
    let schedule = rota.schedules.iter().find(|schedule| schedule.name == wanted);
    let schedule = schedule.ok_or_else(|| Failure::not_found("there is no schedule of that name"))?;
    let now = context.control.now();
    let days = |days: i64| SignedDuration::from_hours(days * 24);
    let span = Span {
        from: now.saturating_sub(days(CALENDAR_PAST_DAYS)).unwrap_or(now),
        until: now.saturating_add(days(CALENDAR_DAYS)).unwrap_or(now),
    };
    let shifts = schedule.shifts(span, &zone).map_err(|error| Failure::internal(&error))?;
    let text = oncall::calendar(&rota, schedule, &shifts, now);
    Ok(([(header::CONTENT_TYPE, "text/calendar; charset=utf-8")], text).into_response())
}

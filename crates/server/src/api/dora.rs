//! The DORA measures over HTTP, calculated from the journal at each request.

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use prograde_model::dora::{By, Question, Report, Span, Year, report};
use prograde_model::ids::{EnvironmentName, ServiceName};
use serde::Deserialize;

use super::{Context, Failure};
use crate::history;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DoraQuery {
    service: Option<ServiceName>,
    /// By default the last of each flight's.
    environment: Option<EnvironmentName>,
    /// RFC 3339.
    since: Timestamp,
    /// RFC 3339; now, by default.
    until: Option<Timestamp>,
    /// `service`, `day`, `week`, `month` or `quarter`.
    by: Option<String>,
    /// As IANA names it; UTC by default.
    time_zone: Option<String>,
    /// The year of the report whose levels are used.
    levels: Option<String>,
}

impl DoraQuery {
    fn question(self, now: Timestamp) -> Result<Question, Failure> {
        let by = match self.by.as_deref() {
            None | Some("service") => By::Service,
            Some(unit) => {
                let wrong = |error| Failure::bad_request(format!("by: {error}, or `service`"));
                By::Period(unit.parse().map_err(wrong)?)
            }
        };
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        let no_zone = |_| Failure::bad_request(format!("time_zone: there is no time zone {:?}", short(zone)));
        let no_year = |error| Failure::bad_request(format!("levels: {error}"));
        let span = Span { from: self.since, until: self.until.unwrap_or(now) };
        if span.from >= span.until {
            return Err(Failure::bad_request("since: it is not before until"));
        }
        Ok(Question {
            service: self.service,
            environment: self.environment,
            span,
            by,
            zone: TimeZone::get(zone).map_err(no_zone)?,
            levels: self.levels.map(|year| year.parse::<Year>().map_err(no_year)).transpose()?,
        })
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

pub(super) async fn measures(
    State(context): State<Context>,
    Query(query): Query<DoraQuery>,
) -> Result<Json<Report>, Failure> {
    let question = query.question(context.control.now())?;
    let history = history::deployments(&context.journal).await.map_err(|error| Failure::internal(&error))?;
    let answer = report(&history, &question).map_err(|error| Failure::bad_request(error.to_string()))?;
    Ok(Json(answer))
}

//! Error budgets.

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use prograde_model::duration;
use prograde_model::objective::{Budget, Burn, Spending};
use serde::Deserialize;

use super::Context;
use super::types::{BudgetView, BurnView};
use crate::metrics::objectives;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetsQuery {
    service: Option<String>,
}

pub(super) async fn list(State(context): State<Context>, Query(query): Query<BudgetsQuery>) -> Json<Vec<BudgetView>> {
    let now = context.control.now();
    let is_wanted = |state: &objectives::State| {
        let wanted = query.service.as_deref();
        let gate = state.objective.gate.as_ref().map(|(service, _)| service.as_str());
        wanted.is_none() || wanted == Some(state.objective.service.as_str()) || wanted == gate
    };
    Json(context.metrics.budgets().states().iter().filter(|state| is_wanted(state)).map(|s| view(s, now)).collect())
}

fn view(state: &objectives::State, now: Timestamp) -> BudgetView {
    let objective = &state.objective;
    let budget = state.budget.as_ref().map(|(budget, _)| budget);
    let gate = objective.gate.as_ref();
    let is_spent = budget.is_some_and(|budget| budget.spending() == Spending::All);
    let events = budget.and_then(|budget| budget.measured.events);
    let events_bad = events.zip(budget.and_then(|budget| budget.measured.bad_ratio)).map(|(all, bad)| all * bad);
    let allowed = budget.and_then(|budget| budget.events);
    BudgetView {
        id: objective.id.clone(),
        objective: objective.name.clone(),
        service: objective.service.clone(),
        description: objective.description.clone(),
        target: objective.target,
        window: objective.window.to_string(),
        measured_at: state.budget.as_ref().map(|(_, at)| at.to_string()),
        from: budget.map(|budget| budget.from.to_string()),
        until: budget.map(|budget| budget.until.to_string()),
        state: budget.map_or(Spending::Unknown, Budget::spending).as_str().to_owned(),
        spent: budget.and_then(|budget| budget.spent),
        minutes: budget.map(|budget| budget.minutes),
        minutes_left: budget.and_then(|budget| Some(budget.minutes * budget.left()?.max(0.0))),
        events,
        events_bad,
        events_left: allowed.zip(events_bad).map(|(allowed, bad)| (allowed - bad).max(0.0)),
        burn_rate: budget.and_then(|budget| budget.rate),
        burns: budget.map(|budget| budget.burns.iter().map(burn).collect()).unwrap_or_default(),
        gone_in_s: budget.and_then(|budget| budget.gone_in(now)).map(|gone| gone.as_secs()),
        gate_service: gate.map(|(service, _)| service.clone()),
        gate_environment: gate.and_then(|(_, environment)| environment.clone()),
        hold: gate.filter(|_| is_spent).map(|_| objective.hold().id),
        problem: state.problem.clone(),
        explained: budget.map(|budget| budget.explained(objective, now)).unwrap_or_default(),
    }
}

fn burn(burn: &Burn) -> BurnView {
    BurnView {
        severity: burn.window.severity.as_str().to_owned(),
        long: duration::format(burn.window.long_ms),
        short: duration::format(burn.window.short_ms),
        limit: burn.window.factor,
        rate: burn.long,
        rate_short: burn.short,
    }
}

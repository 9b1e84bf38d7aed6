//! Feature flags as people see and set them.

use axum::Json;
use axum::extract::{Query, State};
use prograde_model::flag::Setting;
use prograde_model::fleet::Fleet;
use prograde_model::ids::{EnvironmentName, ServiceName, Target};
use serde::Deserialize;

use super::orders::{Body, body, named, ordered, reason};
use super::types::{FlagSetRequest, FlagSettingView, FlagToken, FlagUnsetRequest, FlagView, Ordered};
use super::{Context, Failure};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlagsQuery {
    service: Option<ServiceName>,
    environment: Option<EnvironmentName>,
}

pub(super) async fn list(State(context): State<Context>, Query(query): Query<FlagsQuery>) -> Json<Vec<FlagView>> {
    let fits = |target: &&Target| {
        query.service.as_ref().is_none_or(|service| *service == target.service)
            && query.environment.as_ref().is_none_or(|environment| *environment == target.environment)
    };
    Json(
        context
            .control
            .with_fleet(|fleet| fleet.targets().filter(fits).flat_map(|target| views(fleet, target)).collect()),
    )
}

/// What is declared by the flight that serves, then what is only set.
fn views(fleet: &Fleet, target: &Target) -> Vec<FlagView> {
    let flags = fleet.flags(target);
    let view = |key: &str| {
        let flag = flags.and_then(|flags| flags.get(key));
        let set = fleet.toggle(target, key).map(|toggle| FlagSettingView {
            to: toggle.to.clone(),
            by: toggle.by.clone(),
            reason: toggle.reason.clone(),
            since: toggle.since.to_string(),
            in_force: flag.is_some_and(|flag| flag.allows(&toggle.to)),
        });
        FlagView {
            service: target.service.clone(),
            environment: target.environment.clone(),
            flag: key.to_owned(),
            enabled: flag.is_some_and(|flag| flag.enabled),
            variants: flag.map(|flag| flag.variants.clone()).unwrap_or_default(),
            default_variant: flag.and_then(|flag| flag.default_variant.clone()),
            targeting: flag.and_then(|flag| flag.targeting.clone()),
            set,
        }
    };
    let declared = flags.into_iter().flat_map(|flags| flags.iter().map(|(key, _)| key));
    let only_set =
        fleet.toggles(target).map(|(key, _)| key).filter(|key| flags.is_none_or(|flags| flags.get(key).is_none()));
    declared.chain(only_set).map(|key| view(key)).collect()
}

pub(super) async fn set(State(context): State<Context>, order: Body<FlagSetRequest>) -> Result<Json<Ordered>, Failure> {
    let FlagSetRequest { service, environment, flag, to, by, reason } = body(order)?;
    change(&context, Target { environment, service }, &flag, Some(&to), (&by, &reason)).await
}

pub(super) async fn unset(
    State(context): State<Context>,
    order: Body<FlagUnsetRequest>,
) -> Result<Json<Ordered>, Failure> {
    let FlagUnsetRequest { service, environment, flag, by, reason } = body(order)?;
    change(&context, Target { environment, service }, &flag, None, (&by, &reason)).await
}

async fn change(
    context: &Context,
    target: Target,
    flag: &str,
    to: Option<&Setting>,
    (by, why): (&str, &str),
) -> Result<Json<Ordered>, Failure> {
    let (flight, events) = context.control.change_flag(&target, flag, to, named(by)?, reason(why)?).await?;
    Ok(ordered(flight, &events))
}

pub(super) async fn token(State(context): State<Context>) -> Json<FlagToken> {
    Json(FlagToken { token: context.flag_token })
}

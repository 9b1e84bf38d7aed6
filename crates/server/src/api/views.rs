//! Views of the fleet: what is, read at one moment.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use prograde_model::entry::{Entry, Standing};
use prograde_model::event::{Outcome, Place};
use prograde_model::fleet::Fleet;
use prograde_model::flight::{Flight, Stage};
use prograde_model::gate::{GateState, Hold, Holds, Missing, gate};
use prograde_model::ids::{Digest, EnvironmentName, FlightId, ServiceName, Target};
use prograde_model::judge::Verdict;
use prograde_model::metric;
use prograde_model::release::Release;
use prograde_model::rollout::Phase;
use prograde_model::runtime::Observation;
use serde::Deserialize;

use super::types::{
    EntryView, EventView, FlightSummary, FlightView, JobView, QuarantineView, ReleaseEvidence, Status, TargetView,
    UpstreamView, VersionView,
};
use super::{Context, Failure};

/// How many flights a list has when nobody says, and at the most.
const FLIGHTS: usize = 20;
pub(super) const FLIGHTS_MAX: usize = 1_000;

pub(super) async fn status(State(context): State<Context>) -> Json<Status> {
    let targets: Vec<Target> = context.control.with_fleet(|fleet| fleet.targets().cloned().collect());
    let seen: Vec<(Target, Observation)> = targets
        .into_iter()
        .map(|t| {
            let o = context.control.observe(&t);
            (t, o)
        })
        .collect();
    let holds = context.control.holds();
    let (sequence, views, active) = context.control.with_fleet(|fleet| {
        let views = seen.iter().map(|(target, seen)| target_view(&context, fleet, target, seen)).collect();
        let mut active: Vec<&Flight> = fleet.active().collect();
        active.sort_by_key(|f| std::cmp::Reverse(f.opened_at_sequence));
        (fleet.sequence(), views, active.into_iter().map(|f| seen_summary(&context, fleet, f, &holds)).collect())
    });
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Status { version, sequence, targets: views, active, quarantines: quarantines(&context) })
}

pub(super) async fn quarantine(State(context): State<Context>) -> Json<Vec<QuarantineView>> {
    Json(quarantines(&context))
}

pub(super) async fn upstreams(State(context): State<Context>) -> Json<Vec<UpstreamView>> {
    Json(context.upstreams.views())
}

fn quarantines(context: &Context) -> Vec<QuarantineView> {
    context.control.with_fleet(|fleet| {
        let views = fleet.quarantines().map(|q| QuarantineView {
            service: q.target.service.clone(),
            environment: q.target.environment.clone(),
            digest: q.digest.clone(),
            flight: q.flight.clone(),
            reason: q.reason.clone(),
            since: q.since.to_string(),
        });
        views.collect()
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlightsQuery {
    service: Option<ServiceName>,
    limit: Option<usize>,
}

pub(super) async fn flights(
    State(context): State<Context>,
    Query(query): Query<FlightsQuery>,
) -> Json<Vec<FlightSummary>> {
    let limit = query.limit.unwrap_or(FLIGHTS).min(FLIGHTS_MAX);
    let holds = context.control.holds();
    Json(context.control.with_fleet(|fleet| {
        let mut found: Vec<&Flight> =
            fleet.flights().filter(|f| query.service.as_ref().is_none_or(|s| f.flies(s))).collect();
        found.sort_by_key(|f| std::cmp::Reverse(f.opened_at_sequence));
        found.truncate(limit);
        found.into_iter().map(|f| seen_summary(&context, fleet, f, &holds)).collect()
    }))
}

pub(super) async fn flight(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Result<Json<FlightView>, Failure> {
    let id = find_flight(&context, &id)?;
    let stored =
        context.journal.read_subject(&crate::events::subject(&id)).await.map_err(|error| Failure::internal(&error))?;
    let events = stored.into_iter().map(|event| EventView {
        sequence: event.sequence,
        at: event.at.to_string(),
        flight: id.clone(),
        event_type: event.event_type,
        data: event.payload,
    });
    let events: Vec<EventView> = events.collect();
    let (now, holds) = (context.control.now(), context.control.holds());
    let targets = context.control.with_fleet(|fleet| {
        let flight = fleet.flight(&id);
        flight.map(|f| f.entries.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    });
    let seen: BTreeMap<Target, Observation> = targets
        .into_iter()
        .map(|t| {
            let o = context.control.observe(&t);
            (t, o)
        })
        .collect();
    let view = context.control.with_fleet(|fleet| {
        fleet.flight(&id).map(|flight| FlightView {
            summary: seen_summary(&context, fleet, flight, &holds),
            digest: flight.releases.get(&flight.service).filter(|_| !flight.is_group()).map(|r| r.digest.clone()),
            digests: digests(flight),
            jobs: jobs(flight),
            environments: entries(fleet, flight, (&seen, &holds), now),
            notices: flight.notices.clone(),
            scan: flight.scan.clone(),
            policies: flight.policies.clone(),
            stage_ms: stage_ms(flight),
            events,
        })
    });
    view.map(Json).ok_or_else(|| Failure::not_found(format!("there is no flight {id}")))
}

/// What vouches for each image of a flight, checked now.
pub(super) async fn evidence(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Result<Json<Vec<ReleaseEvidence>>, Failure> {
    let id = find_flight(&context, &id)?;
    let releases =
        context.control.with_fleet(|fleet| fleet.flight(&id).map(|f| f.releases.clone()).unwrap_or_default());
    let mut all = Vec::new();
    for (service, release) in releases {
        let found = context.vouching.show(&service, &release).await.map_err(|error| Failure::internal(&error))?;
        let (commit, digest, size_bytes) = (release.commit, release.digest, release.size_bytes);
        all.push(ReleaseEvidence { service, commit, digest, size_bytes, recorded: release.evidence, found });
    }
    Ok(Json(all))
}

/// The flight that an id, or the beginning of exactly one, names.
pub(super) fn find_flight(context: &Context, text: &str) -> Result<FlightId, Failure> {
    if let Ok(id) = text.parse::<FlightId>() {
        let known = context.control.with_fleet(|fleet| fleet.flight(&id).is_some());
        return if known { Ok(id) } else { Err(Failure::not_found(format!("there is no flight {text}"))) };
    }
    let shown: String = text.chars().take(40).collect();
    if text.len() < 4 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::bad_request(format!(
            "{shown:?} is not a flight id, nor the first four or more digits of one"
        )));
    }
    let found: Vec<FlightId> = context.control.with_fleet(|fleet| {
        fleet.flights().filter(|f| f.id.as_str().starts_with(text)).map(|f| f.id.clone()).take(2).collect()
    });
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::not_found(format!("there is no flight {shown}"))),
        _ => Err(Failure::bad_request(format!("more than one flight begins with {shown}; write more of its id"))),
    }
}

/// Under which name a runtime tells the address of a version that is shown.
const PREVIEW: &str = "preview";

fn target_view(context: &Context, fleet: &Fleet, target: &Target, seen: &Observation) -> TargetView {
    let wanted = fleet.wanted(target, seen).versions;
    let order = |id: &FlightId| wanted.iter().position(|w| w.flight == *id).unwrap_or(usize::MAX);
    let mut versions: Vec<VersionView> = seen
        .versions
        .iter()
        .filter(|v| v.replicas > 0 || wanted.iter().any(|w| w.flight == v.revision))
        .filter_map(|v| {
            let flight = fleet.flight(&v.revision)?;
            Some(VersionView {
                flight: v.revision.clone(),
                commit: flight.commit().clone(),
                weight: v.weight.percent(),
                replicas: v.replicas,
                ready: v.ready,
                restarts: v.restarts,
                waiting: v.waiting.clone(),
                counters: v.counters,
            })
        })
        .collect();
    versions.sort_by_key(|v| order(&v.flight));
    let (preview, addresses): (Vec<_>, Vec<_>) =
        context.control.addresses(target).into_iter().partition(|(name, _)| name.as_deref() == Some(PREVIEW));
    TargetView {
        service: target.service.clone(),
        environment: target.environment.clone(),
        addresses: addresses.iter().map(|(_, address)| format!("http://{address}")).collect(),
        preview: preview.first().map(|(_, address)| format!("http://{address}")),
        versions,
        trouble: context.control.trouble_at(target),
    }
}

/// A flight in one line, with what holds it up now.
fn seen_summary(context: &Context, fleet: &Fleet, flight: &Flight, holds: &Holds) -> FlightSummary {
    let mut summary = summary(fleet, flight, holds);
    if let Some(held) = context.control.held_up(&flight.id).filter(|_| flight.outcome.is_none()) {
        let detail = if summary.detail.is_empty() { String::new() } else { summary.detail + "; " };
        let why = held.why.replace('\n', " ");
        let since = held.since.strftime("%Y-%m-%dT%H:%M:%SZ");
        summary.detail = format!("{detail}tried again since {since}: {why}");
    }
    summary
}

/// A flight in one line.
pub(super) fn summary(fleet: &Fleet, flight: &Flight, holds: &Holds) -> FlightSummary {
    let (stage, environment) = stage_name(flight);
    let at = match flight.stage() {
        Stage::At(at, _) => Some(at),
        Stage::Reading | Stage::Building | Stage::Imaging | Stage::Notifying | Stage::Done => None,
    };
    FlightSummary {
        id: flight.id.clone(),
        service: flight.service.clone(),
        commit: flight.commit().clone(),
        subject: flight.opened.subject.clone(),
        author: flight.opened.author.name.clone(),
        stage: stage.to_owned(),
        detail: detail(fleet, flight, (at.as_ref(), holds)),
        environment,
        opened_at: flight.opened_at.to_string(),
        ended_at: flight.ended_at.filter(|_| flight.outcome.is_some()).map(|at| at.to_string()),
    }
}

fn stage_name(flight: &Flight) -> (&'static str, Option<EnvironmentName>) {
    match (flight.stage(), &flight.outcome) {
        (Stage::Done | Stage::Notifying, Some(outcome)) => match outcome {
            Outcome::Landed => ("landed", None),
            Outcome::Refused { .. } => ("refused", None),
            Outcome::Rejected { .. } => ("rejected", None),
            Outcome::Stopped { environment, .. } => ("stopped", Some(environment.clone())),
            Outcome::RolledBack { environment, .. } => ("rolled_back", Some(environment.clone())),
            Outcome::Kept { environment, .. } => ("kept", Some(environment.clone())),
            Outcome::Aborted { .. } => ("aborted", None),
            Outcome::Superseded { .. } => ("superseded", None),
        },
        (Stage::Notifying, None) => ("notifying", None),
        (Stage::Done, None) => ("landing", None),
        (Stage::Reading, _) => ("reading", None),
        (Stage::Building, _) => ("building", None),
        (Stage::Imaging, _) => ("imaging", None),
        (Stage::At(target, standing), _) => {
            let stage = match standing {
                Standing::Outside => "waiting",
                Standing::Entering => "deploying",
                Standing::Migrating => "migrating",
                Standing::Rolling => "rolling",
                Standing::Unchecked | Standing::Settled | Standing::Unchanged | Standing::Kept => "checking",
                Standing::Watched => "watching",
                Standing::Leaving => "withdrawing",
                Standing::Unreverted | Standing::Gone => "reverting",
            };
            (stage, Some(target.environment))
        }
    }
}

fn detail(fleet: &Fleet, flight: &Flight, (at, holds): (Option<&Target>, &Holds)) -> String {
    if let Some(outcome) = &flight.outcome {
        return match outcome {
            Outcome::Landed => "serves all traffic".to_owned(),
            Outcome::Refused { diagnostics } => {
                diagnostics.first().map(|d| d.to_string().replace('\n', " ")).unwrap_or_default()
            }
            Outcome::Rejected { reason } | Outcome::Stopped { reason, .. } | Outcome::RolledBack { reason, .. } => {
                reason.clone()
            }
            Outcome::Kept { reason, .. } => format!("serves on past its point of no return: {reason}"),
            Outcome::Aborted { by, reason } => format!("by {by}: {reason}"),
            Outcome::Superseded { by } => format!("by flight {}", by.short()),
        };
    }
    if let Some(target) = at {
        if flight.standing(target) == Standing::Outside {
            return words(&missing(fleet, flight, &target.environment, holds)).join(", ");
        }
        let of = if flight.is_group() { format!("{}: ", target.service) } else { String::new() };
        if let Some(entry) = flight.entry(target).filter(|_| flight.standing(target) == Standing::Migrating) {
            return of + if entry.is_migrating() { "its migration runs" } else { "" };
        }
        if let Some(failure) = flight.entry(target).and_then(Entry::migration_failure) {
            return of + &failure.to_string();
        }
        return of
            + &match flight.phase(target) {
                Some(Phase::Preparing { step, .. }) => format!("waits for replicas of step {}", step + 1),
                Some(Phase::Baking(baking)) => format!("step {} bakes", baking.step + 1),
                Some(Phase::Withdrawing { cause } | Phase::Withdrawn { cause }) => cause.to_string(),
                Some(Phase::Promoted(_)) if flight.standing(target) == Standing::Watched => "is watched".to_owned(),
                Some(Phase::Promoted(_)) | None => String::new(),
            };
    }
    let running: Vec<&str> =
        flight.pipeline.jobs.iter().filter(|(_, r)| r.is_none()).map(|(job, _)| job.as_str()).collect();
    if running.is_empty() { String::new() } else { format!("runs {}", running.join(", ")) }
}

fn missing(fleet: &Fleet, flight: &Flight, environment: &EnvironmentName, holds: &Holds) -> Vec<Missing> {
    match gate(fleet, flight, environment, holds) {
        GateState::Open | GateState::Closed { .. } => Vec::new(),
        GateState::Waiting { missing } => missing,
    }
}

/// What a gate waits for, each thing in words.
pub(crate) fn words(missing: &[Missing]) -> Vec<String> {
    let of = |missing: &Missing| match missing {
        Missing::Approvals { given, needed, point_of_no_return } => {
            let why = if *point_of_no_return { ": its migration can't be undone" } else { "" };
            vec![format!("has {given} of {needed} approvals{why}")]
        }
        Missing::Occupied { by } => vec![format!("waits for flight {} to leave", by.short())],
        Missing::Held { holds } => holds.iter().map(ToString::to_string).collect(),
        Missing::Merge { branch: Some(branch) } => vec![format!("waits for {branch} to be merged")],
        Missing::Merge { branch: None } => vec!["is about to be proposed".to_owned()],
    };
    missing.iter().flat_map(of).collect()
}

fn jobs(flight: &Flight) -> Vec<JobView> {
    let views = flight.pipeline.jobs.iter().map(|(job, record)| JobView {
        job: job.clone(),
        state: record.as_ref().map_or_else(|| "running".to_owned(), |r| conclusion(r.conclusion).to_owned()),
        duration_ms: record.as_ref().map(|r| r.duration_ms),
        detail: record.as_ref().and_then(|r| r.detail.clone()),
    });
    views.collect()
}

fn conclusion(conclusion: prograde_model::event::JobConclusion) -> &'static str {
    use prograde_model::event::JobConclusion;
    match conclusion {
        JobConclusion::Success => "success",
        JobConclusion::Failure => "failure",
        JobConclusion::Cancelled => "cancelled",
        JobConclusion::Skipped => "skipped",
    }
}

fn entries(
    fleet: &Fleet,
    flight: &Flight,
    (seen, holds): (&BTreeMap<Target, Observation>, &Holds),
    now: Timestamp,
) -> Vec<EntryView> {
    let nothing = Observation::default();
    let view = |target| entry_view(fleet, flight, target, (seen.get(target).unwrap_or(&nothing), holds), now);
    flight.places.iter().map(view).collect()
}

fn digests(flight: &Flight) -> BTreeMap<ServiceName, Digest> {
    let of = |(service, release): (&ServiceName, &Release)| (service.clone(), release.digest.clone());
    flight.releases.iter().filter(|_| flight.is_group()).map(of).collect()
}

fn entry_view(
    fleet: &Fleet,
    flight: &Flight,
    target: &Target,
    (seen, holds): (&Observation, &Holds),
    now: Timestamp,
) -> EntryView {
    let entry = flight.entry(target).cloned().unwrap_or_default();
    let Place { environment, service } = flight.place(target);
    // The gate is the environment's: the first of a group's services says what it waits for.
    let at_gate = flight.stage() == Stage::At(target.clone(), Standing::Outside);
    let judged = entry.moving().and_then(|r| r.judgment(seen, now));
    let live = seen.version(&flight.id).map(|v| v.counters);
    let waits_for = if at_gate { missing(fleet, flight, &environment, holds) } else { Vec::new() };
    EntryView {
        standing: standing_name(flight, target).to_owned(),
        missing: words(&waits_for),
        proposal: waits_for.iter().find_map(proposed),
        holds: waits_for.into_iter().flat_map(held).collect(),
        approvals: flight.approvals.get(&environment).cloned().unwrap_or_default(),
        weight: seen.version(&flight.id).map_or(0, |v| v.weight.percent()),
        step: step(&entry),
        verdict: judged.as_ref().map(|(verdict, _)| Verdict::clone(verdict)),
        evidence: judged.map(|(_, evidence)| evidence),
        metrics: entry.moving().map(|rollout| metric::summaries(rollout, seen, now)).unwrap_or_default(),
        requests: live.filter(|l| l.requests >= entry.requests.requests).unwrap_or(entry.requests),
        deploy_commit: entry.deploy_commit.clone(),
        policies: entry.policies.clone(),
        reverted: entry.reverted.clone(),
        failure: failure(&entry),
        environment,
        service,
    }
}

fn proposed(missing: &Missing) -> Option<String> {
    if let Missing::Merge { branch } = missing { branch.clone() } else { None }
}

fn held(missing: Missing) -> Vec<Hold> {
    match missing {
        Missing::Held { holds } => holds,
        Missing::Approvals { .. } | Missing::Occupied { .. } | Missing::Merge { .. } => Vec::new(),
    }
}

fn failure(entry: &Entry) -> Option<String> {
    let ordered = entry.rollback.as_ref().map(|r| format!("ordered by {}: {}", r.by, r.reason));
    let kept = || entry.kept().or_else(|| entry.migration_failure().map(ToString::to_string));
    ordered.or_else(|| entry.rollout.as_ref().and_then(|r| r.failure()).map(ToString::to_string)).or_else(kept)
}

fn step(entry: &Entry) -> Option<(u32, u32)> {
    let rollout = entry.rollout.as_ref()?;
    let step = match &rollout.phase {
        Phase::Preparing { step, .. } => *step,
        Phase::Baking(baking) => baking.step,
        Phase::Withdrawing { .. } | Phase::Promoted(_) | Phase::Withdrawn { .. } => return None,
    };
    rollout.step(step).map(|_| (step, u32::try_from(rollout.start.strategy.steps()).unwrap_or(u32::MAX)))
}

fn standing_name(flight: &Flight, target: &Target) -> &'static str {
    match flight.standing(target) {
        // One of its group before it failed.
        Standing::Entering if flight.outcome.is_some() => "outside",
        Standing::Entering if !flight.moves(target) => "next",
        Standing::Outside => "outside",
        Standing::Entering => "entering",
        Standing::Migrating => "migrating",
        Standing::Rolling => "rolling",
        Standing::Unchecked => "unchecked",
        Standing::Watched => "watched",
        Standing::Settled => "settled",
        Standing::Unchanged => "unchanged",
        Standing::Kept => "kept",
        Standing::Leaving => "leaving",
        Standing::Unreverted => "unreverted",
        Standing::Gone => "gone",
    }
}

/// How long each stage took, as far as it is over.
fn stage_ms(flight: &Flight) -> BTreeMap<String, u64> {
    let mut spans = BTreeMap::new();
    let mut last = flight.opened_at;
    let mut span = |name: String, from: Timestamp, to: Timestamp| {
        spans.insert(name, u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0));
    };
    for (stage, name) in [("configured", "read"), ("built", "build"), ("imaged", "image")] {
        if let Some(at) = flight.stage_times.get(stage) {
            span(name.to_owned(), last, *at);
            last = *at;
        }
    }
    for (target, entry) in &flight.entries {
        let end = entry.times.get("rollout.promoted").or_else(|| entry.times.get("rollout.withdrawn"));
        if let (Some(from), Some(to)) = (entry.passed_at, end) {
            span(flight.place(target).to_string(), from, *to);
        }
    }
    spans
}

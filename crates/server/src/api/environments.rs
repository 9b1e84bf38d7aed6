//! Environments side by side: which release is where, what is on its way, and how two of them differ.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use prograde_gitops::deploy::RenderError;
use prograde_gitops::git::{GitError, MAIN};
use prograde_gitops::kustomize::{Resource, to_yaml};
use prograde_model::entry::Standing;
use prograde_model::fleet::Fleet;
use prograde_model::flight::{Flight, Stage};
use prograde_model::gate::Holds;
use prograde_model::ids::{CommitId, EnvironmentName, ServiceName, Target};
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::views::summary;
use super::{Context, Failure};

/// The most commits that a comparison lists.
const COMMITS_MAX: usize = 100;
/// The longest difference of one object that is shown, in characters.
const DIFFERENCE_CHARS_MAX: usize = 64 * 1024;
/// How many lines stand around what differs.
const AROUND: usize = 3;

/// A service in all of its environments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceView {
    /// The service.
    pub service: ServiceName,
    /// Where it goes, in order.
    pub environments: Vec<PlaceView>,
}

/// A service in one environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlaceView {
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that serves there.
    pub serves: Option<ReleaseView>,
    /// How many releases the first environment is ahead.
    pub behind: usize,
    /// The newest release that is inside and does not serve yet, or stands at the gate.
    pub comes: Option<ReleaseView>,
    /// What it does there, or what it waits for.
    pub detail: String,
    /// How many digests may not enter.
    pub quarantined: usize,
}

/// A release, as far as it has to be told from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// The flight.
    pub flight: prograde_model::ids::FlightId,
    /// The commit.
    pub commit: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// When it had all traffic there.
    pub since: Option<String>,
}

/// How two environments differ.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DifferenceView {
    /// The service.
    pub service: ServiceName,
    /// What serves in the first.
    pub from: Option<ReleaseView>,
    /// What serves in the second.
    pub to: Option<ReleaseView>,
    /// The commits that only the second has, the newest first.
    pub gained: Vec<CommitView>,
    /// The commits that only the first has, the newest first.
    pub lost: Vec<CommitView>,
    /// The objects that differ, in order of kind and name.
    pub objects: Vec<ObjectView>,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitView {
    /// Its id.
    pub commit: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
}

/// An object that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// Such as `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// The difference of its YAML in the unified form.
    pub difference: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfService {
    service: Option<ServiceName>,
}

pub(super) async fn list(State(context): State<Context>, Query(query): Query<OfService>) -> Json<Vec<ServiceView>> {
    let holds = context.control.holds();
    Json(context.control.with_fleet(|fleet| {
        let mut services: BTreeMap<&ServiceName, Vec<&EnvironmentName>> = BTreeMap::new();
        let mut newest: Vec<&Flight> = fleet.flights().filter(|flight| flight.config.is_some()).collect();
        newest.sort_by_key(|flight| std::cmp::Reverse(flight.opened_at_sequence));
        for target in newest.iter().flat_map(|flight| &flight.places) {
            let known = services.entry(&target.service).or_default();
            if !known.contains(&&target.environment) {
                known.push(&target.environment);
            }
        }
        let wanted = |service: &ServiceName| query.service.as_ref().is_none_or(|wanted| wanted == service);
        let services = services.into_iter().filter(|(service, _)| wanted(service));
        services.map(|(service, places)| service_view(fleet, (service, &places), &holds)).collect()
    }))
}

fn service_view(fleet: &Fleet, (service, places): (&ServiceName, &[&EnvironmentName]), holds: &Holds) -> ServiceView {
    let target = |environment: &EnvironmentName| Target { environment: environment.clone(), service: service.clone() };
    let order = |environment: &EnvironmentName| {
        fleet.current(&target(environment)).and_then(|id| fleet.flight(id)).map(|flight| flight.opened_at_sequence)
    };
    let first = places.first().and_then(|environment| order(environment));
    let environments = places.iter().map(|environment| {
        let target = target(environment);
        let serves = fleet.current(&target).and_then(|id| fleet.flight(id));
        let own = order(environment).unwrap_or(0);
        let between = |flight: &&Flight| {
            flight.flies(service)
                && flight.opened_at_sequence > own
                && first.is_some_and(|first| flight.opened_at_sequence <= first)
                && places.first().is_some_and(|first| has_served(flight, first, service))
        };
        let comes = coming(fleet, &target);
        PlaceView {
            environment: (*environment).clone(),
            serves: serves.map(|flight| release(flight, Some(&target))),
            behind: fleet.flights().filter(between).count(),
            comes: comes.map(|flight| release(flight, None)),
            detail: comes.map(|flight| summary(fleet, flight, holds).detail).unwrap_or_default(),
            quarantined: fleet.quarantines().filter(|quarantine| quarantine.target == target).count(),
        }
    });
    ServiceView { service: service.clone(), environments: environments.collect() }
}

fn has_served(flight: &Flight, environment: &EnvironmentName, service: &ServiceName) -> bool {
    let target = Target { environment: environment.clone(), service: service.clone() };
    flight.entry(&target).is_some_and(|entry| entry.times.contains_key("rollout.promoted"))
}

/// The newest flight that is busy with a place: before its gate, or inside without serving.
fn coming<'f>(fleet: &'f Fleet, target: &Target) -> Option<&'f Flight> {
    let busy = |flight: &&Flight| match flight.stage() {
        Stage::At(at, standing) => {
            at.environment == target.environment
                && flight.flies(&target.service)
                && standing != Standing::Watched
                && fleet.current(target) != Some(&flight.id)
        }
        Stage::Reading | Stage::Building | Stage::Imaging | Stage::Notifying | Stage::Done => false,
    };
    fleet.active().filter(busy).max_by_key(|flight| flight.opened_at_sequence)
}

fn release(flight: &Flight, target: Option<&Target>) -> ReleaseView {
    let since = target.and_then(|target| flight.entry(target)?.times.get("rollout.promoted").copied());
    ReleaseView {
        flight: flight.id.clone(),
        commit: flight.commit().clone(),
        subject: flight.opened.subject.clone(),
        author: flight.opened.author.name.clone(),
        since: since.map(|since| since.to_string()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Two {
    service: ServiceName,
    from: EnvironmentName,
    to: EnvironmentName,
}

pub(super) async fn difference(
    State(context): State<Context>,
    Query(query): Query<Two>,
) -> Result<Json<DifferenceView>, Failure> {
    let target =
        |environment: &EnvironmentName| Target { environment: environment.clone(), service: query.service.clone() };
    let (from, to) = (target(&query.from), target(&query.to));
    let serving = |target: &Target| {
        context.control.with_fleet(|fleet| {
            let flight = fleet.current(target).and_then(|id| fleet.flight(id));
            flight.map(|flight| (release(flight, Some(target)), flight.service.clone()))
        })
    };
    let (first, second) = (serving(&from), serving(&to));
    let Some(repository) = first.as_ref().or(second.as_ref()).map(|(_, repository)| repository.clone()) else {
        let (service, from, to) = (&query.service, &query.from, &query.to);
        return Err(Failure::not_found(format!("{service} serves neither in {from} nor in {to}")));
    };
    let (first, second) = (first.map(|(release, _)| release), second.map(|(release, _)| release));
    let (mut gained, mut lost) = (Vec::new(), Vec::new());
    if let (Some(one), Some(other)) = (&first, &second) {
        let repository = context.repositories.get(&repository).await.map_err(|error| Failure::internal(&error))?;
        let between = async |since: &ReleaseView, until: &ReleaseView| {
            let read = repository.commits_between(&since.commit, &until.commit, COMMITS_MAX).await;
            // A rewritten history may have lost it.
            let is_lost = |error: &GitError| matches!(error, GitError::NoCommit(_));
            read.map(commits)
                .or_else(|error| if is_lost(&error) { Ok(Vec::new()) } else { Err(Failure::internal(&error)) })
        };
        (gained, lost) = (between(one, other).await?, between(other, one).await?);
    }
    let objects = compare(rendered(&context, &from).await?, rendered(&context, &to).await?, &query);
    Ok(Json(DifferenceView { service: query.service, from: first, to: second, gained, lost, objects }))
}

fn commits(read: Vec<(CommitId, prograde_gitops::git::CommitInfo)>) -> Vec<CommitView> {
    let view = |(commit, info): (CommitId, prograde_gitops::git::CommitInfo)| CommitView {
        commit,
        subject: info.subject,
        author: info.author_name,
    };
    read.into_iter().map(view).collect()
}

/// What the deployment repository says for a place, by kind and name; nothing where it names nothing.
async fn rendered(context: &Context, target: &Target) -> Result<BTreeMap<(String, String), String>, Failure> {
    let head = context.deployments.repository().head(MAIN).await.map_err(|error| Failure::internal(&error))?;
    let Some(head) = head else { return Ok(BTreeMap::new()) };
    match context.deployments.render(&head, target).await {
        Ok(rendered) => Ok(rendered.resources.into_iter().map(text).collect()),
        Err(RenderError::NotDeployed { .. }) => Ok(BTreeMap::new()),
        Err(error) => Err(Failure::internal(&error)),
    }
}

fn text(resource: Resource) -> ((String, String), String) {
    let key = (resource.kind().to_owned(), resource.name().to_owned());
    (key, to_yaml(&[resource]))
}

fn compare(
    mut from: BTreeMap<(String, String), String>,
    to: BTreeMap<(String, String), String>,
    query: &Two,
) -> Vec<ObjectView> {
    let mut all: BTreeMap<(String, String), (Option<String>, Option<String>)> = BTreeMap::new();
    for (key, text) in to {
        let before = from.remove(&key);
        all.insert(key, (before, Some(text)));
    }
    all.extend(from.into_iter().map(|(key, text)| (key, (Some(text), None))));
    let differs = all.into_iter().filter(|(_, (before, after))| before != after);
    let view = |((kind, name), (before, after)): ((String, String), (Option<String>, Option<String>))| {
        let change = match (&before, &after) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(_), Some(_)) => "changed",
        };
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let difference = TextDiff::from_lines(&before, &after);
        let (from, to) = (query.from.as_str(), query.to.as_str());
        let text = difference.unified_diff().context_radius(AROUND).header(from, to).to_string();
        let difference = text.chars().take(DIFFERENCE_CHARS_MAX).collect();
        ObjectView { kind, name, change: change.to_owned(), difference }
    };
    differs.map(view).collect()
}

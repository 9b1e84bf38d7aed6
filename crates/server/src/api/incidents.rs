//! Incidents over HTTP: orders, suspects, timelines, post-mortems, action items and the status page.

use std::collections::BTreeSet;

use axum::Json;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prograde_control::OrderError;
use prograde_model::dora::Span;
use prograde_model::ids::{ServiceName, Target};
use prograde_model::incident::{
    self, ActionId, ActionOrder, Changes, Declare, Entry, Incident, IncidentEvent, IncidentId, Incidents, Limit, Link,
    Month, Offer, Origin, Question, Ranked, Refusal, Suspect, Way, What,
};
use prograde_model::oncall::PageId;
use prograde_model::postmortem;
use prograde_model::status_page::StatusPage;
use prograde_model::stored::Fact as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::orders::{Body, body};
use super::types::{
    ActionOrderRequest, ActionRequest, DeclareRequest, IncidentOrdered, IncidentRequest, IncidentView, MitigateRequest,
    PostmortemRequest, PostmortemView, Wanted,
};
use super::views::find_flight;
use super::{Context, Failure};
use crate::history;
use crate::incidents::IncidentError;
use crate::records;

/// How far back suspects are looked for when nobody says.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// How long before users were hurt a timeline begins, and how long after the end it ends.
const AROUND: SignedDuration = SignedDuration::from_hours(1);
/// The largest body of a post-mortem: its text, escaped at worst.
const POSTMORTEM_BYTES_MAX: usize = Limit::POSTMORTEM * 2;

/// The routes, to be guarded as all others are.
pub(super) fn router() -> Router<Context> {
    let large = Router::new()
        .route("/api/v1/incidents/{id}/postmortem", get(drafted).post(publish))
        .layer(DefaultBodyLimit::max(POSTMORTEM_BYTES_MAX));
    Router::new()
        .route("/api/v1/incidents", get(list).post(declare))
        .route("/api/v1/incidents/trend", get(trend))
        .route("/api/v1/incidents/{id}", get(show))
        .route("/api/v1/incidents/{id}/order", post(order))
        .route("/api/v1/incidents/{id}/mitigate", post(mitigate))
        .route("/api/v1/incidents/{id}/ways", get(offers))
        .route("/api/v1/incidents/{id}/suspects", get(suspects))
        .route("/api/v1/incidents/{id}/timeline", get(timeline))
        .route("/api/v1/actions", get(ranked).post(add_action))
        .route("/api/v1/actions/{id}/order", post(order_action))
        .layer(DefaultBodyLimit::max(super::BODY_BYTES_MAX))
        .merge(large)
}

/// The status page: what is public, for everybody or for who shows the token.
pub(super) fn status_page() -> Router<Context> {
    Router::new().route("/status", get(page)).route("/status.json", get(page_data))
}

impl From<IncidentError> for Failure {
    fn from(error: IncidentError) -> Self {
        let IncidentError::Refused(refusal) = &error else { return Self::internal(&error) };
        let message = refusal.to_string();
        match refusal {
            Refusal::NoIncident(_) | Refusal::NoAction(_) => {
                let hint = "`prograde incident list` and `prograde action list` show what there is";
                Self::new(StatusCode::NOT_FOUND, "PG0701", message, hint)
            }
            Refusal::Text { .. }
            | Refusal::TooMany { .. }
            | Refusal::Future { .. }
            | Refusal::Nothing { .. }
            | Refusal::DueBefore(_)
            | Refusal::Until { .. } => {
                let hint = "docs/guides/incidents.md names the limits; link to what is longer";
                Self::new(StatusCode::BAD_REQUEST, "PG0702", message, hint)
            }
            Refusal::Resolved { .. } => Self::new(
                StatusCode::CONFLICT,
                "PG0700",
                message,
                "`prograde incident reopen` if it is not over after all",
            ),
            Refusal::NotResolved { .. }
            | Refusal::Merged { .. }
            | Refusal::MergedIntoItself { .. }
            | Refusal::Backwards { .. }
            | Refusal::SameStage { .. }
            | Refusal::ResolvedByCause { .. }
            | Refusal::SameSeverity { .. }
            | Refusal::SameRole { .. }
            | Refusal::Mitigated { .. }
            | Refusal::SameLink { .. }
            | Refusal::NotPublic { .. }
            | Refusal::Reviewed { .. }
            | Refusal::Closed { .. }
            | Refusal::NoGate { .. }
            | Refusal::Filed { .. } => {
                Self::new(StatusCode::CONFLICT, "PG0700", message, "`prograde incident show` tells where it stands")
            }
        }
    }
}

type Id<T> = Result<Path<T>, PathRejection>;

fn id<T>(path: Id<T>) -> Result<T, Failure> {
    path.map(|Path(id)| id).map_err(|rejection| Failure::bad_request(rejection.body_text()))
}

fn no_incident(id: IncidentId) -> Failure {
    IncidentError::from(Refusal::NoIncident(id)).into()
}

/// One incident as it is now.
pub(super) fn found(context: &Context, id: IncidentId) -> Result<Incident, Failure> {
    context.incidents.with(|known| known.incident(id).cloned()).ok_or_else(|| no_incident(id))
}

fn ordered(incident: IncidentId, events: &[IncidentEvent]) -> IncidentOrdered {
    let events = events.iter().map(|event| event.encode().0).collect();
    IncidentOrdered { incident, action: None, flight: None, events }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Whether those that are over are listed too.
    #[serde(default)]
    all: bool,
    service: Option<ServiceName>,
}

async fn list(State(context): State<Context>, Query(query): Query<ListQuery>) -> Json<Vec<IncidentView>> {
    Json(context.incidents.with(|known| {
        let fits = |incident: &&Incident| {
            let of_service = query.service.as_ref().is_none_or(|service| *service == incident.target.service);
            of_service && (query.all || incident.is_open())
        };
        known
            .incidents()
            .rev()
            .filter(fits)
            .take(super::views::FLIGHTS_MAX)
            .map(|one| IncidentView::of(known, one))
            .collect()
    }))
}

async fn declare(
    State(context): State<Context>,
    request: Body<DeclareRequest>,
) -> Result<Json<IncidentOrdered>, Failure> {
    let request = body(request)?;
    let moment = |text: &String| text.parse().map_err(|_| Failure::bad_request("`since` is no time in RFC 3339"));
    let target = Target { environment: request.environment, service: request.service };
    if !context.control.with_fleet(|fleet| fleet.targets().any(|known| *known == target)) {
        return Err(Failure::not_found(format!("no release has come to {target}")));
    }
    let declare = Declare {
        title: request.title,
        severity: request.severity,
        target,
        since: request.since.as_ref().map(moment).transpose()?,
        origin: Origin::Person { by: request.by },
    };
    let now = context.control.now();
    let events = context.incidents.record(now, |known| known.declare(&declare, now)).await?;
    let of = |event: &IncidentEvent| {
        if let IncidentEvent::Declared { incident, .. } = event { Some(*incident) } else { None }
    };
    let incident = events.iter().find_map(of).ok_or_else(|| Failure::bad_request("nothing was declared"))?;
    Ok(Json(ordered(incident, &events)))
}

async fn show(State(context): State<Context>, path: Id<IncidentId>) -> Result<Json<IncidentView>, Failure> {
    let incident = found(&context, id(path)?)?;
    let suspect = if incident.is_open() {
        let changes = changes(&context).await?;
        suspected(&context, &changes, &incident, WINDOW).into_iter().next()
    } else {
        None
    };
    let mut view = context.incidents.with(|known| IncidentView::of(known, &incident));
    view.suspect = suspect.map(Box::new);
    Ok(Json(view))
}

async fn order(
    State(context): State<Context>,
    path: Id<IncidentId>,
    request: Body<IncidentRequest>,
) -> Result<Json<IncidentOrdered>, Failure> {
    let (id, IncidentRequest { order, by }) = (id(path)?, body(request)?);
    let now = context.control.now();
    let events = context.incidents.record(now, |known| known.decide(id, &order, &by, now)).await?;
    Ok(Json(ordered(id, &events)))
}

/// All changes that the journal knows of.
async fn changes(context: &Context) -> Result<Changes, Failure> {
    let mut changes = Changes::default();
    let read = history::for_each(&context.journal, |fact| changes.apply(fact)).await;
    read.map_err(|error| Failure::internal(&error))?;
    Ok(changes)
}

fn suspected(context: &Context, changes: &Changes, incident: &Incident, window: SignedDuration) -> Vec<Suspect> {
    let question =
        Question { target: incident.target.clone(), since: incident.since, window, reason: incident.id.to_string() };
    context.control.with_fleet(|fleet| incident::suspects(changes, fleet, &question))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspectsQuery {
    /// How many hours before users were hurt a change may have been.
    hours: Option<u16>,
}

async fn suspects(
    State(context): State<Context>,
    path: Id<IncidentId>,
    Query(query): Query<SuspectsQuery>,
) -> Result<Json<Vec<Suspect>>, Failure> {
    let incident = found(&context, id(path)?)?;
    let window = query.hours.map_or(WINDOW, |hours| SignedDuration::from_hours(hours.into()));
    Ok(Json(suspected(&context, &changes(&context).await?, &incident, window)))
}

async fn offers(State(context): State<Context>, path: Id<IncidentId>) -> Result<Json<Vec<Offer>>, Failure> {
    let incident = found(&context, id(path)?)?;
    offered(&context, &incident).await.map(Json)
}

/// What may end an incident's harm.
async fn offered(context: &Context, incident: &Incident) -> Result<Vec<Offer>, Failure> {
    let suspects = suspected(context, &changes(context).await?, incident, WINDOW);
    let ways =
        |known: &Incidents| context.control.with_fleet(|fleet| incident::ways(known, incident, &suspects, fleet));
    Ok(context.incidents.with(ways))
}

/// The open incident that a page belongs to, and what may end its harm; nothing where it belongs to none, or where that is not
/// known now: whoever has just been woken is not told of errors.
pub(super) async fn offered_for(context: &Context, page: PageId) -> Option<(IncidentId, Vec<Offer>)> {
    let link = Link::Page(page.to_string());
    let incident =
        context.incidents.with(|known| known.open().find(|incident| incident.links.contains(&link)).cloned())?;
    let offers = offered(context, &incident).await;
    offers
        .map_err(|failure| tracing::warn!(%page, "what may help is not known: {}", failure.body.message))
        .ok()
        .map(|offers| (incident.id, offers))
}

/// Does something to end an incident's harm: that it is about to be done is recorded first, so that whoever looks knows, and
/// a refusal after it.
async fn mitigate(
    State(context): State<Context>,
    path: Id<IncidentId>,
    request: Body<MitigateRequest>,
) -> Result<Json<IncidentOrdered>, Failure> {
    let (id, MitigateRequest { way: wanted, by }) = (id(path)?, body(request)?);
    let incident = found(&context, id)?;
    let way = way(&context, &incident, wanted).await?;
    let now = context.control.now();
    let events = context.incidents.record(now, |known| known.begin_mitigation(id, way.clone(), &by)).await?;
    let reason = format!("{id}: {}", incident.title);
    let done = match &way {
        Way::Rollback { service, environment, flight } => {
            let taken = context.control.roll_back(service, environment, (None, false), &by, &reason).await;
            taken.map(|_| flight.clone())
        }
        Way::Flag { service, environment, flag, to } => {
            let target = Target { environment: environment.clone(), service: service.clone() };
            let changed = context.control.change_flag(&target, flag, to.as_ref(), &by, &reason).await;
            changed.map(|(flight, _)| flight)
        }
        Way::Scale { service, environment, replicas } => {
            let target = Target { environment: environment.clone(), service: service.clone() };
            context.control.order_scale(&target, *replicas, &by, &reason).await.map(|(flight, _)| flight)
        }
    };
    match done {
        Ok(flight) => Ok(Json(IncidentOrdered { flight: Some(flight), ..ordered(id, &events) })),
        Err(error) => Err(refused(&context, id, way, error).await),
    }
}

/// What is meant by what is wanted: of changes, the likeliest suspect's that fits.
async fn way(context: &Context, incident: &Incident, wanted: Wanted) -> Result<Way, Failure> {
    let id = incident.id;
    let none = |message: String| {
        let hint = "`prograde incident ways` tells what there is; `prograde incident suspects`, what else was changed";
        Failure::new(StatusCode::CONFLICT, "PG0704", format!("{id}: {message}"), hint)
    };
    let in_force = |suspects: Vec<Suspect>| {
        let ways = suspects.into_iter().filter(|suspect| suspect.in_force).filter_map(|suspect| suspect.way);
        ways.collect::<Vec<Way>>()
    };
    let long = SignedDuration::from_hours(24 * 365);
    match wanted {
        Wanted::Scale { replicas } => {
            let Target { service, environment } = incident.target.clone();
            Ok(Way::Scale { service, environment, replicas })
        }
        Wanted::Rollback { flight } => {
            let wanted = flight.map(|flight: String| find_flight(context, &flight)).transpose()?;
            let ways = in_force(suspected(context, &changes(context).await?, incident, long));
            let fits = |way: &Way| matches!(way, Way::Rollback { flight, .. } if wanted.as_ref().is_none_or(|wanted| wanted == flight));
            ways.into_iter().find(fits).ok_or_else(|| none("no release can be taken back".to_owned()))
        }
        Wanted::Flag { flag: wanted } => {
            let ways = in_force(suspected(context, &changes(context).await?, incident, long));
            let fits = |way: &Way| matches!(way, Way::Flag { flag, .. } if *flag == wanted);
            ways.into_iter().find(fits).ok_or_else(|| none(format!("no change of flag {wanted:?} can be taken back")))
        }
    }
}

/// What was begun is not going to happen.
async fn refused(context: &Context, incident: IncidentId, way: Way, error: OrderError) -> Failure {
    let failed = IncidentEvent::MitigationFailed { incident, way, why: error.to_string() };
    if let Err(error) = context.incidents.record(context.control.now(), |_| Ok(vec![failed])).await {
        return error.into();
    }
    error.into()
}

/// Everything that is known to have happened around an incident, in order.
async fn told(context: &Context, changes: &Changes, incident: &Incident) -> Result<Vec<Entry>, Failure> {
    let from = incident.since.checked_sub(AROUND).unwrap_or(Timestamp::MIN);
    let end = incident.resolved.as_ref().map_or_else(|| context.control.now(), |(at, _)| *at);
    let span = Span { from, until: end.checked_add(AROUND).unwrap_or(Timestamp::MAX) };
    let mut services = context.control.with_fleet(|fleet| incident::needs(fleet, &incident.target));
    services.insert(incident.target.service.clone());
    let mut entries = incident::incident_entries(incident);
    let read = history::for_each(&context.journal, |fact| {
        entries.extend(incident::flight_entries(changes, fact, &services, &incident.target, span));
    });
    read.await.map_err(|error| Failure::internal(&error))?;
    let alerts = records::read(&context.journal).await.map_err(|error| Failure::internal(&error))?;
    entries.extend(incident::alert_entries(incident, &alerts, span));
    let pages = records::read(&context.journal).await.map_err(|error| Failure::internal(&error))?;
    entries.extend(incident::page_entries(incident, &pages, span));
    entries.extend(context.runbooks.with(|runs| incident::run_entries(incident, runs.runs())));
    Ok(incident::timeline(entries))
}

async fn timeline(State(context): State<Context>, path: Id<IncidentId>) -> Result<Json<Vec<Entry>>, Failure> {
    let incident = found(&context, id(path)?)?;
    let changes = changes(&context).await?;
    Ok(Json(told(&context, &changes, &incident).await?))
}

async fn drafted(State(context): State<Context>, path: Id<IncidentId>) -> Result<Json<PostmortemView>, Failure> {
    let incident = found(&context, id(path)?)?;
    let changes = changes(&context).await?;
    let timeline = told(&context, &changes, &incident).await?;
    let actions: Vec<_> = context.incidents.with(|known| known.actions_of(incident.id).cloned().collect());
    let culprit = postmortem::culprit(&changes, &incident);
    let authors = suspected(&context, &changes, &incident, WINDOW).into_iter().map(|suspect| suspect.author);
    let mut people: BTreeSet<String> = incident.people().into_iter().map(str::to_owned).chain(authors).collect();
    people.extend(timeline.iter().filter_map(|entry| entry.by.clone()));
    if let Some(What::Release { author, .. }) = culprit.map(|change| &change.what) {
        people.insert(author.name.clone());
    }
    let draft = postmortem::Draft {
        incident: &incident,
        culprit,
        timeline: &timeline,
        actions: &actions,
        now: context.control.now(),
    };
    let published = incident.review.as_ref().map(|review| review.text.clone());
    Ok(Json(PostmortemView {
        incident: incident.id,
        published: published.is_some(),
        text: published.unwrap_or_else(|| postmortem::draft(draft)),
        people: people.into_iter().collect(),
    }))
}

async fn publish(
    State(context): State<Context>,
    path: Id<IncidentId>,
    request: Body<PostmortemRequest>,
) -> Result<Json<IncidentOrdered>, Failure> {
    let (id, PostmortemRequest { text, by }) = (id(path)?, body(request)?);
    let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
    let now = context.control.now();
    let events = context.incidents.record(now, |known| known.publish(id, &text, &sha256, &by)).await?;
    Ok(Json(ordered(id, &events)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrendQuery {
    /// RFC 3339.
    since: Timestamp,
    /// As IANA names it; UTC by default.
    time_zone: Option<String>,
}

async fn trend(State(context): State<Context>, Query(query): Query<TrendQuery>) -> Result<Json<Vec<Month>>, Failure> {
    let zone = query.time_zone.as_deref().unwrap_or("UTC");
    let zone = TimeZone::get(zone).map_err(|_| Failure::bad_request("time_zone: there is no such time zone"))?;
    let now = context.control.now();
    let span = Span { from: query.since, until: now };
    let months = context.incidents.with(|known| incident::trend(known, span, &zone, now));
    months.map(Json).ok_or_else(|| Failure::bad_request("since: there are too many months"))
}

async fn ranked(State(context): State<Context>) -> Json<Vec<Ranked>> {
    let now = context.control.now();
    let mut found: Vec<Ranked> = context.incidents.with(|known| {
        let open = known.ranked(now);
        let over = known.actions().filter(|action| !action.is_open());
        let over = over.map(|action| Ranked {
            action: action.clone(),
            incidents: 0,
            pages: 0,
            minutes: 0,
            ticket_problem: None,
        });
        open.into_iter().chain(over).collect()
    });
    if let Some(filing) = &context.filing {
        for one in &mut found {
            one.ticket_problem = filing.problem(one.action.id);
        }
    }
    Json(found)
}

async fn add_action(
    State(context): State<Context>,
    request: Body<ActionRequest>,
) -> Result<Json<IncidentOrdered>, Failure> {
    let ActionRequest { action, by } = body(request)?;
    let now = context.control.now();
    let events = context.incidents.record(now, |known| known.add_action(&action, &by, now)).await?;
    let of = |event: &IncidentEvent| {
        if let IncidentEvent::ActionAdded { action, .. } = event { Some(*action) } else { None }
    };
    Ok(Json(IncidentOrdered { action: events.iter().find_map(of), ..ordered(action.incident, &events) }))
}

async fn order_action(
    State(context): State<Context>,
    path: Id<ActionId>,
    request: Body<ActionOrderRequest>,
) -> Result<Json<IncidentOrdered>, Failure> {
    let (id, ActionOrderRequest { order, by }) = (id(path)?, body(request)?);
    if let ActionOrder::File { tracker } = &order {
        check_tracker(&context, tracker.as_deref())?;
    }
    let now = context.control.now();
    let events = context.incidents.record(now, |known| known.decide_action(id, &order, &by, now)).await?;
    let incident = context.incidents.with(|known| known.action(id).map(|action| action.incident));
    let incident = incident.ok_or_else(|| Failure::from(IncidentError::from(Refusal::NoAction(id))))?;
    Ok(Json(IncidentOrdered { action: Some(id), ..ordered(incident, &events) }))
}

/// Refuses to file an action item where no tracker would take it.
fn check_tracker(context: &Context, named: Option<&str>) -> Result<(), Failure> {
    let known = context.filing.as_ref().map_or(&[][..], |filing| filing.names());
    let message = match named {
        _ if known.is_empty() => "the server has no trackers".to_owned(),
        Some(name) if !known.iter().any(|one| one == name) => format!("there is no tracker {name:?}"),
        Some(_) | None => return Ok(()),
    };
    let hint = if known.is_empty() {
        "start it with `--trackers trackers.yaml`; docs/guides/incidents.md shows the file".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    Err(Failure::new(StatusCode::BAD_REQUEST, "PG0702", message, hint))
}

/// What everybody may know: of each service the last environment of its releases, where users are.
fn public(context: &Context) -> StatusPage {
    let places: Vec<Target> = context.control.with_fleet(|fleet| {
        let last = |target: &&Target| {
            let flight = fleet.current(target).and_then(|id| fleet.flight(id));
            let environments = flight.and_then(|flight| flight.service_config()).map(|service| &service.environments);
            environments.and_then(|all| all.last()).is_some_and(|last| last.name == target.environment)
        };
        fleet.targets().filter(last).cloned().collect()
    });
    let answers = |target: &Target| context.control.observe(target).versions.iter().any(|version| version.ready > 0);
    let seen: Vec<(Target, bool)> = places.into_iter().map(|target| (target.clone(), answers(&target))).collect();
    let is_up = |target: &Target| seen.iter().any(|(place, up)| place == target && *up);
    let now = context.control.now();
    context.incidents.with(|known| StatusPage::of(known, seen.iter().map(|(target, _)| target), is_up, now))
}

async fn page(State(context): State<Context>) -> Response {
    let safe = [
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
    ];
    (safe, Html(public(&context).html())).into_response()
}

async fn page_data(State(context): State<Context>) -> Json<StatusPage> {
    Json(public(&context))
}

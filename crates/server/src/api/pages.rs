//! Pages, and who is on call.

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Form, Json, Router};
use prograde_control::paging::{PageOrderError, Paging};
use prograde_model::incident::Offer;
use prograde_model::oncall::page::{PageEvent, State as Standing};
use prograde_model::oncall::{Entry, PageId};
use serde::Deserialize;

use super::orders::{Body, body, named, plain};
use super::types::{AnswerRequest, PageView, RaiseRequest, RateRequest, SnoozeRequest};
use super::{Context, Failure};
use crate::auth::PageKey;

/// The page that a person is shown who follows the address in what they were told.
const ANSWERED: &str = include_str!("pages.html");

pub(super) fn paging(context: &Context) -> Result<&Paging, Failure> {
    let off = "nobody is on call: start the server with `--oncall oncall.yaml` and `--alertmanager-config`";
    context.pages().ok_or_else(|| Failure::not_found(off))
}

fn view(paging: &Paging, id: PageId, entry: &Entry) -> PageView {
    let page = &entry.page;
    let state = match &page.state {
        Standing::At { .. } => "open",
        Standing::Deferred { .. } => "waiting",
        Standing::Exhausted => "unanswered",
        Standing::Acknowledged { .. } => "acknowledged",
        Standing::Snoozed { .. } => "snoozed",
        Standing::Resolved => "resolved",
    };
    let rota = paging.duty().rota();
    let rules = rota.escalations.get(&entry.about.escalation);
    PageView {
        id,
        title: entry.about.title.clone(),
        escalation: entry.about.escalation.clone(),
        severity: entry.about.severity.clone(),
        state: state.to_owned(),
        reached: page.reached().into_iter().cloned().collect(),
        calling: page.outstanding().map(|(_, _, person)| person.clone()).collect(),
        acknowledged_by: entry.acknowledged.as_ref().map(|(_, by)| by.clone()),
        opened_at: entry.opened_at,
        acknowledged_at: entry.acknowledged.as_ref().map(|(at, _)| *at),
        resolved_at: entry.resolved_at,
        next_at: rules.and_then(|rules| page.wake_at(rules)),
        alerts: entry.about.alerts_count,
        group: entry.about.group.clone(),
        raised_by: entry.about.raised_by.clone(),
        test: entry.about.test,
        useful: entry.rated.as_ref().map(|(useful, _)| *useful),
    }
}

fn refused(error: &PageOrderError) -> Failure {
    use prograde_model::oncall::page::PageRefusal;
    match error {
        PageOrderError::Refused(PageRefusal::Unknown(_)) => Failure::not_found(error.to_string()),
        PageOrderError::Refused(_) => Failure::refused(error.to_string(), "`prograde page show` tells where it stands"),
        PageOrderError::Escalation { known, .. } => {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Failure::bad_request(format!("{error}; `oncall.yaml` has {known}"))
        }
        PageOrderError::Record(_) => Failure::internal(error),
    }
}

/// The name of a page as it stands in a path.
fn page_id(text: &str) -> Result<PageId, Failure> {
    text.parse().map_err(|error: prograde_model::InvalidName| Failure::bad_request(error.to_string()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Those that ended as well.
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(
    State(context): State<Context>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<PageView>>, Failure> {
    let paging = paging(&context)?;
    let views = paging.with_desk(|desk| {
        let asked = desk.pages().rev().filter(|(_, entry)| query.all || entry.page.state != Standing::Resolved);
        asked.map(|(id, entry)| view(paging, id, entry)).collect()
    });
    Ok(Json(views.await))
}

pub(super) async fn show(State(context): State<Context>, Path(page): Path<String>) -> Result<Json<PageView>, Failure> {
    let (paging, page) = (paging(&context)?, page_id(&page)?);
    let found = paging.with_desk(|desk| desk.page(page).map(|entry| view(paging, page, entry))).await;
    found.map(Json).ok_or_else(|| Failure::not_found(format!("there is no page {page}, or it ended long ago")))
}

pub(super) async fn raise(
    State(context): State<Context>,
    order: Body<RaiseRequest>,
) -> Result<Json<PageView>, Failure> {
    let (paging, order) = (paging(&context)?, body(order)?);
    let (title, by) = (plain(&order.title, "`title`", 300)?, named(&order.by)?);
    let escalation = order.escalation.as_deref();
    let page = paging.raise(title, escalation, &order.severity, by, order.test).await.map_err(|e| refused(&e))?;
    show(State(context), Path(page.to_string())).await
}

pub(super) async fn acknowledge(
    State(context): State<Context>,
    Path(page): Path<String>,
    order: Body<AnswerRequest>,
) -> Result<Json<PageView>, Failure> {
    let (page, order) = (page_id(&page)?, body(order)?);
    take(&context, page, named(&order.by)?).await.map(Json)
}

/// Takes a page, and the alerts' group with it, so that nobody is told of that again either.
pub(super) async fn take(context: &Context, page: PageId, by: &str) -> Result<PageView, Failure> {
    let paging = paging(context)?;
    let entry = paging.answer(page, |page, _| page.acknowledge(by)).await.map_err(|error| refused(&error))?;
    if let (Some(alerts), false) = (context.alerts(), entry.about.group.is_empty()) {
        let order = serde_json::json!({"groupKey": entry.about.group, "by": by, "comment": format!("page {page}")});
        let body = order.to_string();
        let path = "/alerts/groups/acknowledge";
        let request = prograde_notify::api::Request { method: "POST", path, query: &[], body: body.as_bytes() };
        let answer = alerts.answer(&request).await;
        if answer.status >= 300 {
            // The page is taken all the same; who reads the group's notifications sees that it is told again.
            let why = answer.body.unwrap_or_default();
            tracing::warn!(%page, status = answer.status, "the group of a page was not acknowledged with it: {why}");
        }
    }
    Ok(view(paging, page, &entry))
}

pub(super) async fn snooze(
    State(context): State<Context>,
    Path(page): Path<String>,
    order: Body<SnoozeRequest>,
) -> Result<Json<PageView>, Failure> {
    let (page, order) = (page_id(&page)?, body(order)?);
    let by = named(&order.by)?;
    let paging = paging(&context)?;
    let entry = paging.answer(page, |page, now| page.snooze(by, order.until, now)).await;
    entry.map(|entry| Json(view(paging, page, &entry))).map_err(|error| refused(&error))
}

pub(super) async fn resolve(
    State(context): State<Context>,
    Path(page): Path<String>,
    order: Body<AnswerRequest>,
) -> Result<Json<PageView>, Failure> {
    let (page, order) = (page_id(&page)?, body(order)?);
    end(&context, page, named(&order.by)?).await.map(Json)
}

/// Says that a page is over.
pub(super) async fn end(context: &Context, page: PageId, by: &str) -> Result<PageView, Failure> {
    let paging = paging(context)?;
    let entry = paging.answer(page, |page, _| page.resolve(by)).await;
    entry.map(|entry| view(paging, page, &entry)).map_err(|error| refused(&error))
}

pub(super) async fn rate(
    State(context): State<Context>,
    Path(page): Path<String>,
    order: Body<RateRequest>,
) -> Result<Json<PageView>, Failure> {
    let (page, order) = (page_id(&page)?, body(order)?);
    let by = named(&order.by)?.to_owned();
    let comment = if order.comment.trim().is_empty() { "" } else { plain(&order.comment, "`comment`", 2_000)? };
    let rated = PageEvent::Rated { useful: order.useful, by, comment: comment.to_owned() };
    let paging = paging(&context)?;
    let entry = paging.answer(page, |_, _| Ok(rated)).await;
    entry.map(|entry| Json(view(paging, page, &entry))).map_err(|error| refused(&error))
}

/// What stands in the address that a person is told.
#[derive(Debug, Deserialize)]
struct Sealed {
    person: String,
    seal: String,
}

/// Where people acknowledge from what they were told: the address is proof enough, for that page and that person.
pub(super) fn open_router(context: Context) -> Router {
    Router::new().route("/page/{page}", get(ask).post(press)).layer(DefaultBodyLimit::max(4 * 1024)).with_state(context)
}

/// The page that an address is of, if the address is one of ours.
fn opened(key: &PageKey, page: &str, sealed: &Sealed) -> Option<PageId> {
    let page = page.parse().ok()?;
    key.is_sealed(page, &sealed.person, &sealed.seal).then_some(page)
}

fn forged() -> Response {
    answered(StatusCode::FORBIDDEN, "This address is not valid", "It may be from another server.", "")
}

/// Shows the page with a button. Opening an address must change nothing: programs that look at mail open all of them.
async fn ask(State(context): State<Context>, Path(page): Path<String>, Query(sealed): Query<Sealed>) -> Response {
    let Some(page) = opened(&context.page_key, &page, &sealed) else { return forged() };
    let Ok(paging) = paging(&context) else { return gone(page) };
    let Some(view) = paging.with_desk(|desk| desk.page(page).map(|entry| view(paging, page, entry))).await else {
        return gone(page);
    };
    let (title, button) = match (view.state.as_str(), &view.acknowledged_by) {
        ("resolved", _) => (format!("{page} is over"), None),
        ("acknowledged", Some(by)) => (format!("{page} is in {by}'s hands"), None),
        _ => (format!("{page} waits for somebody"), Some(&sealed)),
    };
    answered(StatusCode::OK, &title, &view.title, &button.map_or_else(String::new, form))
}

async fn press(State(context): State<Context>, Path(page): Path<String>, Form(sealed): Form<Sealed>) -> Response {
    let Some(page) = opened(&context.page_key, &page, &sealed) else { return forged() };
    match take(&context, page, &sealed.person).await {
        Ok(view) => {
            let title = format!("{page} is yours, {}", sealed.person);
            answered(StatusCode::OK, &title, &view.title, &helps(&context, page).await)
        }
        Err(failure) => answered(failure.status, &format!("{page} was not taken"), &failure.body.message, ""),
    }
}

fn gone(page: PageId) -> Response {
    answered(StatusCode::NOT_FOUND, &format!("There is no page {page}"), "It may have ended long ago.", "")
}

/// The button that acknowledges.
fn form(sealed: &Sealed) -> String {
    let field = |name: &str, value: &str| format!("<input type=hidden name={name} value=\"{}\">", escaped(value));
    let fields = [field("person", &sealed.person), field("seal", &sealed.seal)].concat();
    format!("<form method=post>{fields}<button autofocus>Acknowledge as {}</button></form>", escaped(&sealed.person))
}

/// What may end the harm, for whoever has just taken a page: the commands that have helped before first.
async fn helps(context: &Context, page: PageId) -> String {
    let Some((incident, offers)) = super::incidents::offered_for(context, page).await else { return String::new() };
    let line = |offer: &Offer| {
        let helped = match offer.helped {
            0 => String::new(),
            times => format!(" (has helped {times} times)"),
        };
        format!("<li><code>{}</code><br>{}{helped}</li>", escaped(&offer.command), escaped(&offer.why))
    };
    let lines: String = offers.iter().map(line).collect();
    format!("<h2>{incident}: what may end it</h2><ol>{lines}</ol>")
}

fn answered(status: StatusCode, title: &str, text: &str, more: &str) -> Response {
    let page = ANSWERED.replace("{title}", &escaped(title)).replace("{text}", &escaped(text)).replace("{form}", more);
    let headers = [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, Html(page)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

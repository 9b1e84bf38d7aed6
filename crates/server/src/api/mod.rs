//! The HTTP API: routes, and what failures look like.

pub mod types;

mod alertmanager;
mod applications;
mod automations;
mod behaviour;
mod budgets;
mod chat;
mod dora;
pub mod environments;
mod flags;
mod git;
mod incidents;
mod journal;
mod logs;
mod ofrep;
mod oncall;
mod openapi;
mod orders;
mod pages;
mod prometheus;
mod runbooks;
mod toil;
mod views;
mod whole;

pub(crate) use views::words;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prograde_control::filing::Filing;
use prograde_control::paging::Paging;
use prograde_control::{Control, OrderError};
use prograde_gitops::deploy::Deployments;
use prograde_gitops::git::Repositories;
use prograde_journal::Journal;
use prograde_model::flight::Refusal;
use prograde_model::runbook::Runs;
use prograde_node::Node;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use openapi::document as openapi_document;

use crate::alerts::Handled;
use crate::applications::Sets;
use crate::auth::{self, PageKey, Token};
use crate::automations::{Automations, webhook_router as image_webhook_router};
use crate::by_hand::{ByHand, MergeError};
use crate::events::chain;
use crate::evidence::Vouching;
use crate::incidents::Desk;
use crate::metrics::Metrics;
use crate::metrics::elsewhere::Elsewhere;
use crate::records::Kept;
use crate::upstream::{self, Upstreams};
use types::ErrorBody;
use whole::whole;

/// The largest body of an order, in bytes. Pushes have their own limit.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the routes work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) control: Control,
    pub(crate) journal: Journal,
    pub(crate) repositories: Repositories,
    pub(crate) deployments: Arc<Deployments>,
    /// What people say in the deployment repository themselves.
    pub(crate) by_hand: ByHand,
    /// The repositories on Git hosts that are followed.
    pub(crate) upstreams: Upstreams,
    /// The applications that are kept in clusters.
    pub(crate) applications: Sets,
    /// The images that are kept up to date.
    pub(crate) automations: Automations,
    pub(crate) vouching: Vouching,
    pub(crate) node: Node,
    pub(crate) metrics: Arc<Metrics>,
    /// Whom queries are asked of, if not the embedded store.
    pub(crate) elsewhere: Option<Arc<Elsewhere>>,
    pub(crate) incidents: Desk,
    /// Tickets of action items, where there is a tracker.
    pub(crate) filing: Option<Filing>,
    pub(crate) runbooks: Arc<Kept<Runs>>,
    /// Whether the status page needs no token.
    pub(crate) public_status: bool,
    /// Alerts, where they are handled, and pages, where somebody is on call.
    pub(crate) handled: Option<Handled>,
    pub(crate) page_key: PageKey,
    pub(crate) ci: PathBuf,
    /// What services show to evaluate flags.
    pub(crate) flag_token: String,
    /// Orders that are being carried out.
    pub(crate) orders: TaskTracker,
    /// Ends answers that would follow for ever.
    pub(crate) stop: CancellationToken,
}

impl Context {
    /// Where alerts are handled.
    pub(crate) fn alerts(&self) -> Option<&prograde_notify::Handle> {
        self.handled.as_ref().map(|handled| &handled.alerts)
    }

    /// Pages.
    pub(crate) fn pages(&self) -> Option<&Paging> {
        self.handled.as_ref()?.pages.as_ref()
    }
}

/// All routes.
pub(crate) fn router(context: Context, token: &str) -> Router {
    let api = Router::new()
        .route("/api/v1/status", get(views::status))
        .route("/api/v1/environments", get(environments::list))
        .route("/api/v1/environments/difference", get(environments::difference))
        .route("/api/v1/flights", get(views::flights))
        .route("/api/v1/flights/{id}", get(views::flight))
        .route("/api/v1/flights/{id}/evidence", get(views::evidence))
        .route("/api/v1/flights/{id}/log", get(logs::pipeline))
        .route("/api/v1/flights/{id}/approve", post(orders::approve))
        .route("/api/v1/flights/{id}/abort", post(orders::abort))
        .route("/api/v1/flights/{id}/override", post(orders::override_hold))
        .route("/api/v1/services/{service}/rollback", post(orders::roll_back))
        .route("/api/v1/services/{service}/scale", post(orders::scale))
        .route("/api/v1/services/{service}/logs", get(logs::service))
        .route("/api/v1/quarantine", get(views::quarantine))
        .route("/api/v1/quarantine/lift", post(orders::lift))
        .route("/api/v1/upstreams", get(views::upstreams))
        .route("/api/v1/flags", get(flags::list))
        .route("/api/v1/flags/set", post(flags::set))
        .route("/api/v1/flags/unset", post(flags::unset))
        .route("/api/v1/flags/token", get(flags::token))
        .route("/api/v1/budgets", get(budgets::list))
        .route("/api/v1/dora", get(dora::measures))
        .route("/api/v1/toil", get(toil::toil))
        .route("/api/v1/alerts/behaviour", get(behaviour::behaviour))
        .route("/api/v1/pages", get(pages::list).post(pages::raise))
        .route("/api/v1/pages/{page}", get(pages::show))
        .route("/api/v1/pages/{page}/acknowledge", post(pages::acknowledge))
        .route("/api/v1/pages/{page}/snooze", post(pages::snooze))
        .route("/api/v1/pages/{page}/resolve", post(pages::resolve))
        .route("/api/v1/pages/{page}/rate", post(pages::rate))
        .route("/api/v1/oncall", get(oncall::rota))
        .route("/api/v1/oncall/changes", get(oncall::changes).post(oncall::change))
        .route("/api/v1/oncall/changes/{id}/withdraw", post(oncall::withdraw))
        .route("/api/v1/oncall/{schedule}", get(oncall::calendar))
        .route("/api/v1/events", get(journal::events))
        .route("/api/v1/journal/verify", post(journal::verify))
        .route("/api/v1/journal/export", get(journal::export))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let ordered = api
        .merge(alertmanager::router())
        .merge(incidents::router())
        .merge(runbooks::router())
        .merge(applications::router().merge(automations::router()).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)));
    let guarded = whole(ordered, &context.orders)
        .merge(git::router())
        .merge(prometheus::router(context.elsewhere.is_some()))
        .merge(if context.public_status { Router::new() } else { incidents::status_page() })
        .route("/metrics", get(prometheus::own))
        .fallback(|| async { Failure::not_found("there is no such path") })
        .layer(axum::middleware::from_fn_with_state(Token::new(token), auth::require))
        .with_state(context.clone());
    let open = if context.public_status { incidents::status_page() } else { Router::new() };
    let answers = pages::open_router(context.clone()).merge(chat::router(context.clone()));
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .merge(open.with_state(context.clone()))
        .merge(whole(answers, &context.orders))
        .merge(upstream::webhook_router(context.clone()))
        .merge(image_webhook_router(context.clone()))
        .merge(ofrep::router(context, token))
        .merge(guarded)
}

/// A failure as clients see it.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    body: ErrorBody,
}

impl Failure {
    fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { code: code.to_owned(), message: message.into(), hint: hint.into() } }
    }

    /// The same with another hint.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        hint.clone_into(&mut self.body.hint);
        self
    }

    pub(crate) fn unauthorised() -> Self {
        let hint = "show the token from the file `token` in the data directory, such as by `--token-file`";
        Self::new(StatusCode::UNAUTHORIZED, "PG0501", "a token is needed", hint)
    }

    pub(crate) fn unsigned(message: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "PG0501", message, hint)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "PG0502",
            message,
            "`prograde status` and `prograde flight list` show what there is",
        )
    }

    pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "PG0503", message, hint)
    }

    pub(crate) fn broken_journal(error: &prograde_journal::JournalError) -> Self {
        let hint = "keep the file, put a backup in its place, and find out who wrote to it";
        Self::new(StatusCode::CONFLICT, "PG0305", error.to_string(), hint)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PG0504", message, "see docs/reference for the form of requests")
    }

    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let message = chain(error);
        tracing::error!("a request failed: {message}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "PG0505", message, "the server's log says more")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, axum::Json(self.body)).into_response()
    }
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Refused(why) => Self::refused(why, "`prograde flight show` tells what the flight waits for"),
            MergeError::Git(error) => Self::internal(&error),
            MergeError::Order(error) => error.into(),
        }
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NoFlight(_) | OrderError::NothingServes(_) => Self::not_found(error.to_string()),
            OrderError::Refused(refusal @ Refusal::PastReturn { .. }) => {
                let hint = "what served before may not be able to read the data as it is: push a commit that mends it, or \
                            order `prograde rollback` with `--past-point-of-no-return` if you know that it can";
                Self::refused(refusal.to_string(), hint)
            }
            OrderError::Refused(refusal @ (Refusal::NoWayBack { .. } | Refusal::NothingBefore { .. })) => {
                let hint =
                    "`prograde flight list` shows what has served; a commit that puts things right goes the usual way";
                Self::refused(refusal.to_string(), hint)
            }
            OrderError::Refused(refusal @ (Refusal::Leaving { .. } | Refusal::OnTheWay { .. })) => {
                let hint = "`prograde flight show` tells how far it is; `--to` another release sends it there instead";
                Self::refused(refusal.to_string(), hint)
            }
            OrderError::Refused(refusal @ Refusal::NotEntitled { .. }) => {
                let hint = "`overrides_by` in the gate of `prograde.yaml` says who may; a commit that says it is a fix, by \
                            `fix:` or the trailer `Prograde-Work: fix`, passes what lets fixes pass";
                Self::refused(refusal.to_string(), hint)
            }
            OrderError::Refused(refusal @ (Refusal::NoApprover { .. } | Refusal::OwnCommit { .. })) => {
                let hint = "`approvals_by` and `author_may_approve` in the gate of `prograde.yaml` say who may";
                Self::refused(refusal.to_string(), hint)
            }
            OrderError::Refused(refusal) => {
                Self::refused(refusal.to_string(), "`prograde flight show` tells what the flight waits for")
            }
            OrderError::Append(error) => Self::internal(&error),
        }
    }
}

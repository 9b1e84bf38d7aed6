//! The server's HTTP API as the commands call it. Blocking: call it off the runtime.
//!
//! Every answer is bounded in size and every wait in time; a stream that follows may be silent for as long as its
//! caller allows. The token is sent to the server that was asked for and nowhere else: no redirect is followed and no
//! proxy is used.

mod incidents;
mod location;
pub(crate) mod registry;
mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::time::Duration;

use jiff::Timestamp;
use prograde_model::alert::history::Behaviour;
use prograde_model::ids::{EnvironmentName, ServiceName};
use prograde_model::oncall::{Made, PageId, Rota};
use prograde_model::runbook::Run;
use prograde_model::toil::Done;
use prograde_server::api::environments::{DifferenceView, ServiceView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body};

pub(crate) use location::Location;
pub(crate) use stream::{Lines, Next};

use crate::report::{self, Report};
use crate::wire::{
    AbortRequest, ApplicationView, ApplicationsView, ApproveRequest, AutomatedRepositoryView, BudgetView, ErrorBody,
    EventView, FlagSetRequest, FlagToken, FlagUnsetRequest, FlagView, FlightSummary, FlightView, LiftRequest,
    LogLineView, Ordered, OverrideRequest, PageView, QuarantineView, ReleaseEvidence, RollbackRequest, ScaleRequest,
    Status, SyncRequest, UpstreamView, VerifyView,
};

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long the start of an answer may take.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// How long the answer to a query may take.
const QUERY_WAIT: Duration = Duration::from_mins(3);
/// How long a journal's check may take.
const VERIFY_WAIT: Duration = Duration::from_hours(1);
/// How long the server may be silent in the middle of an answer.
pub(crate) const SILENCE_MAX: Duration = Duration::from_mins(1);
/// How large an answer may be, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The secret that the server knows its users by. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// A token, if it is one line of visible ASCII that a header can carry (RFC 6750, section 2.1).
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let good = !text.is_empty() && text.len() <= 4096 && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(text.to_owned()))
    }

    /// The secret itself, to be sent and not to be printed.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// A server and the right to talk to it. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: Token,
}

/// Which lines of a service's output.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogQuery {
    /// Of one environment.
    pub(crate) environment: Option<String>,
    /// The last so many.
    pub(crate) tail: Option<u32>,
    /// And those to come.
    pub(crate) follow: bool,
    /// Of the version that one flight brought.
    pub(crate) flight: Option<String>,
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:7878`.
    pub(crate) fn new(url: &str, token: Token) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("prograde/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_recv_response(Some(ANSWER_WAIT))
            .timeout_per_read(Some(SILENCE_MAX))
            .build();
        Self { agent: config.new_agent(), url: url.trim_end_matches('/').to_owned(), token }
    }

    /// The server's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `GET /api/v1/status`.
    pub(crate) fn status(&self) -> Result<Status, Report> {
        self.get("/api/v1/status", &[])
    }

    /// `GET /api/v1/environments`: of one service, or of all.
    pub(crate) fn environments(&self, service: Option<&ServiceName>) -> Result<Vec<ServiceView>, Report> {
        let query: Vec<_> = service.map(|service| ("service", service.as_str())).into_iter().collect();
        self.get("/api/v1/environments", &query)
    }

    /// `GET /api/v1/environments/difference`.
    pub(crate) fn difference(
        &self,
        service: &ServiceName,
        from: &EnvironmentName,
        to: &EnvironmentName,
    ) -> Result<DifferenceView, Report> {
        let query = [("service", service.as_str()), ("from", from.as_str()), ("to", to.as_str())];
        self.get("/api/v1/environments/difference", &query)
    }

    /// `GET /api/v1/flights/{id}/evidence`.
    pub(crate) fn evidence(&self, flight: &str) -> Result<Vec<ReleaseEvidence>, Report> {
        self.get(&format!("/api/v1/flights/{flight}/evidence"), &[])
    }

    /// `GET /api/v1/flights`: the newest first.
    pub(crate) fn flights(&self, service: Option<&ServiceName>, limit: u32) -> Result<Vec<FlightSummary>, Report> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(service.map(|service| ("service", service.as_str())));
        self.get("/api/v1/flights", &query)
    }

    /// `GET /api/v1/flights/{id}`; `id` may be abbreviated.
    pub(crate) fn flight(&self, id: &str) -> Result<FlightView, Report> {
        self.get(&format!("/api/v1/flights/{id}"), &[])
    }

    /// `GET /api/v1/flights/{id}/log`: the pipeline's output, to be read as it comes.
    pub(crate) fn flight_log(&self, id: &str) -> Result<impl Read + use<>, Report> {
        let path = format!("/api/v1/flights/{id}/log");
        Ok(self.good(self.call(&path, &[], ANSWER_WAIT)?)?.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// `GET /api/v1/budgets`.
    pub(crate) fn budgets(&self, service: Option<&str>) -> Result<Vec<BudgetView>, Report> {
        let query: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        self.get("/api/v1/budgets", &query)
    }

    /// `POST /api/v1/flights/{id}/approve`.
    pub(crate) fn approve(&self, id: &str, request: &ApproveRequest) -> Result<Ordered, Report> {
        self.post(&format!("/api/v1/flights/{id}/approve"), request, ANSWER_WAIT)
    }

    /// `POST /api/v1/flights/{id}/override`.
    pub(crate) fn override_hold(&self, id: &str, request: &OverrideRequest) -> Result<Ordered, Report> {
        self.post(&format!("/api/v1/flights/{id}/override"), request, ANSWER_WAIT)
    }

    /// `POST /api/v1/flights/{id}/abort`.
    pub(crate) fn abort(&self, id: &str, request: &AbortRequest) -> Result<Ordered, Report> {
        self.post(&format!("/api/v1/flights/{id}/abort"), request, ANSWER_WAIT)
    }

    /// `POST /api/v1/services/{service}/rollback`.
    pub(crate) fn rollback(&self, service: &ServiceName, request: &RollbackRequest) -> Result<Ordered, Report> {
        self.post(&format!("/api/v1/services/{service}/rollback"), request, ANSWER_WAIT)
    }

    /// `POST /api/v1/services/{service}/scale`.
    pub(crate) fn scale(&self, service: &ServiceName, request: &ScaleRequest) -> Result<Ordered, Report> {
        self.post(&format!("/api/v1/services/{service}/scale"), request, ANSWER_WAIT)
    }

    /// `GET /api/v1/services/{service}/logs`. `silence_max` bounds how long to wait for the next line.
    pub(crate) fn logs(
        &self,
        service: &ServiceName,
        query: &LogQuery,
        silence_max: Duration,
    ) -> Result<Lines<LogLineView>, Report> {
        let tail = query.tail.map(|tail| tail.to_string());
        let mut pairs = Vec::new();
        pairs.extend(query.environment.as_deref().map(|value| ("environment", value)));
        pairs.extend(tail.as_deref().map(|value| ("tail", value)));
        pairs.extend(query.flight.as_deref().map(|value| ("flight", value)));
        pairs.extend(query.follow.then_some(("follow", "true")));
        self.stream(&format!("/api/v1/services/{service}/logs"), &pairs, silence_max)
    }

    /// `GET /api/v1/events`: those after the event `after`, and with `follow` those to come.
    pub(crate) fn events(&self, after: u64, follow: bool, silence_max: Duration) -> Result<Lines<EventView>, Report> {
        let after = after.to_string();
        let mut query = vec![("after", after.as_str())];
        query.extend(follow.then_some(("follow", "true")));
        self.stream("/api/v1/events", &query, silence_max)
    }

    /// `GET /api/v1/quarantine`.
    pub(crate) fn quarantine(&self) -> Result<Vec<QuarantineView>, Report> {
        self.get("/api/v1/quarantine", &[])
    }

    /// `GET /api/v1/upstreams`.
    pub(crate) fn upstreams(&self) -> Result<Vec<UpstreamView>, Report> {
        self.get("/api/v1/upstreams", &[])
    }

    /// `GET /api/v1/images/automations`.
    pub(crate) fn image_automations(&self) -> Result<Vec<AutomatedRepositoryView>, Report> {
        self.get("/api/v1/images/automations", &[])
    }

    /// `GET /api/v1/applications`.
    pub(crate) fn applications(&self) -> Result<ApplicationsView, Report> {
        self.get("/api/v1/applications", &[])
    }

    /// `POST /api/v1/applications/{set}/{application}/sync`.
    pub(crate) fn sync_application(
        &self,
        set: &str,
        name: &str,
        request: &SyncRequest,
    ) -> Result<ApplicationView, Report> {
        self.post(&format!("/api/v1/applications/{set}/{name}/sync"), request, ANSWER_WAIT)
    }

    /// `POST /api/v1/quarantine/lift`.
    pub(crate) fn lift(&self, request: &LiftRequest) -> Result<Ordered, Report> {
        self.post("/api/v1/quarantine/lift", request, ANSWER_WAIT)
    }

    /// `GET /api/v1/flags`.
    pub(crate) fn flags(
        &self,
        service: Option<&ServiceName>,
        environment: Option<&EnvironmentName>,
    ) -> Result<Vec<FlagView>, Report> {
        let mut query = Vec::new();
        query.extend(service.map(|service| ("service", service.as_str())));
        query.extend(environment.map(|environment| ("environment", environment.as_str())));
        self.get("/api/v1/flags", &query)
    }

    /// `POST /api/v1/flags/set`.
    pub(crate) fn set_flag(&self, request: &FlagSetRequest) -> Result<Ordered, Report> {
        self.post("/api/v1/flags/set", request, ANSWER_WAIT)
    }

    /// `POST /api/v1/flags/unset`.
    pub(crate) fn unset_flag(&self, request: &FlagUnsetRequest) -> Result<Ordered, Report> {
        self.post("/api/v1/flags/unset", request, ANSWER_WAIT)
    }

    /// `GET /api/v1/flags/token`.
    pub(crate) fn flag_token(&self) -> Result<FlagToken, Report> {
        self.get("/api/v1/flags/token", &[])
    }

    /// `GET /api/v1/dora`.
    pub(crate) fn dora(&self, query: &[(&str, String)]) -> Result<prograde_model::dora::Report, Report> {
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.get("/api/v1/dora", &query)
    }

    /// `GET /api/v1/alerts/behaviour`.
    pub(crate) fn alert_behaviour(&self, since: Timestamp) -> Result<BTreeMap<String, Behaviour>, Report> {
        self.get("/api/v1/alerts/behaviour", &[("since", &since.to_string())])
    }

    /// `GET /api/v1/pages`.
    pub(crate) fn pages(&self, all: bool) -> Result<Vec<PageView>, Report> {
        self.get("/api/v1/pages", if all { &[("all", "true")] } else { &[] })
    }

    /// `GET /api/v1/pages/{page}`.
    pub(crate) fn page(&self, page: PageId) -> Result<PageView, Report> {
        self.get(&format!("/api/v1/pages/{page}"), &[])
    }

    /// An order about a page: `POST /api/v1/pages`, or below one of them.
    pub(crate) fn answer_page(&self, path: &str, request: &impl Serialize) -> Result<PageView, Report> {
        self.post(path, request, ANSWER_WAIT)
    }

    /// `GET /api/v1/oncall`.
    pub(crate) fn rota(&self) -> Result<Rota, Report> {
        self.get("/api/v1/oncall", &[])
    }

    /// `GET /api/v1/oncall/changes`.
    pub(crate) fn oncall_changes(&self, all: bool) -> Result<Vec<Made>, Report> {
        self.get("/api/v1/oncall/changes", &[("all", if all { "true" } else { "false" })])
    }

    /// Changes who is on call, or takes a change back.
    pub(crate) fn change_oncall(&self, path: &str, request: &impl Serialize) -> Result<Made, Report> {
        self.post(path, request, ANSWER_WAIT)
    }

    /// `GET /api/v1/toil`.
    pub(crate) fn toil(&self, since: Timestamp) -> Result<Vec<Done>, Report> {
        self.get("/api/v1/toil", &[("since", &since.to_string())])
    }

    /// `GET /api/v1/runbooks/runs`.
    pub(crate) fn runbook_runs(&self) -> Result<Vec<Run>, Report> {
        self.get("/api/v1/runbooks/runs", &[])
    }

    /// Tells of a run of a runbook.
    pub(crate) fn runbook_run(&self, path: &str, request: &impl Serialize) -> Result<Run, Report> {
        self.post(path, request, ANSWER_WAIT)
    }

    /// A question in PromQL: the `data` of Prometheus' HTTP API.
    pub(crate) fn prometheus(&self, path: &str, query: &[(&str, String)]) -> Result<serde_json::Value, Report> {
        #[derive(serde::Deserialize)]
        struct Failed {
            error: String,
        }
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut answer = self.call(&format!("/prometheus/api/v1/{path}"), &query, QUERY_WAIT)?;
        let status = answer.status();
        let text = self.whole(&mut answer)?;
        if let Ok(failed) = serde_json::from_slice::<Failed>(&text)
            && !status.is_success()
        {
            return Err(Report::new("PG0602", failed.error).hint("`prograde explain PG0602` says what can be done"));
        }
        if let Ok(body) = serde_json::from_slice::<ErrorBody>(&text) {
            return Err(Report::from_answer(status.as_u16(), body));
        }
        let strange = |error: serde_json::Error| self.strange("what it answered is not what was expected", &error);
        let mut whole: serde_json::Value = serde_json::from_slice(&text).map_err(strange)?;
        Ok(whole.get_mut("data").map(serde_json::Value::take).unwrap_or_default())
    }

    /// `POST /api/v1/journal/verify`.
    pub(crate) fn verify(&self) -> Result<VerifyView, Report> {
        self.post("/api/v1/journal/verify", &serde_json::json!({}), VERIFY_WAIT)
    }

    /// `GET /api/v1/journal/export`: `CloudEvents`, one a line.
    pub(crate) fn export(&self) -> Result<Lines<serde_json::Value>, Report> {
        self.stream("/api/v1/journal/export", &[], SILENCE_MAX)
    }

    /// A JSON answer. `path` starts with `/` and is already encoded; the query is encoded here.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Report> {
        let answer = self.call(path, query, ANSWER_WAIT)?;
        self.decoded(answer)
    }

    /// A JSON answer to a JSON body.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<T, Report> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let config = request.config().timeout_recv_response(Some(wait)).timeout_per_read(Some(wait)).build();
        let answer = config.header("Authorization", self.authorization()).send_json(body);
        self.decoded(answer.map_err(|error| self.unreachable(&error))?)
    }

    /// An answer of one JSON document a line.
    pub(crate) fn stream<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        silence_max: Duration,
    ) -> Result<Lines<T>, Report> {
        let answer = self.good(self.call(path, query, silence_max)?)?;
        Ok(Lines::new(answer.into_body().into_with_config().limit(u64::MAX).reader()))
    }

    fn call(&self, path: &str, query: &[(&str, &str)], silence_max: Duration) -> Result<Response<Body>, Report> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut request = request.config().timeout_per_read(Some(silence_max)).build();
        for (name, value) in query {
            request = request.query(name, value);
        }
        request.header("Authorization", self.authorization()).call().map_err(|error| self.unreachable(&error))
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.token.expose())
    }

    fn decoded<T: DeserializeOwned>(&self, answer: Response<Body>) -> Result<T, Report> {
        let mut answer = self.good(answer)?;
        let text = self.whole(&mut answer)?;
        serde_json::from_slice(&text).map_err(|error| self.strange("what it answered is not what was expected", &error))
    }

    /// The answer, if its status is one of success.
    fn good(&self, mut answer: Response<Body>) -> Result<Response<Body>, Report> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = self.whole(&mut answer)?;
        match serde_json::from_slice::<ErrorBody>(&text) {
            Ok(body) => Err(Report::from_answer(status.as_u16(), body)),
            Err(error) => Err(self.strange(&format!("it answered with HTTP status {}", status.as_u16()), &error)),
        }
    }

    fn whole(&self, answer: &mut Response<Body>) -> Result<Vec<u8>, Report> {
        answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| self.strange("its answer broke off", &error))
    }

    fn unreachable(&self, error: &ureq::Error) -> Report {
        Report::new(report::UNREACHABLE, format!("can't reach the server at {}", self.url))
            .because(error)
            .hint("`prograde serve` starts one; `--server URL` or PROGRADE_URL names another")
    }

    fn strange(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> Report {
        Report::new(report::STRANGE_ANSWER, format!("{} does not answer as a Prograde server does: {what}", self.url))
            .because(error)
            .hint("check the address; client and server should have the same version (`prograde --version`)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_visible_word_and_never_shown() {
        let token = Token::new(" 0123abcd\n").unwrap();
        assert_eq!(token.expose(), "0123abcd");
        assert_eq!(format!("{token:?}"), "Token(***)");
        for bad in ["", " \n", "two words", "a\r\nX-Evil: 1", "ü", &"a".repeat(4097)] {
            assert_eq!(Token::new(bad), None, "{bad:?}");
        }
    }
}

//! The API's OpenAPI document (OpenAPI 3.1), from the routes' own list.

use axum::Json;
use serde_json::{Value, json};

pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

/// Method, path, summary, what it takes, what it answers.
const OPERATIONS: [(&str, &str, &str, &str, &str); 67] = [
    ("get", "/api/v1/status", "The server and everything that it looks after", "", "Status"),
    ("get", "/api/v1/environments", "Which release is where, service by service", "", "[ServiceView]"),
    ("get", "/api/v1/environments/difference", "How two environments of a service differ", "", "DifferenceView"),
    ("get", "/api/v1/flights", "Flights, the newest first", "", "[FlightSummary]"),
    ("get", "/api/v1/flights/{id}", "All of a flight, by its id or the beginning of it", "", "FlightView"),
    ("get", "/api/v1/flights/{id}/evidence", "What vouches for its images, checked now", "", "[ReleaseEvidence]"),
    ("get", "/api/v1/flights/{id}/log", "What the pipeline's steps printed", "", "text/plain"),
    ("post", "/api/v1/flights/{id}/approve", "Let a flight into an environment", "ApproveRequest", "Ordered"),
    (
        "post",
        "/api/v1/flights/{id}/override",
        "Let a flight past something that holds its gate",
        "OverrideRequest",
        "Ordered",
    ),
    ("post", "/api/v1/flights/{id}/abort", "End a flight where it is", "AbortRequest", "Ordered"),
    (
        "post",
        "/api/v1/services/{service}/rollback",
        "Take a release out of an environment",
        "RollbackRequest",
        "Ordered",
    ),
    (
        "post",
        "/api/v1/services/{service}/scale",
        "Give what serves another number of replicas",
        "ScaleRequest",
        "Ordered",
    ),
    ("get", "/api/v1/services/{service}/logs", "What a service printed, one JSON object a line", "", "LogLineView"),
    ("get", "/api/v1/quarantine", "Digests that may not enter an environment", "", "[QuarantineView]"),
    ("post", "/api/v1/quarantine/lift", "Let a digest into an environment again", "LiftRequest", "Ordered"),
    (
        "get",
        "/api/v1/upstreams",
        "Repositories on Git hosts that are followed, and the copy of the deployment repository",
        "",
        "[UpstreamView]",
    ),
    (
        "get",
        "/api/v1/images/automations",
        "Images that are kept up to date, by repository: what is chosen and committed",
        "",
        "[AutomatedRepositoryView]",
    ),
    ("get", "/api/v1/applications", "Applications that are kept in clusters", "", "ApplicationsView"),
    ("get", "/api/v1/applications/{set}/{application}", "One of them", "", "ApplicationView"),
    (
        "post",
        "/api/v1/applications/{set}/{application}/sync",
        "Bring it to what Git says",
        "SyncRequest",
        "ApplicationView",
    ),
    ("post", "/webhooks/git/{service}", "A Git host says that something was pushed; signed by its secret", "", ""),
    ("get", "/api/v1/flags", "Feature flags where they are evaluated, with what people have set", "", "[FlagView]"),
    ("post", "/api/v1/flags/set", "Set a flag where its service serves", "FlagSetRequest", "Ordered"),
    ("post", "/api/v1/flags/unset", "Leave a flag to Git again", "FlagUnsetRequest", "Ordered"),
    ("get", "/api/v1/flags/token", "What services show to evaluate flags", "", "FlagToken"),
    (
        "post",
        "/ofrep/{environment}/{service}/ofrep/v1/evaluate/flags",
        "OFREP: all flags for one user",
        "bulkEvaluationRequest",
        "bulkEvaluationSuccess",
    ),
    (
        "post",
        "/ofrep/{environment}/{service}/ofrep/v1/evaluate/flags/{key}",
        "OFREP: one flag for one user",
        "evaluationRequest",
        "evaluationSuccess",
    ),
    ("get", "/api/v1/incidents", "Incidents that are open, the newest first; with `all`, all", "", "[IncidentView]"),
    ("post", "/api/v1/incidents", "Declare an incident", "DeclareRequest", "IncidentOrdered"),
    ("get", "/api/v1/incidents/trend", "Incidents by month", "", "[Month]"),
    ("get", "/api/v1/incidents/{id}", "An incident, with the likeliest suspect while it is open", "", "IncidentView"),
    ("post", "/api/v1/incidents/{id}/order", "Order something of an incident", "IncidentRequest", "IncidentOrdered"),
    ("post", "/api/v1/incidents/{id}/mitigate", "Do something to end it", "MitigateRequest", "IncidentOrdered"),
    ("get", "/api/v1/incidents/{id}/ways", "What may end it, what has helped before first", "", "[Offer]"),
    ("get", "/api/v1/incidents/{id}/suspects", "What changed before it, the likeliest first", "", "[Suspect]"),
    ("get", "/api/v1/incidents/{id}/timeline", "What happened around it, in order", "", "[Entry]"),
    ("get", "/api/v1/incidents/{id}/postmortem", "Its post-mortem, or a draft of one", "", "PostmortemView"),
    ("post", "/api/v1/incidents/{id}/postmortem", "Publish its post-mortem", "PostmortemRequest", "IncidentOrdered"),
    ("get", "/api/v1/actions", "Action items, those that would have saved most first", "", "[Ranked]"),
    ("post", "/api/v1/actions", "Add an action item", "ActionRequest", "IncidentOrdered"),
    (
        "post",
        "/api/v1/actions/{id}/order",
        "Close an action item or let releases pass",
        "ActionOrderRequest",
        "IncidentOrdered",
    ),
    ("get", "/status.json", "What everybody may know", "", "StatusPage"),
    (
        "get",
        "/api/v1/dora",
        "The DORA measures of a range, from the journal; by `service`, `day`, `week`, `month` or `quarter`",
        "",
        "Report",
    ),
    ("get", "/api/v1/toil", "What people did by hand", "", "[Done]"),
    ("get", "/api/v1/alerts/behaviour", "How alerts behaved, and what people did about them", "", "{name: Behaviour}"),
    ("get", "/api/v1/pages", "Pages that are not over; with `all`, those that ended as well", "", "[PageView]"),
    (
        "post",
        "/api/v1/pages",
        "Page whoever is on call, or try out whether they are reached",
        "RaiseRequest",
        "PageView",
    ),
    ("get", "/api/v1/pages/{page}", "One page", "", "PageView"),
    ("post", "/api/v1/pages/{page}/acknowledge", "Take a page", "AnswerRequest", "PageView"),
    ("post", "/api/v1/pages/{page}/snooze", "Put a page off", "SnoozeRequest", "PageView"),
    ("post", "/api/v1/pages/{page}/resolve", "Say that a page is over", "AnswerRequest", "PageView"),
    ("post", "/api/v1/pages/{page}/rate", "Say whether a page was worth it", "RateRequest", "PageView"),
    (
        "get",
        "/api/v1/oncall",
        "Who is on call, and whom pages reach: `oncall.yaml` with what was changed since",
        "",
        "Rota",
    ),
    (
        "get",
        "/api/v1/oncall/changes",
        "Changes of who is on call; with `all`, those that are over as well",
        "",
        "[Made]",
    ),
    ("post", "/api/v1/oncall/changes", "Let somebody take another's place", "Change", "Made"),
    ("post", "/api/v1/oncall/changes/{id}/withdraw", "Take a change back", "AnswerRequest", "Made"),
    ("get", "/api/v1/oncall/{schedule}", "A schedule's next 90 days as iCalendar", "", "text/calendar"),
    ("get", "/api/v1/runbooks/runs", "Runs of runbooks, in the order in which they began", "", "[Run]"),
    ("post", "/api/v1/runbooks/runs", "Begin to go through a runbook", "Begin", "Run"),
    ("get", "/api/v1/runbooks/runs/{run}", "One run", "", "Run"),
    ("post", "/api/v1/runbooks/runs/{run}/steps", "Record what came of a step", "Stepped", "Run"),
    ("post", "/api/v1/runbooks/runs/{run}/end", "End a run", "EndRunRequest", "Run"),
    ("get", "/api/v1/budgets", "Error budgets: what is left of each, and how fast it goes", "", "[BudgetView]"),
    ("get", "/api/v1/events", "The journal's events, one JSON object a line", "", "EventView"),
    ("post", "/api/v1/journal/verify", "Check the journal's hashes from end to end", "", "VerifyView"),
    ("get", "/api/v1/journal/export", "The journal as CloudEvents, one JSON object a line", "", "CloudEvent"),
    ("get", "/api/v1/openapi.json", "This document", "", "application/json"),
];

/// What may stand in the query of a path, and whether it must.
const QUERIES: [(&str, &str, bool); 21] = [
    ("/api/v1/alerts/behaviour", "since", true),
    ("/api/v1/environments", "service", false),
    ("/api/v1/environments/difference", "service", true),
    ("/api/v1/environments/difference", "from", true),
    ("/api/v1/environments/difference", "to", true),
    ("/api/v1/toil", "since", true),
    ("/api/v1/pages", "all", false),
    ("/api/v1/oncall/changes", "all", false),
    ("/api/v1/budgets", "service", false),
    ("/api/v1/incidents", "all", false),
    ("/api/v1/incidents", "service", false),
    ("/api/v1/incidents/trend", "since", true),
    ("/api/v1/incidents/trend", "time_zone", false),
    ("/api/v1/incidents/{id}/suspects", "hours", false),
    ("/api/v1/dora", "since", true),
    ("/api/v1/dora", "until", false),
    ("/api/v1/dora", "by", false),
    ("/api/v1/dora", "service", false),
    ("/api/v1/dora", "environment", false),
    ("/api/v1/dora", "time_zone", false),
    ("/api/v1/dora", "levels", false),
];

/// The whole document.
pub fn document() -> Value {
    let mut paths = serde_json::Map::new();
    for (method, path, summary, takes, answers) in OPERATIONS {
        let mut operation = json!({
            "summary": summary,
            "parameters": parameters(path),
            "responses": {
                "200": {"description": format!("answers {answers}")},
                "default": {"description": "ErrorBody: a code with a page in docs/errors, what went wrong, what to do"},
            },
        });
        if let (false, Some(fields)) = (takes.is_empty(), operation.as_object_mut()) {
            fields.insert(
                "requestBody".into(),
                json!({"required": true, "description": takes, "content": {"application/json": {}}}),
            );
        }
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(methods) = entry.as_object_mut() {
            methods.insert(method.to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Prograde", "version": env!("CARGO_PKG_VERSION")},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": paths,
    })
}

fn parameters(path: &str) -> Value {
    let parameter = |name: &str, place: &str, required: bool| json!({"name": name, "in": place, "required": required, "schema": {"type": "string"}});
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let queries = QUERIES.iter().filter(|(of, ..)| *of == path);
    let queries = queries.map(|(_, name, required)| parameter(name, "query", *required));
    names.map(|name| parameter(name, "path", true)).chain(queries).collect()
}

//! What can be wrong with metrics beyond their types.

use std::collections::BTreeSet;

use super::template::unknown;
use super::{Job, Metric, PLACEHOLDERS, Request};
use crate::judge::{Analysis, Undecided};
use crate::quantity::Period;
use crate::service::{Problem, is_plain_path};

/// The most metrics that an environment may have.
pub const METRICS_MAX: usize = 32;
/// The most requests of one metric.
const REQUESTS_MAX: usize = 32;
/// The most arguments of a job.
const ARGS_MAX: usize = 64;
/// The most synthetic requests a second.
const PER_SECOND_MAX: u32 = 100;
/// The most headers of one webhook.
const HEADERS_MAX: usize = 16;
/// The longest query, address, header or text, in bytes.
const TEXT_MAX: usize = 4096;

/// Parts of header names whose values are secrets.
const SECRET: [&str; 8] = ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "credential"];
/// Headers that are ours to set.
const OURS: [&str; 6] = ["host", "content-type", "content-length", "transfer-encoding", "connection", "user-agent"];

/// All that is wrong with an analysis's metrics, with paths from the analysis on. `steps` says how long each step is
/// judged at least; `None` is a strategy under which nothing ever is.
pub fn problems(analysis: &Analysis, steps: Option<&[Period]>) -> Vec<Problem> {
    let metrics = &analysis.metrics;
    let mut found = Found::default();
    synthetic_problems(analysis, &mut found);
    if metrics.is_empty() {
        return found.0;
    }
    let Some(steps) = steps else {
        found.add(
            &["metrics"],
            "metrics have no meaning for this strategy without a watch",
            "write `strategy: canary`, or `watch: 15m`, or remove the metrics",
        );
        return found.0;
    };
    if metrics.len() > METRICS_MAX {
        let message = format!("{} metrics are too many, at most {METRICS_MAX} are measured", metrics.len());
        found.add(&["metrics"], message, "let one query or webhook look at several things");
        return found.0;
    }
    let mut names = BTreeSet::new();
    for (index, metric) in metrics.iter().enumerate() {
        let index = index.to_string();
        if !names.insert(&metric.name) {
            let message = format!("metric {} is declared twice", metric.name);
            found.add(&["metrics", &index, "name"], message, "give each its own name");
        }
        let mut at = At { index: &index, found: &mut found };
        at.source(metric);
        at.limits(metric);
        at.times(metric, steps, analysis.wait_max);
    }
    found.0
}

/// What is wrong with the requests that are sent where users' are too few.
fn synthetic_problems(analysis: &Analysis, found: &mut Found) {
    match (&analysis.synthetic, analysis.undecided) {
        (None, Undecided::Extend | Undecided::Ask) => {}
        (None, Undecided::Synthetic) => found.add(
            &["undecided"],
            "there are no requests to send",
            "add `synthetic: { requests: [ { get: /healthz } ] }`",
        ),
        (Some(_), Undecided::Extend | Undecided::Ask) => {
            found.add(&["synthetic"], "these requests are never sent", "write `undecided: synthetic`, or remove them");
        }
        (Some(synthetic), Undecided::Synthetic) => {
            requests(&["synthetic"], &synthetic.requests, found);
            if !(1..=PER_SECOND_MAX).contains(&synthetic.per_second) {
                let message = format!("{} requests a second can't be sent", synthetic.per_second);
                found.add(&["synthetic", "per_second"], message, format!("write 1 to {PER_SECOND_MAX}"));
            }
        }
    }
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        self.0.push(Problem { path, message: message.into(), hint: hint.into() });
    }
}

/// One metric's place in the document.
struct At<'a> {
    index: &'a str,
    found: &'a mut Found,
}

impl At<'_> {
    fn add(&mut self, below: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        let path = [&["metrics", self.index], below].concat();
        self.found.add(&path, message, hint);
    }

    fn source(&mut self, metric: &Metric) {
        match (&metric.prometheus, &metric.webhook, &metric.requests, &metric.job) {
            (Some(query), None, None, None) => {
                if let Some(url) = &query.url {
                    self.url("prometheus", url, false);
                }
                self.query(&query.query);
                match &query.url {
                    Some(_) => self.token_file("prometheus", query.bearer_token_file.as_deref()),
                    None if query.bearer_token_file.is_some() => self.add(
                        &["prometheus", "bearer_token_file"],
                        "the embedded store needs no token",
                        "leave it out, or say with `url` which server it is for",
                    ),
                    None => {}
                }
            }
            (None, Some(webhook), None, None) => {
                self.url("webhook", &webhook.url, true);
                for (name, value) in &webhook.headers {
                    self.header(name, value);
                }
                if webhook.headers.len() > HEADERS_MAX {
                    let message = format!("{} headers are too many", webhook.headers.len());
                    self.add(&["webhook", "headers"], message, format!("send at most {HEADERS_MAX}"));
                }
                self.token_file("webhook", webhook.bearer_token_file.as_deref());
            }
            (None, None, Some(list), None) => requests(&["metrics", self.index], list, self.found),
            (None, None, None, Some(job)) => self.job(job),
            (None, None, None, None) => self.add(
                &[],
                format!("metric {} does not say how it is measured", metric.name),
                "give it one of `prometheus`, `webhook`, `requests` and `job`",
            ),
            (Some(_), ..) | (None, Some(_), ..) | (None, None, Some(_), Some(_)) => self.add(
                &[],
                format!("metric {} is measured in more than one way", metric.name),
                "make two metrics of it",
            ),
        }
    }

    fn query(&mut self, query: &str) {
        let place = &["prometheus", "query"];
        if query.trim().is_empty() {
            self.add(place, "the query is empty", "write PromQL that gives one number, such as `max(queue_depth)`");
        } else if query.len() > TEXT_MAX {
            self.add(place, format!("the query is longer than {TEXT_MAX} bytes"), "make a recording rule of it");
        }
        if let Some(name) = unknown(query) {
            let known = PLACEHOLDERS.map(|name| format!("`{{{{{name}}}}}`")).join(", ");
            self.add(place, format!("there is no placeholder {name:?}"), format!("use one of {known}"));
        }
    }

    /// An absolute address without a secret in it. A webhook's may have a query.
    fn url(&mut self, source: &str, url: &str, query: bool) {
        let place = &[source, "url"];
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let plain = url.len() <= TEXT_MAX && url.bytes().all(|b| b.is_ascii_graphic());
        match authority {
            Some(authority) if authority.contains('@') => self.add(
                place,
                "the address has a user or a password in it",
                "a repository is no place for secrets; see `bearer_token_file`",
            ),
            Some(authority) if plain && is_authority(authority) => {
                let names = url.split(['?', '&']).skip(1).filter_map(|pair| pair.split('=').next());
                if names.map(str::to_ascii_lowercase).any(|name| SECRET.iter().any(|part| name.contains(part))) {
                    let hint = "a repository is no place for secrets; see `bearer_token_file`";
                    self.add(place, "the address has a secret in it", hint);
                } else if url.contains('#') || (!query && url.contains('?')) {
                    self.add(place, "the address has more than a path", "end it before `?` and `#`");
                }
            }
            Some(_) | None => {
                self.add(place, "this is not an address", "write it like `http://127.0.0.1:9090`");
            }
        }
    }

    fn header(&mut self, name: &str, value: &str) {
        let place = &["webhook", "headers", name];
        let lower = name.to_ascii_lowercase();
        if SECRET.iter().any(|part| lower.contains(part)) {
            self.add(
                place,
                format!("header {name:?} carries a secret, which everybody who can read the repository could read"),
                "use `bearer_token_file`, which names a file on the server",
            );
        } else if OURS.contains(&lower.as_str()) {
            self.add(place, format!("header {name:?} is not yours to set"), "remove it");
        } else if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            self.add(place, format!("{name:?} is not a header's name"), "use letters, digits and `-`");
        } else if value.len() > TEXT_MAX || !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            self.add(place, format!("the value of header {name:?} can't be sent"), "use printable ASCII");
        }
    }

    fn token_file(&mut self, source: &str, name: Option<&str>) {
        if name.is_some_and(|name| !is_plain_path(name) || name.contains('/')) {
            self.add(
                &[source, "bearer_token_file"],
                "this is not a plain file name",
                "name a file in the server's `--metric-tokens` folder for that address",
            );
        }
    }

    fn job(&mut self, job: &Job) {
        let long = |text: &String| text.len() > TEXT_MAX || text.contains('\0');
        if job.args.is_empty() || job.args.len() > ARGS_MAX || job.args.iter().any(long) {
            let message = format!("these are not 1 to {ARGS_MAX} arguments of up to {TEXT_MAX} bytes");
            self.add(&["job", "args"], message, "write `args: [\"check\"]`: without any it would be another replica");
        }
        for (name, value) in &job.env {
            let lower = name.to_ascii_lowercase().replace('_', "-");
            if SECRET.iter().any(|part| lower.contains(part)) {
                let message = format!(
                    "variable {name:?} carries a secret, which everybody who can read the repository could read"
                );
                self.add(
                    &["job", "env", name],
                    message,
                    "a job has the workload's variables: put it into its `Secret`",
                );
            } else if name.is_empty() || name.contains(['=', '\0']) || long(value) || name.starts_with("PROGRADE_") {
                let message = format!("{name:?} is not yours to set, or no variable");
                self.add(&["job", "env", name], message, "use letters, digits and `_`, and not `PROGRADE_`");
            }
        }
    }

    fn limits(&mut self, metric: &Metric) {
        for (name, limit) in [("below", metric.below), ("above", metric.above)] {
            if limit.is_some_and(|limit| !limit.is_finite()) {
                self.add(&[name], "the limit is not a finite number", "write a number, or remove the limit");
            }
        }
        if let (Some(below), Some(above)) = (metric.below, metric.above)
            && below <= above
        {
            let message = format!("no number is above {above} and below {below}");
            self.add(&["below"], message, "`above` is the lower limit, `below` the upper one");
        }
        if metric.prometheus.is_some() && !metric.has_limit() {
            let message = format!("metric {} has no limit", metric.name);
            self.add(&[], message, "add `below:`, `above:` or both");
        }
        if (metric.requests.is_some() || metric.job.is_some()) && metric.has_limit() {
            let message = format!("metric {} has limits and no number to compare with them", metric.name);
            self.add(
                &[],
                message,
                "remove `below` and `above`; a request is answered as said or not, a job ends well or not",
            );
        }
    }

    fn times(&mut self, metric: &Metric, steps: &[Period], wait_max: Period) {
        if metric.every < Period::seconds(1) {
            self.add(&["every"], "it would be measured without a pause", "write `1s` or more");
        }
        let (most, hint) = if metric.job.is_some() { (1800, "write up to `30m`") } else { (60, "write up to `1m`") };
        if metric.timeout.is_zero() || metric.timeout > Period::seconds(most) {
            self.add(&["timeout"], format!("{} is no time to wait for an answer", metric.timeout), hint);
        }
        for (name, count) in [("errors_max", metric.errors_max), ("measurements_min", metric.measurements_min)] {
            if count == 0 {
                self.add(&[name], format!("`{name}` is 0"), "write 1 or more, or remove it for the default");
            }
        }
        let needs = metric.every.duration().saturating_mul(i32::try_from(metric.measurements_min).unwrap_or(i32::MAX));
        let has = steps.iter().map(|bake| bake.duration().saturating_add(wait_max.duration())).min();
        if has.is_some_and(|has| needs > has) {
            let message = format!(
                "{} measurements every {} take longer than a step lasts",
                metric.measurements_min, metric.every
            );
            let hint = "measure more often, ask for fewer measurements, or let the step bake longer";
            self.add(&["measurements_min"], message, hint);
        }
    }
}

/// What is wrong with requests below a place.
fn requests(place: &[&str], requests: &[Request], found: &mut Found) {
    let mut add = |below: &[&str], message: String, hint: String| found.add(&[place, below].concat(), message, hint);
    if requests.is_empty() || requests.len() > REQUESTS_MAX {
        let message = format!("{} requests, expected 1 to {REQUESTS_MAX}", requests.len());
        add(&["requests"], message, "write `- get: /healthz`, or make two metrics of it".into());
    }
    for (index, request) in requests.iter().enumerate() {
        let index = index.to_string();
        let path = request.get.starts_with('/') && request.get.bytes().all(|b| b.is_ascii_graphic());
        if !path || request.get.len() > TEXT_MAX {
            let message = format!("{:?} is not a path", request.get.chars().take(100).collect::<String>());
            add(&["requests", &index, "get"], message, "start it with `/`, such as `/healthz`".into());
        }
        if !(200..=599).contains(&request.status) {
            let message = format!("{} is not a final HTTP status", request.status);
            add(&["requests", &index, "status"], message, "use 200 to 599".into());
        }
        if request.body_contains.as_ref().is_some_and(|text| text.is_empty() || text.len() > TEXT_MAX) {
            let hint = format!("1 to {TEXT_MAX} bytes, or remove it");
            add(&["requests", &index, "body_contains"], "the text is empty or too long".into(), hint);
        }
    }
}

/// A host's name or address and a port (RFC 3986, section 3.2, without user information).
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => {
            let (host, port) = text.split_at(at);
            (host, port.get(1..))
        }
        Some(_) | None => (text, None),
    };
    let name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = six.map_or_else(|| name(host), |six| six.parse::<core::net::Ipv6Addr>().is_ok());
    !host.is_empty() && good && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

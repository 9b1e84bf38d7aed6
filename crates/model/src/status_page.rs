//! What everybody may know: how services are, and the incidents that were published. One page without scripts, and the same
//! as data.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentName, ServiceName, Target};
use crate::incident::{Incident, IncidentId, Incidents, Severity, Stage, Update};

/// For how long an incident that is over stays on the page.
const SHOWN: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How many incidents are on the page.
const INCIDENTS_MAX: usize = 50;

/// The page's content. It has nothing in it but what is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusPage {
    /// When it was made.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// How services are.
    pub services: Vec<PublicService>,
    /// Incidents that were published, the newest first.
    pub incidents: Vec<PublicIncident>,
}

/// How one service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicService {
    /// The service.
    pub service: ServiceName,
    /// Where.
    pub environment: EnvironmentName,
    /// How it is.
    pub state: ServiceState,
}

/// How a service is. Later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Nothing is known to be wrong.
    Operational,
    /// The harm of an incident has ended; it is still looked at.
    Recovering,
    /// An incident hurts some.
    Degraded,
    /// An incident hurts most, or nothing answers.
    Outage,
}

/// An incident as everybody may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicIncident {
    /// Its name.
    #[schemars(with = "String")]
    pub id: IncidentId,
    /// What happens to users.
    pub title: String,
    /// The service that is hurt.
    pub service: ServiceName,
    /// Where.
    pub environment: EnvironmentName,
    /// What work on it is about.
    pub stage: String,
    /// Since when users are hurt.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// When that ended.
    #[schemars(with = "Option<String>")]
    pub mitigated_at: Option<Timestamp>,
    /// When it was over.
    #[schemars(with = "Option<String>")]
    pub resolved_at: Option<Timestamp>,
    /// What was published, the newest first.
    pub updates: Vec<PublicUpdate>,
}

/// What was published of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicUpdate {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What work was about then.
    pub stage: String,
    /// The text.
    pub message: String,
}

impl StatusPage {
    /// What everybody may know of `places`, of which `answers` says whether anything answers there.
    pub fn of<'a>(
        incidents: &Incidents,
        places: impl IntoIterator<Item = &'a Target>,
        answers: impl Fn(&Target) -> bool,
        now: Timestamp,
    ) -> Self {
        let shown = |incident: &&Incident| {
            let over = incident.resolved.as_ref().is_some_and(|(at, _)| now.duration_since(*at) > SHOWN);
            incident.public && incident.merged_into.is_none() && !over
        };
        let services = places.into_iter().map(|target| PublicService {
            service: target.service.clone(),
            environment: target.environment.clone(),
            state: state(incidents, target, answers(target)),
        });
        let incidents = incidents.incidents().rev().filter(shown).take(INCIDENTS_MAX).map(public).collect();
        Self { at: now, services: services.collect(), incidents }
    }

    /// The page in HTML (WHATWG HTML), in one file and without scripts.
    pub fn html(&self) -> String {
        let worst = self.services.iter().map(|service| service.state).max().unwrap_or(ServiceState::Operational);
        let mut html = format!("{HEAD}<h1 class=\"{}\">{}</h1>\n", class(worst), headline(worst));
        if !self.services.is_empty() {
            html.push_str("<table>\n<tr><th>Service</th><th>Environment</th><th>State</th></tr>\n");
            for PublicService { service, environment, state } in &self.services {
                let (class, word) = (class(*state), class(*state));
                put(
                    &mut html,
                    format_args!("<tr><td>{service}</td><td>{environment}</td><td class=\"{class}\">{word}</td></tr>"),
                );
            }
            html.push_str("</table>\n");
        }
        html.push_str("<h2>Incidents</h2>\n");
        if self.incidents.is_empty() {
            html.push_str("<p>None in the last two weeks.</p>\n");
        }
        for incident in &self.incidents {
            article(&mut html, incident);
        }
        put(&mut html, format_args!("<footer>As of {}</footer>\n</body>\n</html>", moment(self.at)));
        html
    }
}

fn state(incidents: &Incidents, target: &Target, answers: bool) -> ServiceState {
    let of_incident = |incident: &Incident| match (incident.mitigated_at, incident.severity) {
        (Some(_), _) => ServiceState::Recovering,
        (None, Severity::Sev1) => ServiceState::Outage,
        (None, Severity::Sev2 | Severity::Sev3) => ServiceState::Degraded,
        (None, Severity::Sev4) => ServiceState::Operational,
    };
    let published = incidents.open().filter(|incident| incident.public && incident.target == *target);
    let seen = if answers { ServiceState::Operational } else { ServiceState::Outage };
    published.map(of_incident).max().unwrap_or(ServiceState::Operational).max(seen)
}

fn public(incident: &Incident) -> PublicIncident {
    let update = |update: &Update| PublicUpdate {
        at: update.at,
        stage: stage(update.stage).to_owned(),
        message: update.message.clone(),
    };
    PublicIncident {
        id: incident.id,
        title: incident.title.clone(),
        service: incident.target.service.clone(),
        environment: incident.target.environment.clone(),
        stage: if incident.mitigated_at.is_some() && incident.is_open() { "mitigated" } else { stage(incident.stage) }
            .to_owned(),
        since: incident.since,
        mitigated_at: incident.mitigated_at,
        resolved_at: incident.resolved.as_ref().map(|(at, _)| *at),
        updates: incident.updates.iter().rev().map(update).collect(),
    }
}

/// What everybody calls it.
fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Detect | Stage::Triage | Stage::Declare => "identified",
        Stage::Mitigate => "mitigating",
        Stage::Investigate => "investigating",
        Stage::Resolve => "resolved",
    }
}

fn class(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Operational => "operational",
        ServiceState::Recovering => "recovering",
        ServiceState::Degraded => "degraded",
        ServiceState::Outage => "outage",
    }
}

fn headline(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Operational => "All services are operational",
        ServiceState::Recovering => "Services are recovering",
        ServiceState::Degraded => "Some services are degraded",
        ServiceState::Outage => "There is an outage",
    }
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<meta http-equiv=\"refresh\" content=\"60\">
<title>Status</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #ccc; }
article { border: 1px solid #ccc; border-radius: .4rem; padding: 0 1rem; margin: 1rem 0; }
time, footer { color: #555; }
.message { white-space: pre-wrap; overflow-wrap: anywhere; }
.operational { color: #116329; } .recovering { color: #7a4d00; } .degraded { color: #8a3a00; } .outage { color: #a40e26; }
</style>
</head>
<body>
";

fn article(html: &mut String, incident: &PublicIncident) {
    let PublicIncident { id, title, service, environment, stage, since, .. } = incident;
    let title = escaped(title);
    put(html, format_args!("<article>\n<h3>{title}</h3>"));
    put(html, format_args!("<p>{id} in {service} ({environment}): {stage}, since <time>{}</time></p>", moment(*since)));
    if let Some(at) = incident.resolved_at {
        put(html, format_args!("<p>Resolved <time>{}</time></p>", moment(at)));
    }
    for PublicUpdate { at, stage, message } in &incident.updates {
        let (at, message) = (moment(*at), escaped(message));
        put(html, format_args!("<p><time>{at}</time> {stage}</p>\n<p class=\"message\">{message}</p>"));
    }
    html.push_str("</article>\n");
}

/// Writing to a text can't fail.
fn put(html: &mut String, what: std::fmt::Arguments<'_>) {
    let _never = writeln!(html, "{what}");
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A text between tags or in an attribute's quotes (WHATWG HTML, section 13.3, "escaping a string").
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Declare, Order, Origin};
    use crate::stored::Fold as _;
    use crate::testing::target;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn only_what_was_published_is_shown_and_nothing_of_it_is_markup() {
        let mut known = Incidents::default();
        let declare = |title: &str| Declare {
            title: title.into(),
            severity: Severity::Sev1,
            target: target("production"),
            since: None,
            origin: Origin::Person { by: "ann <secret>".into() },
        };
        for (title, second) in [("<script>alert(1)</script>", 0), ("secret", 1)] {
            let facts = known.declare(&declare(title), at(second)).unwrap();
            for fact in &facts {
                known.apply(fact, at(second));
            }
        }
        let page = |known: &Incidents, second| {
            StatusPage::of(known, [&target("production"), &target("test")], |_| true, at(second))
        };
        assert_eq!(page(&known, 2).incidents, []);
        assert_eq!(page(&known, 2).services[0].state, ServiceState::Operational, "nobody was told");
        let order = |known: &mut Incidents, order: &Order, second| {
            let facts = known.decide("INC-1".parse().unwrap(), order, "ann <secret>", at(second)).unwrap();
            for fact in &facts {
                known.apply(fact, at(second));
            }
        };
        order(&mut known, &Order::Publish { message: "We \"look\" & <b>see</b>".into() }, 60);
        let shown = page(&known, 61);
        assert_eq!(
            (shown.services[0].state, shown.services[1].state),
            (ServiceState::Outage, ServiceState::Operational)
        );
        let html = shown.html();
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("secret"), "{html}");
        for line in [
            "<h1 class=\"outage\">There is an outage</h1>",
            "<tr><td>pad</td><td>test</td><td class=\"operational\">operational</td></tr>",
            "<h3>&lt;script&gt;alert(1)&lt;/script&gt;</h3>",
            "<p class=\"message\">We &quot;look&quot; &amp; &lt;b&gt;see&lt;/b&gt;</p>",
        ] {
            assert!(html.lines().any(|written| written == line), "no {line:?} in {html}");
        }
        order(&mut known, &Order::Resolve { cause: "a lock".into() }, 120);
        assert_eq!(page(&known, 121).incidents[0].stage, "resolved");
        assert_eq!(page(&known, 15 * 86_400).incidents, []);
        assert_eq!(
            StatusPage::of(&known, [&target("test")], |_| false, at(130)).services[0].state,
            ServiceState::Outage
        );
    }
}

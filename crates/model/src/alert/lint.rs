//! Monitoring or alert: what a rule should be, and what is wrong with it as it is.
//!
//! An alert wakes a person only if three questions are answered with yes: is it actionable, is it a symptom of users' pain, does
//! a person have to act now? Else it is a ticket, or a line on a dashboard. Source of the questions: *Site Reliability
//! Engineering* (Beyer et al., O'Reilly 2016), chapter 6, "Tying these principles together".

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::history::Behaviour;

/// A rule fires always if it does for more than this part of the time.
const ALWAYS_PERCENT: u64 = 50;
/// From so many stretches on it can be said that an alert flaps, or is not acted upon.
const ENOUGH: u64 = 4;
/// A rule that never fired in so long is not known to work.
const QUIET_DAYS: u64 = 90;

/// The three questions, and what is said to each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Can a person do something about it?
    pub actionable: Option<bool>,
    /// Does it hurt users, and not only may it later?
    pub symptom: Option<bool>,
    /// Does a person have to act now?
    pub act_now: Option<bool>,
}

impl Answers {
    /// By their names, in order.
    pub fn all(self) -> [(&'static str, Option<bool>); 3] {
        [("actionable", self.actionable), ("symptom", self.symptom), ("act_now", self.act_now)]
    }

    /// These, and where they say nothing the others.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            actionable: self.actionable.or(other.actionable),
            symptom: self.symptom.or(other.symptom),
            act_now: self.act_now.or(other.act_now),
        }
    }
}

/// What an alert should become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// It wakes a person.
    Page,
    /// A person acts on it in working hours.
    Ticket,
    /// People look at it when they look for causes.
    Dashboard,
    /// A question is not answered.
    Undecided,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Dashboard => "dashboard",
            Self::Undecided => "undecided",
        })
    }
}

/// An alerting rule, as far as it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// The alert's name.
    pub name: &'a str,
    /// The expression.
    pub query: &'a str,
    /// The labels that it sets.
    pub labels: &'a BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// The runbook that it names and that is not there, as far as that is known.
    pub missing_runbook: Option<&'a str>,
}

/// Something that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which kind, such as `no_runbook`.
    pub kind: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub advice: String,
}

/// A rule's judgment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgment {
    /// What it should be.
    pub place: Place,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// What the answers make of an alert.
pub fn place(answers: Answers) -> Place {
    match (answers.actionable, answers.symptom, answers.act_now) {
        (Some(true), Some(true), Some(true)) => Place::Page,
        (Some(false), _, _) => Place::Dashboard,
        (Some(true), Some(_), Some(_)) => Place::Ticket,
        (Some(true) | None, _, _) => Place::Undecided,
    }
}

/// Judges a rule. `behaviour` is how it behaved in so many days, where that is known; nothing in it where it never fired.
pub fn judge(rule: &Rule<'_>, answers: Answers, behaviour: Option<(&Behaviour, u64)>) -> Judgment {
    let place = place(answers);
    let mut findings = Vec::new();
    let mut add = |kind, message: String, advice: &str| {
        findings.push(Finding { kind, message, advice: advice.to_owned() });
    };
    let severity = rule.labels.get("severity").map_or("", String::as_str);
    let pages = matches!(severity, "page" | "critical");
    let unanswered = answers.all().into_iter().filter(|(_, answer)| answer.is_none()).map(|(name, _)| asked(name));
    let unanswered: Vec<&str> = unanswered.collect();
    if !unanswered.is_empty() {
        let message = format!("nothing says whether it is {}", unanswered.join(", or "));
        let advice =
            "annotate the rule with `actionable`, `symptom` and `act_now`, each `yes` or `no`, or write a policy";
        add("unanswered", message, advice);
    }
    match (place, pages) {
        (Place::Page, false) => {
            let message = format!("three times yes, and its severity is {severity:?}: it wakes nobody");
            add("should_page", message, "set the label `severity: page`");
        }
        (Place::Ticket | Place::Dashboard, true) => {
            let no =
                answers.all().into_iter().filter(|(_, answer)| *answer == Some(false)).map(|(name, _)| asked(name));
            let message = format!("it wakes people, and is not {}", no.collect::<Vec<_>>().join(", nor "));
            add(
                "should_not_page",
                message,
                &format!("make a {place} of it: set the label `severity: ticket` or `info`"),
            );
        }
        (Place::Page | Place::Undecided, true) | (Place::Ticket | Place::Dashboard | Place::Undecided, false) => {}
    }
    if let Some(word) = cause(rule.query).filter(|_| pages || answers.symptom == Some(true)) {
        let message = format!("it looks at a cause ({word}), not at what users feel");
        add(
            "cause",
            message,
            "alert on failures or latency of requests, and show this on the dashboard that people look at then",
        );
    }
    if pages && !rule.annotations.keys().any(|name| name == "runbook_url" || name == "runbook") {
        add("no_runbook", "it wakes people, and says not what to do".into(), "add the annotation `runbook_url`");
    }
    if let Some(runbook) = rule.missing_runbook {
        let advice = "write it, correct the annotation, or name where runbooks are with `--runbooks`";
        add("missing_runbook", format!("it names the runbook {runbook:?}, which is not there"), advice);
    }
    if !rule.annotations.contains_key("summary") && !rule.annotations.contains_key("description") {
        add("no_summary", "it says not what is the matter".into(), "add the annotation `summary`");
    }
    if let Some((behaviour, days)) = behaviour {
        behaved(behaviour, days, pages, &mut findings);
    }
    Judgment { place, findings }
}

fn asked(question: &str) -> &'static str {
    match question {
        "actionable" => "actionable",
        "symptom" => "a symptom of users' pain",
        _ => "something that a person has to act on now",
    }
}

/// What is wrong with how it behaved.
fn behaved(behaviour: &Behaviour, days: u64, pages: bool, findings: &mut Vec<Finding>) {
    let mut add = |kind, message: String, advice: &str| {
        findings.push(Finding { kind, message, advice: advice.to_owned() });
    };
    if behaviour.fired == 0 && behaviour.firing_seconds == 0 {
        if days >= QUIET_DAYS {
            let advice = "try it with `prograde rules test`, or delete it";
            add("never_fired", format!("it has not fired in {days} days"), advice);
        }
        return;
    }
    let whole = days.saturating_mul(86_400).max(1);
    let share = behaviour.firing_seconds.saturating_mul(100) / whole;
    if share >= ALWAYS_PERCENT {
        let advice = "raise its threshold, mend what it tells of, or delete it: nobody sees it any more";
        add("always_firing", format!("it fired for {share}% of {days} days"), advice);
    }
    if behaviour.flaps >= ENOUGH && behaviour.flaps.saturating_mul(2) >= behaviour.fired {
        let message =
            format!("it flaps: {} of {} times it was over within five minutes", behaviour.flaps, behaviour.fired);
        add("flapping", message, "add `for` or `keep_firing_for`, or look at a longer range");
    }
    if pages && behaviour.pages >= ENOUGH && behaviour.passed.saturating_mul(2) >= behaviour.pages {
        let message = format!("{} of {} pages passed before anybody took them", behaviour.passed, behaviour.pages);
        add("not_acted_upon", message, "nobody had to act: make a ticket of it, or wait longer with `for`");
    }
    if behaviour.noise > behaviour.useful {
        let message = format!("people called it noise {} times, and useful {}", behaviour.noise, behaviour.useful);
        add("noise", message, "change or delete it; `prograde page list --all` shows when");
    }
}

/// Words in names of metrics that tell of a cause.
const CAUSES: [&str; 16] = [
    "cpu",
    "memory",
    "load1",
    "load5",
    "load15",
    "disk",
    "filesystem",
    "swap",
    "goroutines",
    "threads",
    "heap",
    "gc",
    "restarts",
    "fds",
    "up",
    "oom",
];
/// Words that tell of what users feel; a rule that looks at these too is not judged by its causes.
const SYMPTOMS: [&str; 10] =
    ["latency", "duration", "errors", "error", "failed", "failures", "requests", "request", "slo", "probe"];

/// The first word of an expression that tells of a cause, if none tells of a symptom.
fn cause(query: &str) -> Option<&str> {
    let names = || {
        let names = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        names.filter(|name| !name.is_empty())
    };
    let has = |name: &str, words: &[&str]| name.split(['_', ':']).any(|word| words.contains(&word));
    if names().any(|name| has(name, &SYMPTOMS)) {
        return None;
    }
    names().find(|name| has(name, &CAUSES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const YES: Answers = Answers { actionable: Some(true), symptom: Some(true), act_now: Some(true) };

    fn kinds(query: &str, severity: &str, answers: Answers, behaviour: Option<(&Behaviour, u64)>) -> Vec<&'static str> {
        let (labels, annotations) =
            (texts(&[("severity", severity)]), texts(&[("summary", "slow"), ("runbook_url", "x")]));
        let rule = Rule { name: "Slow", query, labels: &labels, annotations: &annotations, missing_runbook: None };
        judge(&rule, answers, behaviour).findings.into_iter().map(|finding| finding.kind).collect()
    }

    const SLOW: &str = "histogram_quantile(0.9, rate(http_request_duration_seconds_bucket[5m])) > 1";

    #[test]
    fn three_times_yes_pages_and_nothing_else_does() {
        assert_eq!(place(YES), Place::Page);
        assert_eq!(place(Answers { act_now: Some(false), ..YES }), Place::Ticket);
        assert_eq!(place(Answers { symptom: Some(false), ..YES }), Place::Ticket);
        assert_eq!(place(Answers { actionable: Some(false), symptom: None, act_now: None }), Place::Dashboard);
        assert_eq!(place(Answers { act_now: None, ..YES }), Place::Undecided);
        assert_eq!(kinds(SLOW, "page", YES, None), Vec::<&str>::new());
        assert_eq!(kinds(SLOW, "ticket", YES, None), ["should_page"]);
        assert_eq!(kinds(SLOW, "page", Answers { act_now: Some(false), ..YES }, None), ["should_not_page"]);
        assert_eq!(kinds(SLOW, "page", Answers::default(), None), ["unanswered"]);
    }

    #[test]
    fn causes_are_told_from_symptoms_by_the_names_of_metrics() {
        assert_eq!(kinds("node_memory_MemAvailable_bytes < 1e9", "page", YES, None), ["cause"]);
        assert_eq!(kinds("up == 0", "page", YES, None), ["cause"]);
        assert_eq!(kinds("rate(cpu_seconds_total[5m]) > 1 and rate(errors_total[5m]) > 1", "page", YES, None), [""; 0]);
        assert_eq!(kinds("upstream_queue > 5", "page", YES, None), [""; 0], "a word, not a part of one");
    }

    #[test]
    fn what_it_did_counts() {
        let told = |behaviour: Behaviour, days| kinds(SLOW, "page", YES, Some((&behaviour, days)));
        assert_eq!(told(Behaviour::default(), 90), ["never_fired"]);
        assert_eq!(told(Behaviour::default(), 30), [""; 0], "too early to say");
        assert_eq!(
            told(Behaviour { fired: 1, firing_seconds: 50 * 864, ..Behaviour::default() }, 1),
            ["always_firing"]
        );
        assert_eq!(told(Behaviour { fired: 8, flaps: 4, ..Behaviour::default() }, 30), ["flapping"]);
        assert_eq!(told(Behaviour { fired: 9, flaps: 4, ..Behaviour::default() }, 30), [""; 0]);
        assert_eq!(told(Behaviour { fired: 4, pages: 4, passed: 2, ..Behaviour::default() }, 30), ["not_acted_upon"]);
        assert_eq!(told(Behaviour { fired: 1, noise: 1, ..Behaviour::default() }, 30), ["noise"]);
        assert_eq!(told(Behaviour { fired: 2, noise: 1, useful: 1, ..Behaviour::default() }, 30), [""; 0]);
    }
}

//! Escalation chains and their policies as escalations. A chain tells and waits in turns; a step of ours tells, then waits.

use prograde_model::Diagnostic;
use prograde_model::oncall::{Escalation, Step};
use prograde_model::quantity::Period;

use super::Known;
use crate::names::Titles;
use crate::reader::{At, Found, shown};

/// The most steps of an escalation of ours.
const STEPS_MAX: usize = 20;
/// The longest wait, in seconds: a week.
const WAIT_MAX_S: i64 = 7 * 86_400;
/// How often `repeat_escalation` repeats a chain.
const REPEAT: u32 = 5;

/// The chain of a policy.
pub(super) fn of<'a>(policy: &At<'a>) -> Option<&'a str> {
    policy.value.get("escalation_chain_id")?.as_str()
}

/// What has been read of a chain.
#[derive(Default)]
struct Reading {
    steps: Vec<Step>,
    /// Whether the last step has been waited for.
    has_waited: bool,
    repeat: u32,
}

/// An escalation and its name; nothing where no step of it could be carried over.
pub(super) fn read<'a>(
    at: &At<'a>,
    mut policies: Vec<&At<'a>>,
    known: &mut Known<'a>,
    titles: &mut Titles,
    found: &mut Found,
) -> Result<Option<(String, Escalation)>, Diagnostic> {
    at.known("an escalation chain", &["id", "name"], &["team_id"], found);
    policies.sort_by_key(|policy| policy.value.get("position").and_then(serde_json::Value::as_i64));
    let mut reading = Reading::default();
    for policy in policies {
        take(policy, known, &mut reading, found)?;
    }
    let Reading { mut steps, repeat, .. } = reading;
    if steps.is_empty() {
        found
            .lost(at.lost("no step of the chain is left, and it is left out", "export `GET /escalation_policies` too"));
        return Ok(None);
    }
    if steps.len() > STEPS_MAX {
        found.lost(at.lost(format!("an escalation has at most {STEPS_MAX} steps; later ones are left out"), ""));
        steps.truncate(STEPS_MAX);
    }
    let name = titles.take(at, at.text_of("name")?.unwrap_or("unnamed"), found);
    Ok(Some((name, Escalation { steps, repeat, quiet: Vec::new(), declares: None })))
}

impl Reading {
    /// The step to which somebody is added: the last one until it is waited for.
    fn step(&mut self) -> Option<&mut Step> {
        if self.steps.is_empty() || self.has_waited {
            self.steps.push(Step { schedules: Vec::new(), people: Vec::new(), wait: Period::seconds(300) });
            self.has_waited = false;
        }
        self.steps.last_mut()
    }
}

fn take<'a>(at: &At<'a>, known: &mut Known<'a>, reading: &mut Reading, found: &mut Found) -> Result<(), Diagnostic> {
    let read = [
        "id",
        "escalation_chain_id",
        "position",
        "type",
        "duration",
        "important",
        "persons_to_notify",
        "notify_on_call_from_schedule",
    ];
    at.known("an escalation policy", &read, &[], found);
    if at.value.get("important").and_then(serde_json::Value::as_bool) == Some(true) {
        found
            .lost(at.lost("`important` is left out: a person has one way of being told", "raise it in their receiver"));
    }
    match at.need("type")?.text()? {
        "wait" => wait(at, reading, found)?,
        "notify_persons" => {
            for person in at.list("persons_to_notify")? {
                let name = known.people.named(&person, person.text()?, None, found)?;
                if let Some(step) = reading.step().filter(|step| !step.people.contains(&name)) {
                    step.people.push(name);
                }
            }
        }
        "notify_on_call_from_schedule" => {
            let reference = at.need("notify_on_call_from_schedule")?;
            let id = reference.text()?;
            match known.schedules.get(id) {
                Some(Some(name)) => {
                    if let Some(step) = reading.step().filter(|step| !step.schedules.contains(name)) {
                        step.schedules.push(name.clone());
                    }
                }
                Some(None) => found.lost(reference.lost("the schedule could not be carried over", "")),
                None => {
                    let message = format!("there is no schedule {:?} in what is exported", shown(id));
                    return Err(reference.wrong(message, "export it as well (`GET /schedules`)"));
                }
            }
        }
        "repeat_escalation" => reading.repeat = REPEAT,
        kind => {
            let message = format!("a step of the type {:?} is left out", shown(kind));
            found.lost(at.lost(message, "steps of ours tell people and schedules"));
        }
    }
    Ok(())
}

fn wait(at: &At<'_>, reading: &mut Reading, found: &mut Found) -> Result<(), Diagnostic> {
    let seconds = at.get("duration").map_or(Ok(300), |duration| duration.number(0, WAIT_MAX_S))?;
    let seconds = u32::try_from(seconds).unwrap_or(300);
    let has_waited = reading.has_waited;
    match reading.steps.last_mut() {
        None => {
            let message = "a page of ours begins to tell at once; what the chain waits before is left out";
            found.lost(at.lost(message, "let the alert wait (`group_wait`)"));
        }
        Some(step) => {
            let before = if has_waited { step.wait.duration().as_secs() } else { 0 };
            let before = u32::try_from(before).unwrap_or(0);
            step.wait = Period::seconds(before.saturating_add(seconds).max(1));
            reading.has_waited = true;
        }
    }
    Ok(())
}

//! Escalation policies as escalations.

use prograde_model::Diagnostic;
use prograde_model::oncall::{Escalation, Step};
use prograde_model::quantity::Period;

use super::{Known, reference};
use crate::names::Titles;
use crate::reader::{At, Found, shown};

/// The most steps of an escalation of ours.
pub(crate) const STEPS_MAX: usize = 20;
/// The longest delay, in minutes: a year.
const DELAY_MAX: i64 = 366 * 24 * 60;

/// An escalation and its name; nothing where no step of it could be carried over.
pub(super) fn read<'a>(
    at: &At<'a>,
    known: &mut Known<'a>,
    titles: &mut Titles,
    found: &mut Found,
) -> Result<Option<(String, Escalation)>, Diagnostic> {
    let idle = [
        "type",
        "summary",
        "self",
        "html_url",
        "description",
        "services",
        "teams",
        "privilege",
        "on_call_handoff_notifications",
    ];
    at.known("an escalation policy", &["id", "name", "num_loops", "escalation_rules"], &idle, found);
    let name = at.text_of("name")?.or(at.text_of("summary")?).unwrap_or("unnamed");
    let rules = at.need("escalation_rules")?.items()?;
    let mut steps = Vec::new();
    for rule in &rules {
        steps.extend(step(rule, known, found)?);
    }
    if let Some(late) = rules.get(STEPS_MAX).filter(|_| steps.len() > STEPS_MAX) {
        let message = format!("an escalation has at most {STEPS_MAX} steps; this one and those after it are left out");
        found.lost(late.lost(message, "let one step tell several people"));
        steps.truncate(STEPS_MAX);
    }
    if steps.is_empty() {
        found.lost(at.lost("no step of the policy is left, and it is left out", ""));
        return Ok(None);
    }
    let loops = at.get("num_loops").map(|loops| loops.number(0, 100)).transpose()?.unwrap_or(0);
    let name = titles.take(at, name, found);
    let repeat = u32::try_from(loops).unwrap_or(0);
    Ok(Some((name, Escalation { steps, repeat, quiet: Vec::new(), declares: None })))
}

fn step<'a>(at: &At<'a>, known: &mut Known<'a>, found: &mut Found) -> Result<Option<Step>, Diagnostic> {
    let read = ["id", "escalation_delay_in_minutes", "targets", "escalation_rule_assignment_strategy"];
    at.known("an escalation rule", &read, &["type", "summary"], found);
    if let Some(strategy) = at.get("escalation_rule_assignment_strategy") {
        let kind = strategy.text_of("type")?.unwrap_or("assign_to_everyone");
        if kind != "assign_to_everyone" {
            let message = format!("{:?} is left out: all targets of the step are told", shown(kind));
            found.lost(strategy.lost(message, "put the people into a schedule, and name that"));
        }
    }
    let mut step = Step { schedules: Vec::new(), people: Vec::new(), wait: Period::seconds(300) };
    if let Some(delay) = at.get("escalation_delay_in_minutes") {
        let seconds = delay.number(1, DELAY_MAX)? * 60;
        step.wait = Period::seconds(u32::try_from(seconds).unwrap_or(300));
    }
    for target in at.need("targets")?.items()? {
        let (id, summary) = reference(&target)?;
        match target.need("type")?.text()? {
            "user" | "user_reference" => {
                let person = known.people.named(&target, id, summary, found)?;
                if !step.people.contains(&person) {
                    step.people.push(person);
                }
            }
            "schedule" | "schedule_reference" => match known.schedules.get(id) {
                Some(Some(name)) if step.schedules.contains(name) => {}
                Some(Some(name)) => step.schedules.push(name.clone()),
                Some(None) => {
                    let message = "the schedule could not be carried over, and is left out of the step";
                    found.lost(target.lost(message, ""));
                }
                None => {
                    let hint = format!("export it as well (`GET /schedules/{}`)", shown(id));
                    let message = format!("there is no schedule {:?} in what is exported", shown(id));
                    return Err(target.wrong(message, &hint));
                }
            },
            kind => {
                let message = format!("{:?} can't be told by a step, and is left out", shown(kind));
                found.lost(target.lost(message, "name `schedules` or `people`"));
            }
        }
    }
    let tells_nobody = step.schedules.is_empty() && step.people.is_empty();
    if tells_nobody {
        found.lost(at.lost("the step tells nobody, and is left out", ""));
    }
    Ok((!tells_nobody).then_some(step))
}

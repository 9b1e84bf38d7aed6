//! Feature flags: their files are read, they are set and unset, and what follows is judged.

use prograde_model::event::Event;
use prograde_model::flag::{Flags, Setting};
use prograde_model::flight::Refusal;
use prograde_model::ids::{FlightId, Target};
use prograde_model::{Diagnostic, Diagnostics};

use crate::config::located;
use crate::controller::{Control, Inner, log};
use crate::halted::Part;
use crate::orders::OrderError;
use crate::ports::{AppendError, Notice};

/// The code of everything that is wrong with flags beyond their YAML.
const CODE: &str = "PG0106";
/// The largest file of flags, in bytes: it is kept in the journal with every flight.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// Reads a file of flags, YAML or JSON. `file` is its name in the repository.
pub fn read(file: &str, text: &str) -> Result<Flags, Diagnostics> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, more than the {FILE_BYTES_MAX} that flags may have", text.len());
        return Err(Diagnostic::file(CODE, file, message, "remove flags that are no longer asked for").into());
    }
    let documents = prograde_yaml::documents(file, text)?;
    let [document] = documents.as_slice() else {
        let message = format!("the file has {} documents, expected one with `flags`", documents.len());
        return Err(Diagnostic::file(CODE, file, message, "write `flags:` and the flags below it").into());
    };
    let found = match Flags::read(&document.to_json()) {
        Ok(flags) => return Ok(flags),
        Err(found) => found,
    };
    Err(Diagnostics(found.into_iter().map(|problem| located((CODE, file), problem, Some(document))).collect()))
}

/// What is wrong where the file is not there.
pub(crate) fn missing(file: &str) -> Diagnostic {
    let hint = "commit it, or correct `flags` in prograde.yaml";
    Diagnostic::file("PG0103", file, "the file with the feature flags is missing", hint)
}

impl Control {
    /// Sets a flag where a flight serves, or with `None` leaves it to Git again. It holds for the next evaluation.
    pub async fn change_flag(
        &self,
        target: &Target,
        flag: &str,
        to: Option<&Setting>,
        by: &str,
        reason: &str,
    ) -> Result<(FlightId, Vec<Event>), OrderError> {
        let serves = self.inner.ledger.with(|fleet| fleet.current(target).cloned());
        let flight = serves.ok_or_else(|| OrderError::NothingServes(target.clone()))?;
        let now = self.inner.clock.now();
        let seen = self.inner.ports.runtime.observe(target);
        let changed = self.inner.ledger.record(&flight, now, |fleet| {
            if fleet.current(target) != Some(&flight) {
                let environment = target.environment.clone();
                return Err(OrderError::from(Refusal::NotServing { flight: flight.clone(), environment }));
            }
            Ok(fleet.change_flag(target, flag, to, (by, reason), &seen, now)?)
        });
        let events = changed.await?;
        for event in &events {
            log(&flight, event);
        }
        Ok((flight, events))
    }
}

impl Inner {
    /// Records what follows for the flags whose change is watched; whether anything did.
    pub(crate) async fn decide_flags(&self) -> bool {
        let watched: Vec<(Target, FlightId)> =
            self.ledger.with(|fleet| fleet.flag_watches().map(|(t, f)| (t.clone(), f.clone())).collect());
        let mut decided = false;
        for (target, flight) in watched {
            let now = self.clock.now();
            let recorded = self.ledger.record(&flight, now, |fleet| {
                let decide = || fleet.decide_flags(&target, &self.ports.runtime.observe(&target), now);
                Ok::<_, AppendError>(
                    self.halted.beside(Part::Flags, (&target, Some(&flight)), decide).unwrap_or_default(),
                )
            });
            match recorded.await {
                Ok(events) => {
                    decided |= !events.is_empty();
                    for event in &events {
                        log(&flight, event);
                        self.tell_of_flag(&target, &flight, event);
                    }
                }
                Err(error) => tracing::error!(%target, "a decision on a flag could not be recorded: {error}"),
            }
        }
        decided
    }

    /// Tells people that the judge took a flag back.
    fn tell_of_flag(&self, target: &Target, flight: &FlightId, event: &Event) {
        let (Event::FlagSet { flag, by, reason, .. } | Event::FlagUnset { flag, by, reason, .. }) = event else {
            return;
        };
        let notice = self.ledger.with(|fleet| {
            let text = format!("flag {flag} of {target} was taken back by {by}: {reason}");
            Some(Notice::of(fleet.flight(flight)?, text))
        });
        if let Some(notice) = notice {
            self.tell(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
flags:
  banner:
    state: ENABLED
    variants: { on: true, off: false }
    defaultVariant: off
    targeting:
      if:
        - ends_with: [{ var: email }, '@example.org']
        - on
";

    #[test]
    fn yaml_and_json_are_read_alike() {
        let flags = read("flags.yaml", GOOD).unwrap();
        let json = serde_json::to_string_pretty(&flags).unwrap();
        assert_eq!(read("flags.json", &json).unwrap(), flags);
    }

    #[test]
    fn every_error_names_its_line() {
        let errors = |text: &str| read("flags.yaml", text).unwrap_err().to_string();
        for (text, place, message) in [
            (GOOD.replace("defaultVariant: off", "defaultVariant: of"), "5:5", "default \"of\" is no variant"),
            (GOOD.replace("ends_with", "ends"), "8:11", "operation \"ends\" is not known"),
            (GOOD.replace("- on", "- yes"), "6:5", "the rule gives \"yes\", which is no variant of the flag"),
            (GOOD.replace("ENABLED", "on"), "3:5", "`state` must be ENABLED or DISABLED"),
            (GOOD.replace("state:", "stat:"), "3:5", "unknown field \"stat\""),
            (GOOD.replace("banner", "a banner"), "2:3", "\"a banner\" can't be asked for by clients"),
            ("flags: [".to_owned(), "", "[PG0101]"),
            (String::new(), "", "the file has 0 documents"),
            (format!("# {}", "x".repeat(FILE_BYTES_MAX)), "", "more than the 262144 that flags may have"),
        ] {
            let error = errors(&text);
            assert!(
                error.starts_with(&format!("flags.yaml:{place}")) && error.contains(message),
                "{text:.300}\n{error}"
            );
        }
    }
}

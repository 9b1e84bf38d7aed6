//! What of a workload's confinement this machine can't give, though nobody allowed it to be missing.

use std::fmt;

use prograde_model::Diagnostic;
use prograde_model::confinement::{Asked, Confinement, Part};

use crate::capability;
use crate::machine::{Machine, Missing};

/// One field that can't be honoured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field of the manifest that asks for it.
    pub asked: Asked,
    /// The part that is missing, why, and what to do.
    pub missing: Missing,
}

impl Refusal {
    /// What the reader can do about it.
    pub fn way_out(&self) -> String {
        let Missing { part, way_out, .. } = &self.missing;
        format!(
            "{way_out}; or let the environment do without: `runtime.allow_unconfined.parts: [{part}]`, with a reason"
        )
    }
}

/// The code of a refusal, with a page in `docs/errors/`.
pub const REFUSED: &str = "PG1300";

impl From<Refusal> for Diagnostic {
    fn from(refusal: Refusal) -> Self {
        let Asked { file, line, column, .. } = &refusal.asked;
        Self::file(REFUSED, file, refusal.to_string(), refusal.way_out()).at(*line, *column)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { part, why, .. } = &self.missing;
        write!(f, "`{}` asks for `{part}`, which this machine can't give: {why}", self.asked.field)
    }
}

/// What is refused, each part once by the first field that asks for it. Where a whole container may be missing, nothing is.
pub fn refusals(confinement: &Confinement, allowed: &[Part], machine: &Machine) -> Vec<Refusal> {
    let mut found: Vec<Refusal> = Vec::new();
    if allowed.contains(&Part::Container) && machine.missing(Part::Container).is_some() {
        return found;
    }
    for asked in &confinement.asked {
        let missing = if asked.part == Part::Capabilities {
            lacking(confinement, machine)
        } else {
            machine.missing(asked.part).cloned()
        };
        let Some(missing) = missing else { continue };
        let is_known = found.iter().any(|other| other.missing.part == missing.part);
        if !is_known && !allowed.contains(&missing.part) {
            found.push(Refusal { asked: asked.clone(), missing });
        }
    }
    found
}

fn lacking(confinement: &Confinement, machine: &Machine) -> Option<Missing> {
    let (add, drop) = (&confinement.capabilities_add, &confinement.capabilities_drop);
    let (_, lacking) = capability::given(add, drop, confinement.privileged, &machine.capabilities);
    let why = format!("the server itself lacks {}", lacking.join(", "));
    let way_out = "start the server with them".to_owned();
    (!lacking.is_empty()).then_some(Missing { part: Part::Capabilities, why, way_out })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cgroup::Layout;

    fn machine(parts: &[Part]) -> Machine {
        let missing = |part: &Part| Missing { part: *part, why: "it is so".into(), way_out: "do this".into() };
        Machine {
            layout: Layout::None,
            capabilities: BTreeSet::from(["KILL".to_owned()]),
            missing: parts.iter().map(missing).collect(),
        }
    }

    #[test]
    fn what_is_missing_is_refused_by_name_unless_it_is_allowed() {
        let asked =
            |part, field: &str| Asked { part, field: field.to_owned(), file: "d.yaml".to_owned(), line: 3, column: 5 };
        let confinement = Confinement {
            asked: vec![
                asked(Part::Container, "runAsUser"),
                asked(Part::Container, "readOnlyRootFilesystem"),
                asked(Part::MemoryLimit, "limits.memory"),
                asked(Part::Capabilities, "capabilities.add"),
            ],
            capabilities_add: vec!["KILL".to_owned(), "NET_ADMIN".to_owned()],
            ..Confinement::default()
        };
        let check = |missing: &[Part], allowed: &[Part], expected: &[&str]| {
            let refused = refusals(&confinement, allowed, &machine(missing));
            let fields: Vec<&str> = refused.iter().map(|refusal| refusal.asked.field.as_str()).collect();
            assert_eq!(fields, expected, "{missing:?} {allowed:?}");
        };
        check(&[], &[], &["capabilities.add"]);
        check(&[], &[Part::Capabilities], &[]);
        check(&[Part::MemoryLimit], &[], &["limits.memory", "capabilities.add"]);
        check(&[Part::MemoryLimit], &[Part::Capabilities, Part::MemoryLimit], &[]);
        check(&[Part::Container, Part::MemoryLimit], &[Part::MemoryLimit], &["runAsUser", "capabilities.add"]);
        check(&[Part::Container, Part::MemoryLimit], &[Part::Container], &[]);
        check(&[Part::Seccomp], &[Part::Capabilities], &[]);
        let refused = refusals(&confinement, &[], &machine(&[Part::MemoryLimit])).remove(0);
        assert_eq!(
            refused.to_string(),
            "`limits.memory` asks for `memory-limit`, which this machine can't give: it is so"
        );
        assert!(Diagnostic::from(refused.clone()).to_string().starts_with("d.yaml:3:5: `limits.memory` asks"));
        assert!(refused.way_out().ends_with("`runtime.allow_unconfined.parts: [memory-limit]`, with a reason"));
    }
}

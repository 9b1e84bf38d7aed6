//! The sets of policies that ship with Prograde.

use prograde_model::Diagnostics;

use crate::set::PolicySet;

macro_rules! files {
    ($($name:literal)*) => {
        &[$((concat!("policies/", $name, ".yaml"), include_str!(concat!("../policies/", $name, ".yaml")))),*]
    };
}

/// Files of a set: name and text of each.
type Files = &'static [(&'static str, &'static str)];

const DEFAULT: Files = files![
    "disallow-latest-tag"
    "require-requests-and-limits"
    "disallow-privilege"
    "disallow-host-namespaces"
    "require-non-root"
    "require-read-only-root"
    "drop-all-capabilities"
    "require-seccomp"
    "require-labels"
    "require-probes"
    "known-registries"
    "signed-images"
    "scan-passed"
];
const BASELINE: Files = files!["pod-security-baseline"];
const RESTRICTED: Files = files!["pod-security-restricted"];

/// Names of the sets.
pub const NAMES: [&str; 3] = ["default", "baseline", "restricted"];

/// The files of a set.
pub fn files(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    match name {
        "default" => Some(DEFAULT),
        "baseline" => Some(BASELINE),
        "restricted" => Some(RESTRICTED),
        _ => None,
    }
}

/// Reads a set into policies that are there already; `None` where no set has the name.
pub fn read(name: &str, into: &mut PolicySet) -> Option<Result<(), Diagnostics>> {
    let files = files(name)?;
    Some(files.iter().try_for_each(|(file, text)| into.read(file, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_says_why_and_how_to_comply() {
        for name in NAMES {
            let mut set = PolicySet::default();
            read(name, &mut set).unwrap().unwrap();
            for policy in &set.policies {
                for annotation in
                    ["policies.kyverno.io/title", "policies.kyverno.io/description", "prograde.dev/comply"]
                {
                    assert!(
                        policy.annotation(annotation).is_some_and(|text| text.len() > 10),
                        "{} {annotation}",
                        policy.name()
                    );
                }
            }
        }
        assert!(read("strict", &mut PolicySet::default()).is_none());
    }
}

//! Which capabilities a process gets (`capabilities(7)`).

use std::collections::BTreeSet;

use caps::{CapSet, Capability};
use prograde_model::confinement::ALL_CAPABILITIES as ALL;

/// What a container has that says nothing: containerd's default without `MKNOD`, `NET_RAW` and `AUDIT_WRITE`. The
/// network is the machine's own, where raw sockets would see what others send; and devices are not for services.
pub const DEFAULT: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities that this process could hand on: those that it may use and that its children may have.
pub fn held() -> BTreeSet<String> {
    let read = |set| caps::read(None, set).unwrap_or_default();
    let (permitted, bounding) = (read(CapSet::Permitted), read(CapSet::Bounding));
    permitted.intersection(&bounding).map(|capability| short(*capability)).collect()
}

fn short(capability: Capability) -> String {
    let name = capability.to_string();
    name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
}

/// What a process gets, and which of those asked for by name the server does not have itself. Dropping comes first, as in
/// Kubernetes: with `drop: [ALL]` and `add: [X]`, X is there.
pub fn given(
    add: &[String],
    drop: &[String],
    privileged: bool,
    held: &BTreeSet<String>,
) -> (BTreeSet<String>, Vec<String>) {
    if privileged {
        return (held.clone(), Vec::new());
    }
    let mut given: BTreeSet<String> = DEFAULT.iter().map(|name| (*name).to_owned()).collect();
    if drop.iter().any(|name| name == ALL) {
        given.clear();
    }
    if add.iter().any(|name| name == ALL) {
        given.clone_from(held);
    }
    given.retain(|name| !drop.contains(name) && held.contains(name));
    let mut lacking = Vec::new();
    for name in add.iter().filter(|name| *name != ALL) {
        if held.contains(name) {
            given.insert(name.clone());
        } else {
            lacking.push(name.clone());
        }
    }
    (given, lacking)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn dropping_comes_before_adding() {
        let held: BTreeSet<String> =
            DEFAULT.iter().copied().chain(["NET_ADMIN", "SYS_ADMIN"]).map(str::to_owned).collect();
        let check = |add: &[&str], drop: &[&str], expected: &[&str], lacks: &[&str]| {
            let (got, lacking) = given(&names(add), &names(drop), false, &held);
            assert_eq!(got, names(expected).into_iter().collect(), "{add:?} {drop:?}");
            assert_eq!(lacking, names(lacks));
        };
        check(&[], &[], &DEFAULT, &[]);
        check(&[], &["ALL"], &[], &[]);
        check(&["NET_BIND_SERVICE"], &["ALL"], &["NET_BIND_SERVICE"], &[]);
        check(&["SYS_TIME", "NET_ADMIN"], &["ALL"], &["NET_ADMIN"], &["SYS_TIME"]);
        check(&[], &["CHOWN"], &DEFAULT[1..], &[]);
        let (all, _) = given(&names(&["ALL"]), &names(&["KILL"]), false, &held);
        assert_eq!(all.len(), held.len() - 1);
        assert_eq!(given(&[], &names(&["ALL"]), true, &held).0, held);
    }

    #[test]
    fn every_capability_of_a_manifest_is_one_of_the_kernels() {
        for name in prograde_model::confinement::CAPABILITIES {
            format!("CAP_{name}").parse::<Capability>().unwrap();
        }
    }
}

//! What unit tests of several modules share.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Limits, Profile};

/// A container that may do little.
pub(crate) fn config() -> Config {
    Config {
        id: "x".to_owned(),
        dir: "/dir".into(),
        image: "/image".into(),
        program: "/bin/app".into(),
        arguments: vec!["app".to_owned()],
        environment: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        directory: "/".into(),
        uid: 1000,
        gid: 1000,
        groups: vec![7],
        capabilities: BTreeSet::from(["KILL".to_owned()]),
        no_new_privileges: true,
        seccomp: Profile::RuntimeDefault,
        read_only_root: true,
        privileged: false,
        limits: Limits::default(),
        mounts: Vec::new(),
        cgroup: "/prograde/test/x".to_owned(),
    }
}

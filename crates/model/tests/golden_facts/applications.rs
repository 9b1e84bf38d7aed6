//! Facts about applications that the server keeps.

use prograde_model::application::{
    ApplicationFact, ApplicationId, Because, Counts, Differing, Ending, Field, Health, Held, What,
};

use crate::check;

fn of() -> ApplicationId {
    ApplicationId { set: "platform".parse().unwrap(), application: "cart".into() }
}

fn started(because: Because) -> ApplicationFact {
    let commit = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let (revision, hooks, prune, confirm_prune) = ("ab12".into(), true, false, false);
    ApplicationFact::SyncStarted { of: of(), commit, revision, hooks, prune, confirm_prune, because }
}

fn failed(ending: Ending, depended_on: Option<&str>) -> ApplicationFact {
    let (why, revision) = ("Service shop/cart: invalid".into(), "ab12".into());
    let depended_on = depended_on.map(str::to_owned);
    ApplicationFact::SyncFailed { of: of(), revision, ending, why, counts: counts(), depended_on }
}

fn counts() -> Counts {
    Counts { created: 1, changed: 2, pruned: 3, unchanged: 4, left: 5 }
}

fn drifted(what: What, fields: Vec<Field>) -> ApplicationFact {
    let commit = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let first = vec![Differing { object: "ConfigMap shop/cart".into(), what, fields }];
    ApplicationFact::Drifted { of: of(), commit, revision: "ab12".into(), objects: 7, first }
}

fn health(health: Health, first: &[&str]) -> ApplicationFact {
    let first = first.iter().map(|&object| object.to_owned()).collect();
    ApplicationFact::HealthChanged { of: of(), health, first }
}

#[test]
fn facts_about_applications_can_be_read_for_ever() {
    let commit = || "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let revision = || "ab12".to_owned();
    let at = Some("2027-01-15T08:00:00Z".parse().unwrap());
    let field = Field { path: "data.limit".into(), by: Some("kubectl-edit".into()), at };
    let held = Held { object: "ConfigMap shop/cart".into(), why: "most of what was applied".into() };
    let all = [
        ApplicationFact::SyncOrdered { of: of(), prune: true, confirm_prune: true, by: "ann".into() },
        started(Because::Revision),
        ApplicationFact::Synced { of: of(), revision: revision(), counts: counts() },
        failed(Ending::Failed, Some("cd34")),
        drifted(What::Changed, vec![field]),
        ApplicationFact::InStep { of: of(), commit: commit(), revision: revision() },
        ApplicationFact::PruneHeld { of: of(), revision: revision(), objects: 3, first: vec![held] },
        health(Health::Degraded, &["Deployment.apps shop/cart"]),
        ApplicationFact::Unusable {
            of: of(),
            commit: commit(),
            why: "cart/kustomization.yaml:1: nothing.yaml is not there".into(),
        },
        ApplicationFact::Usable { of: of(), commit: commit() },
        ApplicationFact::Released { of: of() },
    ];
    for fact in &all {
        match fact {
            // A new fact does not compile here before it has a file.
            ApplicationFact::SyncOrdered { .. }
            | ApplicationFact::SyncStarted { .. }
            | ApplicationFact::Synced { .. }
            | ApplicationFact::SyncFailed { .. }
            | ApplicationFact::Drifted { .. }
            | ApplicationFact::InStep { .. }
            | ApplicationFact::PruneHeld { .. }
            | ApplicationFact::HealthChanged { .. }
            | ApplicationFact::Unusable { .. }
            | ApplicationFact::Usable { .. }
            | ApplicationFact::DeletionSet { .. }
            | ApplicationFact::Leaving { .. }
            | ApplicationFact::Returned { .. }
            | ApplicationFact::Deleted { .. }
            | ApplicationFact::Released { .. } => {}
        }
    }
    check("applications", &all);
    for (folder, because) in [
        ("changed", Because::Changed),
        ("drift", Because::Drift),
        ("order", Because::Order),
        ("resumed", Because::Resumed),
    ] {
        check(&["applications/", folder].concat(), &[started(because)]);
    }
    check("applications/late", &[failed(Ending::Late, None)]);
    check("applications/no_answer", &[failed(Ending::NoAnswer, None)]);
    check("applications/not_possible", &[failed(Ending::NotPossible, None)]);
    check("applications/missing", &[drifted(What::Missing, Vec::new())]);
    check("applications/extra", &[drifted(What::Extra, Vec::new())]);
    for (folder, is) in [
        ("healthy", Health::Healthy),
        ("suspended", Health::Suspended),
        ("progressing", Health::Progressing),
        ("lacking", Health::Missing),
        ("unknown", Health::Unknown),
    ] {
        check(&["applications/", folder].concat(), &[health(is, &[])]);
    }
}

#[test]
fn facts_about_their_end_can_be_read_for_ever() {
    let commit = || "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let named_in = "89abcdef0123456789abcdef0123456789abcdef".parse().unwrap();
    let set = |deletes, by_order, parent: Option<&str>| {
        let parent = parent.map(str::to_owned);
        ApplicationFact::DeletionSet { of: of(), commit: commit(), deletes, by_order, parent }
    };
    let all = [
        set(true, true, Some("shop")),
        ApplicationFact::Leaving { of: of(), commit: commit(), named_in, asks: true },
        ApplicationFact::Returned { of: of(), commit: commit() },
        ApplicationFact::Deleted { of: of() },
    ];
    check("applications", &all);
    check("applications/stays", &[set(false, false, None)]);
}

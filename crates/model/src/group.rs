//! Release groups: several services of one repository that one flight brings, in the order of their dependencies, and
//! takes back together in reverse.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::ServiceName;
use crate::image::Image;
use crate::migration::Migration;
use crate::service::{Problem, Service, is_plain_path, problem};

/// How many services a group has at most: they follow one another, so that more of them would fly for days.
const MEMBERS_MAX: usize = 32;

/// One service of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The service's name, unlike that of every other service.
    pub name: ServiceName,
    /// The services of the group that it needs: its rollout begins when theirs are over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ServiceName>,
    /// How its image is made from what the pipeline built.
    pub image: Image,
    /// The folder with its Kustomize tree; default `deploy/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<String>,
    /// What it does to its data in each environment before its first replica starts; default nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

impl Member {
    /// The folder with its Kustomize tree.
    pub fn manifests_path(&self) -> String {
        self.manifests.clone().unwrap_or_else(|| format!("deploy/{}", self.name))
    }
}

/// The members, each after those that it needs, else as they are written; those that can't be brought into such an
/// order, as they need one another or nobody, are left out.
pub(crate) fn in_order(members: &[Member]) -> Vec<&Member> {
    let mut placed: BTreeSet<&ServiceName> = BTreeSet::new();
    let mut order = Vec::with_capacity(members.len());
    while let Some(next) = members
        .iter()
        .find(|member| !placed.contains(&member.name) && member.after.iter().all(|needed| placed.contains(needed)))
    {
        placed.insert(&next.name);
        order.push(next);
    }
    order
}

/// All that is wrong with how a file declares what it deploys: one service, or a group of them.
pub(crate) fn problems(service: &Service, found: &mut Vec<Problem>) {
    if service.services.is_empty() {
        match &service.image {
            Some(image) => image_problems(&["image"], image, found),
            None => found.push(problem(
                &[],
                "missing field `image`".into(),
                "write `image: { artifact: NAME, binary: FILE }`, or `services` for a group",
            )),
        }
        if let Some(path) = &service.manifests {
            path_problem(&["manifests"], path, found);
        }
        found.extend(service.migration.iter().flat_map(|migration| migration.problems(&[])));
        for (at, environment) in service.environments.iter().enumerate() {
            for (check_at, check) in environment.checks.iter().enumerate().filter(|(_, check)| check.service.is_some())
            {
                let path = ["environments", &at.to_string(), "checks", &check_at.to_string(), "service"];
                found.push(no_meaning(&path, check.service.as_ref().map_or("", ServiceName::as_str)));
            }
        }
        return;
    }
    let own = [
        ("image", service.image.is_some()),
        ("manifests", service.manifests.is_some()),
        ("migration", service.migration.is_some()),
    ];
    for (field, _) in own.into_iter().filter(|(_, given)| *given) {
        found.push(problem(
            &[field],
            format!("`{field}` has no meaning beside `services`"),
            "move it to the service that it belongs to",
        ));
    }
    flag_problems(service, found);
    if service.services.len() > MEMBERS_MAX {
        let message = format!("a group has at most {MEMBERS_MAX} services, this one has {}", service.services.len());
        found.push(problem(&["services"], message, "split it into repositories that fly by themselves"));
    }
    for (at, _) in service.environments.iter().enumerate().filter(|(_, environment)| environment.gate.merge) {
        found.push(problem(
            &["environments", &at.to_string(), "gate", "merge"],
            "the services of a group enter one after the other, and a proposal would be of one".to_owned(),
            "ask for `approvals` here, or let services that are proposed fly by themselves",
        ));
    }
    member_problems(service, found);
    check_problems(service, found);
}

/// What belongs to groups alone, where there is none.
fn no_meaning(path: &[&str], name: &str) -> Problem {
    problem(path, format!("{name} is no service of a group"), "remove `service`, or declare `services`")
}

fn flag_problems(service: &Service, found: &mut Vec<Problem>) {
    let hint = "keep the flags in the repository of a service that flies by itself";
    let refused = || "feature flags are not supported in a group".to_owned();
    if service.flags.is_some() {
        found.push(problem(&["flags"], refused(), hint));
    }
    for (at, _) in service.environments.iter().enumerate().filter(|(_, environment)| environment.flags.is_some()) {
        found.push(problem(&["environments", &at.to_string(), "flags"], refused(), hint));
    }
}

fn member_problems(service: &Service, found: &mut Vec<Problem>) {
    let mut names = BTreeSet::new();
    let known: BTreeSet<&ServiceName> = service.services.iter().map(|member| &member.name).collect();
    let ordered: BTreeSet<&ServiceName> = in_order(&service.services).into_iter().map(|member| &member.name).collect();
    for (at, member) in service.services.iter().enumerate() {
        let at = at.to_string();
        if !names.insert(&member.name) {
            found.push(problem(
                &["services", &at, "name"],
                format!("service {} is declared twice", member.name),
                "give each its own name",
            ));
        }
        for (needed_at, needed) in member.after.iter().enumerate().filter(|(_, needed)| !known.contains(needed)) {
            found.push(problem(
                &["services", &at, "after", &needed_at.to_string()],
                format!("{needed} is no service of this group"),
                "name one of `services`",
            ));
        }
        if member.after.iter().all(|needed| known.contains(needed)) && !ordered.contains(&member.name) {
            found.push(problem(
                &["services", &at, "after"],
                format!("{} comes after a service that comes after it", member.name),
                "take one of the names out of the circle",
            ));
        }
        image_problems(&["services", &at, "image"], &member.image, found);
        path_problem(&["services", &at, "manifests"], &member.manifests_path(), found);
        found.extend(member.migration.iter().flat_map(|migration| migration.problems(&["services", &at])));
    }
}

/// A check may be of one service, which must be there.
fn check_problems(service: &Service, found: &mut Vec<Problem>) {
    for (at, environment) in service.environments.iter().enumerate() {
        for (check_at, check) in environment.checks.iter().enumerate() {
            let Some(name) = &check.service else { continue };
            if service.services.iter().all(|member| member.name != *name) {
                let path = ["environments", &at.to_string(), "checks", &check_at.to_string(), "service"];
                found.push(problem(&path, format!("{name} is no service of this group"), "name one of `services`"));
            }
        }
    }
}

fn image_problems(at: &[&str], image: &Image, found: &mut Vec<Problem>) {
    for (field, name) in [("artifact", image.artifact.as_str()), image.file()] {
        if !is_plain_path(name) {
            found.push(problem(
                &[at, &[field]].concat(),
                format!("{name:?} is not a plain file name"),
                "name the file as the workflow uploads it",
            ));
        }
    }
}

pub(crate) fn path_problem(at: &[&str], path: &str, found: &mut Vec<Problem>) {
    if !is_plain_path(path) {
        found.push(problem(
            at,
            format!("{path:?} is not a plain relative name"),
            "use letters, digits, `-`, `_`, `.` and `/`, without `..`",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn group(services: &Value) -> Service {
        serde_json::from_value(json!({
            "version": 1, "service": "shop", "services": services, "environments": [{"name": "production"}]
        }))
        .unwrap()
    }

    fn member(name: &str, after: &[&str]) -> Value {
        json!({"name": name, "after": after, "image": {"artifact": name, "binary": name}})
    }

    #[track_caller]
    fn check(services: &Value, expected: &[&str]) {
        let found = group(services).problems();
        let found: Vec<String> = found.iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn members_come_after_what_they_need() {
        let service = group(&json!([member("web", &["orders"]), member("orders", &["stock"]), member("stock", &[])]));
        assert_eq!(service.problems(), []);
        let names: Vec<String> = service.members().iter().map(|member| member.name.to_string()).collect();
        assert_eq!(names, ["stock", "orders", "web"]);
        assert_eq!(service.members()[0].manifests_path(), "deploy/stock");
    }

    #[test]
    fn what_can_not_be_ordered_is_refused_by_name() {
        check(
            &json!([member("a", &["b"]), member("b", &["a"]), member("c", &[])]),
            &[
                "services.0.after: a comes after a service that comes after it",
                "services.1.after: b comes after a service that comes after it",
            ],
        );
        check(&json!([member("a", &["a"])]), &["services.0.after: a comes after a service that comes after it"]);
        check(&json!([member("a", &["x"])]), &["services.0.after.0: x is no service of this group"]);
        check(&json!([member("a", &[]), member("a", &[])]), &["services.1.name: service a is declared twice"]);
    }

    #[test]
    fn what_has_no_meaning_in_a_group_is_refused() {
        let service: Service = serde_json::from_value(json!({
            "version": 1, "service": "shop", "image": {"artifact": "a", "binary": "a"}, "manifests": "deploy",
            "flags": "flags.yaml", "migration": {"args": ["migrate"]}, "services": [member("a", &[])],
            "environments": [{"name": "p", "flags": "f.yaml", "checks": [{"get": "/", "service": "b"}]}],
        }))
        .unwrap();
        let found = service.problems();
        let found: Vec<String> = found.iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        image: `image` has no meaning beside `services`
        manifests: `manifests` has no meaning beside `services`
        migration: `migration` has no meaning beside `services`
        flags: feature flags are not supported in a group
        environments.0.flags: feature flags are not supported in a group
        environments.0.checks.0.service: b is no service of this group
        ");
    }
}

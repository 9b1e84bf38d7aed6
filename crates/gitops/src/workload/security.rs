//! `securityContext` of pod and container, `resources`, and volumes, as what the process is held to (Kubernetes API
//! reference, `PodSecurityContext`, `SecurityContext`, `ResourceRequirements`, `Volume`, `VolumeMount`).
//!
//! Invariant: a field that says something is honoured, or is a finding. A manifest that sets none asks for nothing.

use prograde_model::confinement::{Asked, Confinement, Part, RunAs, Seccomp, capability};

use super::fields::{Fields, Findings};
use super::limits;
use super::volumes::{self, Volume};
use crate::codes;
use crate::located::{Located, Value};

/// What the pod says, which holds for its container where that says nothing else.
#[derive(Default)]
pub(super) struct Pod<'a> {
    user: RunAs,
    non_root: Option<bool>,
    seccomp: Option<Seccomp>,
    asked: Vec<Asked>,
    pub(super) volumes: Vec<Volume<'a>>,
}

const NETWORK: &str = "remove it: on this runtime the network is the machine's own";
const OTHER: &str = "use `seccompProfile`, or an environment on Kubernetes";

/// Reads what a pod says.
pub(super) fn pod<'a>(pod: &mut Fields<'a>, found: &mut Findings) -> Pod<'a> {
    let mut read = Pod { volumes: volumes::read(pod, found), ..Pod::default() };
    let Some(mut context) = pod.fields("securityContext", found) else { return read };
    read.identity(&mut context, found);
    read.user.supplementary = groups(&mut context, &mut read.asked, found);
    read.user.fs_group = number(&mut context, "fsGroup", &mut read.asked, found);
    context.note(found, &["fsGroupChangePolicy"], "a volume is new when its replica starts");
    if let Some(policy) = context.get("supplementalGroupsPolicy").filter(|policy| policy.as_str() != Some("Merge")) {
        let message = format!("`{}` must be `Merge` on this runtime", context.path("supplementalGroupsPolicy"));
        found.error(policy, codes::REFUSED_FIELD, message, "name a user whom the image has in no other group");
    }
    context.refuse(found, &["sysctls"], NETWORK);
    other_systems(&mut context, found);
    context.refuse(found, &["seLinuxChangePolicy"], OTHER);
    context.finish(found);
    read
}

impl Pod<'_> {
    fn identity(&mut self, context: &mut Fields, found: &mut Findings) {
        self.user.user = number(context, "runAsUser", &mut self.asked, found);
        self.user.group = number(context, "runAsGroup", &mut self.asked, found);
        self.non_root = flag(context, "runAsNonRoot", &mut self.asked, found);
        self.seccomp = seccomp(context, &mut self.asked, found);
    }
}

/// Reads what a container says, on top of its pod; `None` where neither asks for anything.
pub(super) fn container(container: &mut Fields, pod: Pod, found: &mut Findings) -> Option<Confinement> {
    let mut given = Confinement { asked: pod.asked, user: pod.user, ..Confinement::default() };
    let (mut non_root, mut profile) = (pod.non_root, pod.seccomp);
    let tree = container.get("securityContext");
    let context = container.fields("securityContext", found);
    if let (Some(mut context), Some(tree)) = (context, tree) {
        let mut own = Pod::default();
        own.identity(&mut context, found);
        given.user.user = own.user.user.or(given.user.user);
        given.user.group = own.user.group.or(given.user.group);
        non_root = own.non_root.or(non_root);
        profile = own.seccomp.or(profile);
        given.asked.extend(own.asked);
        privileges(&mut context, tree, &mut given, found);
        context.finish(found);
    }
    given.user.non_root = non_root.unwrap_or(false);
    // As in Kubernetes, what is privileged has no filter.
    given.seccomp = if given.privileged { Seccomp::Unconfined } else { profile.unwrap_or_default() };
    if given.user.non_root && given.user.user == Some(0) {
        let at = tree.unwrap_or(container.tree);
        let message = "`runAsNonRoot` is set and `runAsUser` is 0, so the replica could never start";
        found.invalid(at, message, "name another user");
    }
    limits::read(container, &mut given, found);
    given.mounts = volumes::mounts(container, &pod.volumes, &mut given.asked, found);
    (!given.asked.is_empty()).then_some(given)
}

fn privileges(context: &mut Fields, tree: &Located, given: &mut Confinement, found: &mut Findings) {
    given.privileged = flag(context, "privileged", &mut given.asked, found).unwrap_or(false);
    let may_escalate = flag(context, "allowPrivilegeEscalation", &mut given.asked, found);
    given.may_escalate = may_escalate.unwrap_or(true);
    given.read_only_root = flag(context, "readOnlyRootFilesystem", &mut given.asked, found).unwrap_or(false);
    if let Some(mut lists) = context.fields("capabilities", found) {
        given.capabilities_add = capabilities(&mut lists, "add", &mut given.asked, found);
        given.capabilities_drop = capabilities(&mut lists, "drop", &mut given.asked, found);
        lists.finish(found);
    }
    let gains = given.privileged || given.capabilities_add.iter().any(|name| name == "SYS_ADMIN");
    if may_escalate == Some(false) && gains {
        let message = "`allowPrivilegeEscalation: false` contradicts `privileged` and `CAP_SYS_ADMIN`";
        found.invalid(tree, message, "keep one of them");
    }
    if let Some(mount) = context.get("procMount").filter(|mount| mount.as_str() != Some("Default")) {
        let message = format!("`{}` must be `Default` on this runtime", context.path("procMount"));
        found.error(mount, codes::REFUSED_FIELD, message, "remove it");
    }
    other_systems(context, found);
}

/// What other systems enforce.
fn other_systems(context: &mut Fields, found: &mut Findings) {
    context.refuse(found, &["seLinuxOptions", "windowsOptions"], OTHER);
    let path = context.path("appArmorProfile.type");
    if let Some(profile) = context.get("appArmorProfile")
        && profile.get("type").and_then(Located::as_str) != Some("Unconfined")
    {
        found.error(profile, codes::REFUSED_FIELD, format!("`{path}` must be `Unconfined` on this runtime"), OTHER);
    }
}

fn ask(context: &Fields, name: &str, part: Part, asked: &mut Vec<Asked>) {
    asked.push(context.asks(name, part));
}

fn number(context: &mut Fields, name: &'static str, asked: &mut Vec<Asked>, found: &mut Findings) -> Option<u32> {
    let number = context.number(name, found)?;
    ask(context, name, Part::Container, asked);
    Some(number)
}

fn flag(context: &mut Fields, name: &'static str, asked: &mut Vec<Asked>, found: &mut Findings) -> Option<bool> {
    context.get(name)?;
    let flag = context.flag(name, found);
    ask(context, name, Part::Container, asked);
    Some(flag)
}

fn groups(context: &mut Fields, asked: &mut Vec<Asked>, found: &mut Findings) -> Vec<u32> {
    let items = context.list("supplementalGroups", found);
    if !items.is_empty() {
        ask(context, "supplementalGroups", Part::Container, asked);
    }
    let mut groups = Vec::new();
    for item in items {
        match super::fields::whole(item).filter(|number| i32::try_from(*number).is_ok()) {
            Some(group) => groups.push(group),
            None => found.invalid(item, "a group must be a whole number, 0 or more", ""),
        }
    }
    groups
}

fn capabilities(lists: &mut Fields, name: &'static str, asked: &mut Vec<Asked>, found: &mut Findings) -> Vec<String> {
    let Some(texts) = lists.texts(name, found).filter(|texts| !texts.is_empty()) else { return Vec::new() };
    ask(lists, name, Part::Container, asked);
    let part = if name == "add" { Part::Capabilities } else { Part::Container };
    ask(lists, name, part, asked);
    asked.dedup();
    let mut names = Vec::new();
    for text in texts {
        let written = text.as_str().unwrap_or_default();
        match capability(written) {
            Some(known) => names.push(known.to_owned()),
            None => found.invalid(
                text,
                format!("Linux has no capability `{written}`"),
                "write one such as `NET_BIND_SERVICE`",
            ),
        }
    }
    names
}

fn seccomp(context: &mut Fields, asked: &mut Vec<Asked>, found: &mut Findings) -> Option<Seccomp> {
    let path = context.path("seccompProfile");
    let mut profile = context.fields("seccompProfile", found)?;
    let kind = profile.required("type", found);
    let name = profile.text("type", found);
    let file = profile.get("localhostProfile");
    profile.text("localhostProfile", found);
    profile.finish(found);
    let is_below = |file: &str| {
        !file.is_empty() && !file.starts_with('/') && file.split('/').all(|part| !matches!(part, "" | "." | ".."))
    };
    let read = match (name?, file) {
        ("RuntimeDefault", None) => Seccomp::RuntimeDefault,
        ("Unconfined", None) => Seccomp::Unconfined,
        ("Localhost", Some(Located { value: Value::Text(file), .. })) if is_below(file) => {
            Seccomp::Localhost(file.clone())
        }
        ("Localhost", _) => {
            let hint = "write the file's path below the folder `seccomp` of the node";
            found.invalid(kind?, format!("`{path}.localhostProfile` must name a file below the node's folder"), hint);
            return None;
        }
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            found.invalid(file, format!("`{path}.localhostProfile` is for the type `Localhost` alone"), "remove it");
            return None;
        }
        (other, _) => {
            let message = format!("`{path}.type` can't be `{other}`");
            found.invalid(kind?, message, "there is RuntimeDefault, Localhost and Unconfined");
            return None;
        }
    };
    let part = if read == Seccomp::Unconfined { Part::Container } else { Part::Seccomp };
    if part == Part::Seccomp {
        ask(context, "seccompProfile", Part::Container, asked);
    }
    ask(context, "seccompProfile", part, asked);
    Some(read)
}

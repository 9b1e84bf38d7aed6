//! Each check of the Pod Security Standards, in the order and with the versions of Kubernetes' documentation.

use std::fmt;

use serde_json::Value;

use super::{Level, containers};
use crate::request::{at, text};

/// The container that a field belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) image: String,
}

/// A field that breaks a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) bad: Vec<String>,
    pub(crate) container: Option<Container>,
}

/// A check that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) id: &'static str,
    pub(crate) fields: Vec<Field>,
}

impl Field {
    /// The path with its indexes left out.
    pub(crate) fn generic(&self) -> String {
        let mut made = String::with_capacity(self.path.len());
        let mut inside = false;
        for character in self.path.chars() {
            match character {
                '0'..='9' if inside => {}
                other => {
                    if inside {
                        made.push('*');
                    }
                    made.push(other);
                }
            }
            inside = character == '[' || (inside && character.is_ascii_digit());
            if !inside && made.ends_with("**") {
                made.pop();
            }
        }
        made.replace("[**", "[*")
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if self.bad.is_empty() { write!(f, " is missing") } else { write!(f, " is {}", self.bad.join(", ")) }
    }
}

type Check = fn(&Pod<'_>) -> Vec<Field>;
/// The forms of a check, and the minor version since which each is.
type Forms = &'static [(u32, Check)];

/// Checks, the level that each belongs to, and the first version of which each form is.
const CHECKS: [(&str, Level, Forms); 18] = [
    ("allowPrivilegeEscalation", Level::Restricted, &[(8, escalation), (25, |pod| unless_windows(pod, escalation))]),
    ("appArmorProfile", Level::Baseline, &[(0, app_armor)]),
    ("capabilities_baseline", Level::Baseline, &[(0, capabilities_baseline)]),
    (
        "capabilities_restricted",
        Level::Restricted,
        &[(22, capabilities_restricted), (25, |pod| unless_windows(pod, capabilities_restricted))],
    ),
    ("hostNamespaces", Level::Baseline, &[(0, host_namespaces)]),
    ("hostPathVolumes", Level::Baseline, &[(0, host_path)]),
    ("hostPorts", Level::Baseline, &[(0, host_ports)]),
    ("hostProbesAndHostLifecycle", Level::Baseline, &[(34, probe_hosts)]),
    ("privileged", Level::Baseline, &[(0, privileged)]),
    ("procMount", Level::Baseline, &[(0, proc_mount)]),
    ("restrictedVolumes", Level::Restricted, &[(0, volumes)]),
    ("runAsNonRoot", Level::Restricted, &[(0, non_root)]),
    ("runAsUser", Level::Restricted, &[(23, run_as_user)]),
    ("seLinuxOptions", Level::Baseline, &[(0, |pod| se_linux(pod, false)), (31, |pod| se_linux(pod, true))]),
    ("seccompProfile_baseline", Level::Baseline, &[(0, seccomp_annotations), (19, seccomp_baseline)]),
    (
        "seccompProfile_restricted",
        Level::Restricted,
        &[(19, seccomp_restricted), (25, |pod| unless_windows(pod, seccomp_restricted))],
    ),
    (
        "sysctls",
        Level::Baseline,
        &[
            (0, |pod| sysctls(pod, 0)),
            (27, |pod| sysctls(pod, 27)),
            (29, |pod| sysctls(pod, 29)),
            (32, |pod| sysctls(pod, 32)),
        ],
    ),
    ("windowsHostProcess", Level::Baseline, &[(0, host_process)]),
];

struct Pod<'p> {
    pod: &'p Value,
    spec: &'p Value,
}

/// All broken checks of a level at a version.
pub(crate) fn run(pod: &Value, level: Level, minor: u32) -> Vec<Violation> {
    let pod = Pod { pod, spec: pod.get("spec").unwrap_or(&Value::Null) };
    let mut found = Vec::new();
    for (id, of, versions) in CHECKS {
        if of > level || level == Level::Privileged {
            continue;
        }
        // A check that is younger than the version asked for is not applied, save where it has older forms.
        let form = versions.iter().rev().find(|(since, _)| *since <= minor);
        if let Some((_, check)) = form {
            let fields = check(&pod);
            if !fields.is_empty() {
                found.push(Violation { id, fields });
            }
        }
    }
    found
}

fn unless_windows(pod: &Pod<'_>, check: Check) -> Vec<Field> {
    if text(pod.spec, &["os", "name"]) == "windows" { Vec::new() } else { check(pod) }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl<'p> Pod<'p> {
    fn context(&self) -> Option<&'p Value> {
        self.spec.get("securityContext").filter(|found| !found.is_null())
    }

    /// A field of the pod.
    fn field(path: &str, bad: &[&Value]) -> Field {
        Field { path: format!("spec.{path}"), bad: bad.iter().map(|value| shown(value)).collect(), container: None }
    }

    /// Fields of containers, where a test of each finds values that are bad.
    fn each(&self, path: &str, test: impl Fn(&'p Value) -> Option<Vec<String>>) -> Vec<Field> {
        let mut found = Vec::new();
        for (list, index, container) in containers(self.pod) {
            if let Some(bad) = test(container) {
                found.push(of_container(list, index, container, path, bad));
            }
        }
        found
    }

    /// A value of the pod's and of each container's security context that a test finds bad.
    fn contexts(&self, path: &[&str], bad: impl Fn(&Value) -> bool) -> Vec<Field> {
        let joined = format!("securityContext.{}", path.join("."));
        let mut found = Vec::new();
        if let Some(value) = self.context().and_then(|context| at(context, path)).filter(|value| bad(value)) {
            found.push(Self::field(&joined, &[value]));
        }
        found.extend(self.each(&joined, |container| {
            let value = container.get("securityContext").and_then(|context| at(context, path))?;
            bad(value).then(|| vec![shown(value)])
        }));
        found
    }
}

fn of_container(list: &str, index: usize, container: &Value, path: &str, bad: Vec<String>) -> Field {
    let image = text(container, &["image"]).to_owned();
    Field { path: format!("spec.{list}[{index}].{path}"), bad, container: Some(Container { image }) }
}

fn escalation(pod: &Pod<'_>) -> Vec<Field> {
    pod.each("securityContext.allowPrivilegeEscalation", |container| {
        let Some(context) = container.get("securityContext").filter(|found| !found.is_null()) else {
            return Some(Vec::new());
        };
        match context.get("allowPrivilegeEscalation").unwrap_or(&Value::Null) {
            Value::Bool(false) => None,
            Value::Null => Some(vec!["nil".to_owned()]),
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Some(vec![shown(other)])
            }
        }
    })
}

fn app_armor(pod: &Pod<'_>) -> Vec<Field> {
    let mut found = pod
        .contexts(&["appArmorProfile", "type"], |kind| !matches!(kind.as_str(), Some("RuntimeDefault" | "Localhost")));
    for (name, value) in at(pod.pod, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten() {
        let profile = value.as_str().unwrap_or_default();
        let allowed = profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/");
        if name.starts_with("container.apparmor.security.beta.kubernetes.io/") && !allowed {
            found.push(Field {
                path: format!("metadata.annotations[{name}]"),
                bad: vec![profile.to_owned()],
                container: None,
            });
        }
    }
    found
}

/// Capabilities that containers get anyhow.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities<'p>(container: &'p Value, list: &str) -> Vec<&'p str> {
    let found = at(container, &["securityContext", "capabilities", list]).and_then(Value::as_array);
    found.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn added(pod: &Pod<'_>, allowed: &[&str]) -> Vec<Field> {
    pod.each("securityContext.capabilities.add", |container| {
        let bad: Vec<String> = capabilities(container, "add")
            .into_iter()
            .filter(|name| !allowed.contains(name))
            .map(str::to_owned)
            .collect();
        (!bad.is_empty()).then_some(bad)
    })
}

fn capabilities_baseline(pod: &Pod<'_>) -> Vec<Field> {
    added(pod, &DEFAULT_CAPABILITIES)
}

fn capabilities_restricted(pod: &Pod<'_>) -> Vec<Field> {
    let mut found = pod.each("securityContext.capabilities.drop", |container| {
        let dropped = capabilities(container, "drop");
        (!dropped.contains(&"ALL")).then(|| dropped.into_iter().map(str::to_owned).collect())
    });
    found.extend(added(pod, &["NET_BIND_SERVICE"]));
    found
}

fn host_namespaces(pod: &Pod<'_>) -> Vec<Field> {
    let shared = |name: &&str| pod.spec.get(*name).filter(|value| **value == Value::Bool(true));
    ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter_map(|name| shared(name).map(|value| Pod::field(name, &[value])))
        .collect()
}

fn pod_volumes<'p>(pod: &Pod<'p>) -> impl Iterator<Item = (usize, &'p Value)> + use<'p> {
    pod.spec.get("volumes").and_then(Value::as_array).into_iter().flatten().enumerate()
}

fn host_path(pod: &Pod<'_>) -> Vec<Field> {
    let of = |volume: &Value| volume.get("hostPath").filter(|host| !host.is_null()).cloned();
    pod_volumes(pod)
        .filter_map(|(index, volume)| {
            let host = of(volume)?;
            let path = host.get("path").cloned().unwrap_or_default();
            Some(Pod::field(&format!("volumes[{index}].hostPath"), &[&path]))
        })
        .collect()
}

fn host_ports(pod: &Pod<'_>) -> Vec<Field> {
    let mut found = Vec::new();
    for (list, index, container) in containers(pod.pod) {
        for (port_index, port) in container.get("ports").and_then(Value::as_array).into_iter().flatten().enumerate() {
            if let Some(port) = port.get("hostPort").filter(|port| port.as_f64().is_some_and(|port| port != 0.0)) {
                found.push(of_container(
                    list,
                    index,
                    container,
                    &format!("ports[{port_index}].hostPort"),
                    vec![shown(port)],
                ));
            }
        }
    }
    found
}

fn probe_hosts(pod: &Pod<'_>) -> Vec<Field> {
    const PLACES: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let mut found = Vec::new();
    for (list, index, container) in containers(pod.pod) {
        for place in PLACES {
            for action in ["httpGet", "tcpSocket"] {
                let host = at(container, place).map_or("", |handler| text(handler, &[action, "host"]));
                if !host.is_empty() {
                    let path = format!("{}.{action}.host", place.join("."));
                    found.push(of_container(list, index, container, &path, vec![host.to_owned()]));
                }
            }
        }
    }
    found
}

fn privileged(pod: &Pod<'_>) -> Vec<Field> {
    pod.each("securityContext.privileged", |container| {
        let value = at(container, &["securityContext", "privileged"])?;
        (*value == Value::Bool(true)).then(|| vec![shown(value)])
    })
}

fn proc_mount(pod: &Pod<'_>) -> Vec<Field> {
    pod.each("securityContext.procMount", |container| {
        let value = at(container, &["securityContext", "procMount"]).filter(|value| !value.is_null())?;
        (value != "Default").then(|| vec![shown(value)])
    })
}

fn volumes(pod: &Pod<'_>) -> Vec<Field> {
    const ALLOWED: [&str; 9] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "image",
    ];
    let mut found = Vec::new();
    for (index, volume) in pod_volumes(pod) {
        let kinds = volume.as_object().into_iter().flatten();
        for (kind, _) in kinds
            .filter(|(kind, value)| kind.as_str() != "name" && !value.is_null() && !ALLOWED.contains(&kind.as_str()))
        {
            found.push(Pod::field(&format!("volumes[{index}].{kind}"), &[]));
        }
    }
    found
}

/// A pod with a user namespace of its own may run as root within it; the standards do not say so yet by default.
fn non_root(pod: &Pod<'_>) -> Vec<Field> {
    let own = pod.context().and_then(|context| context.get("runAsNonRoot")).unwrap_or(&Value::Null);
    let mut found = Vec::new();
    if *own == Value::Bool(false) {
        found.push(Pod::field("securityContext.runAsNonRoot", &[own]));
    }
    found.extend(pod.each("securityContext.runAsNonRoot", |container| {
        match at(container, &["securityContext", "runAsNonRoot"]).unwrap_or(&Value::Null) {
            Value::Null => (*own != Value::Bool(true)).then(Vec::new),
            Value::Bool(true) => None,
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Some(vec![shown(other)])
            }
        }
    }));
    found
}

fn run_as_user(pod: &Pod<'_>) -> Vec<Field> {
    pod.contexts(&["runAsUser"], |user| user.as_f64() == Some(0.0))
}

fn se_linux(pod: &Pod<'_>, engine: bool) -> Vec<Field> {
    let mut found = pod.contexts(&["seLinuxOptions", "type"], |kind| {
        let kind = kind.as_str().unwrap_or_default();
        !(matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || engine && kind == "container_engine_t")
    });
    for part in ["user", "role"] {
        found.extend(
            pod.contexts(&["seLinuxOptions", part], |value| value.as_str().is_some_and(|text| !text.is_empty())),
        );
    }
    found
}

fn seccomp_annotations(pod: &Pod<'_>) -> Vec<Field> {
    let mut found = Vec::new();
    for (name, value) in at(pod.pod, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten() {
        let about = name == "seccomp.security.alpha.kubernetes.io/pod"
            || name.starts_with("container.seccomp.security.alpha.kubernetes.io/");
        let profile = value.as_str().unwrap_or_default();
        let allowed = matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/");
        if about && !allowed {
            found.push(Field {
                path: format!("metadata.annotations[{name}]"),
                bad: vec![profile.to_owned()],
                container: None,
            });
        }
    }
    found
}

fn valid_seccomp(kind: &Value) -> bool {
    matches!(kind.as_str(), Some("RuntimeDefault" | "Localhost"))
}

fn seccomp_baseline(pod: &Pod<'_>) -> Vec<Field> {
    pod.contexts(&["seccompProfile", "type"], |kind| !kind.is_null() && !valid_seccomp(kind))
}

fn seccomp_restricted(pod: &Pod<'_>) -> Vec<Field> {
    let bad = seccomp_baseline(pod);
    if !bad.is_empty() {
        return bad;
    }
    let of_pod = pod.context().and_then(|context| at(context, &["seccompProfile", "type"])).is_some_and(valid_seccomp);
    pod.each("securityContext.seccompProfile.type", |container| {
        let own = at(container, &["securityContext", "seccompProfile"]).is_some_and(|profile| !profile.is_null());
        (!own && !of_pod).then(Vec::new)
    })
}

fn sysctls(pod: &Pod<'_>, minor: u32) -> Vec<Field> {
    const SAFE: [(u32, &str); 12] = [
        (0, "kernel.shm_rmid_forced"),
        (0, "net.ipv4.ip_local_port_range"),
        (0, "net.ipv4.tcp_syncookies"),
        (0, "net.ipv4.ping_group_range"),
        (0, "net.ipv4.ip_unprivileged_port_start"),
        (27, "net.ipv4.ip_local_reserved_ports"),
        (29, "net.ipv4.tcp_keepalive_time"),
        (29, "net.ipv4.tcp_fin_timeout"),
        (29, "net.ipv4.tcp_keepalive_intvl"),
        (29, "net.ipv4.tcp_keepalive_probes"),
        (32, "net.ipv4.tcp_rmem"),
        (32, "net.ipv4.tcp_wmem"),
    ];
    let list = pod.context().and_then(|context| context.get("sysctls")).and_then(Value::as_array);
    let mut found = Vec::new();
    for (index, sysctl) in list.into_iter().flatten().enumerate() {
        let name = text(sysctl, &["name"]);
        if !SAFE.iter().any(|(since, safe)| *since <= minor && *safe == name) {
            let field = Pod::field(
                &format!("securityContext.sysctls[{index}].name"),
                &[sysctl.get("name").unwrap_or(&Value::Null)],
            );
            found.push(field);
        }
    }
    found
}

fn host_process(pod: &Pod<'_>) -> Vec<Field> {
    pod.contexts(&["windowsOptions", "hostProcess"], |value| *value == Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_indexes() {
        let field = |path: &str| Field { path: path.to_owned(), bad: Vec::new(), container: None }.generic();
        assert_eq!(field("spec.containers[12].ports[0].hostPort"), "spec.containers[*].ports[*].hostPort");
        assert_eq!(field("spec.hostPID"), "spec.hostPID");
    }
}

//! The Pod Security Standards, at every version, with Kyverno's exclusions.
//!
//! Source: Kubernetes' documentation, "Pod Security Standards"
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>), and the reference of the versions at which
//! checks changed, "Enforcing Pod Security Standards". Exclusions: Kyverno's documentation, "Validate Rules",
//! "Pod Security".

mod checks;

use serde_json::Value;

use crate::matching::texts;
use crate::request::{CONTAINERS, at, pod_path, text};
use crate::wildcard;
pub(crate) use checks::Violation;

/// How strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// What is let through.
#[derive(Debug, Clone)]
pub(crate) struct Exclusion {
    control: String,
    images: Vec<String>,
    field: String,
    values: Vec<String>,
}

/// `validate.podSecurity`.
#[derive(Debug, Clone)]
pub(crate) struct PodSecurity {
    level: Level,
    /// The minor version of Kubernetes 1.
    minor: u32,
    exclude: Vec<Exclusion>,
}

/// Names of controls and the checks that they are made of.
const CONTROLS: [(&str, &[&str]); 16] = [
    ("Capabilities", &["capabilities_baseline", "capabilities_restricted"]),
    ("Seccomp", &["seccompProfile_baseline", "seccompProfile_restricted"]),
    ("Privileged Containers", &["privileged"]),
    ("Host Ports", &["hostPorts"]),
    ("/proc Mount Type", &["procMount"]),
    ("HostProcess", &["windowsHostProcess"]),
    ("SELinux", &["seLinuxOptions"]),
    ("Host Namespaces", &["hostNamespaces"]),
    ("HostPath Volumes", &["hostPathVolumes"]),
    ("Sysctls", &["sysctls"]),
    ("AppArmor", &["appArmorProfile"]),
    ("Privilege Escalation", &["allowPrivilegeEscalation"]),
    ("Running as Non-root", &["runAsNonRoot"]),
    ("Running as Non-root user", &["runAsUser"]),
    ("Volume Types", &["restrictedVolumes"]),
    ("Host Probes / Lifecycle Hooks", &["hostProbesAndHostLifecycle"]),
];

impl Exclusion {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let control = text(value, &["controlName"]);
        if !CONTROLS.iter().any(|(name, _)| *name == control) {
            return Err(format!("unknown control `{control}` of the Pod Security Standards"));
        }
        Ok(Self {
            control: control.to_owned(),
            images: texts(value.get("images")),
            field: text(value, &["restrictedField"]).to_owned(),
            values: texts(value.get("values")),
        })
    }
}

impl PodSecurity {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let level = match text(value, &["level"]) {
            "privileged" => Level::Privileged,
            "baseline" => Level::Baseline,
            "restricted" => Level::Restricted,
            other => {
                return Err(format!(
                    "unknown level `{other}` of podSecurity: expected privileged, baseline or restricted"
                ));
            }
        };
        let minor = match text(value, &["version"]) {
            "" | "latest" => u32::MAX,
            version => version
                .strip_prefix("v1.")
                .and_then(|minor| minor.parse().ok())
                .ok_or_else(|| format!("unknown version `{version}` of podSecurity: expected latest or v1.N"))?,
        };
        let exclude = value.get("exclude").and_then(Value::as_array).into_iter().flatten();
        Ok(Self { level, minor, exclude: exclude.map(Exclusion::compile).collect::<Result<_, _>>()? })
    }

    /// What a resource breaks; nothing where it has no pod.
    pub(crate) fn violations(&self, resource: &Value) -> Option<Vec<Violation>> {
        let pod = at(resource, pod_path(text(resource, &["kind"]))?)?;
        let mut found = checks::run(pod, self.level, self.minor);
        for exclusion in &self.exclude {
            Self::exempt(&mut found, exclusion);
        }
        found.retain(|violation| !violation.fields.is_empty());
        Some(found)
    }

    /// Takes out what an exclusion lets through.
    pub(crate) fn exempt(found: &mut Vec<Violation>, exclusion: &Exclusion) {
        let ids = CONTROLS.iter().find(|(name, _)| *name == exclusion.control).map_or(&[][..], |(_, ids)| *ids);
        let pod_level = exclusion.images.is_empty();
        for violation in found.iter_mut().filter(|violation| ids.contains(&violation.id)) {
            violation.fields.retain(|field| {
                let container_level = field.container.is_some();
                let selected = match &field.container {
                    None => true,
                    Some(container) => {
                        exclusion.images.iter().any(|pattern| wildcard::matches(pattern, &container.image))
                    }
                };
                let in_scope = pod_level != container_level || pod_level && !container_level;
                let named = exclusion.field.is_empty() || exclusion.field == field.generic();
                let valued = exclusion.values.is_empty()
                    || field
                        .bad
                        .iter()
                        .all(|bad| exclusion.values.iter().any(|pattern| wildcard::matches(pattern, bad)));
                !(selected && in_scope && named && valued)
            });
        }
        found.retain(|violation| !violation.fields.is_empty());
    }
}

/// One line for all violations.
pub(crate) fn told(violations: &[Violation]) -> String {
    let one = |violation: &Violation| {
        let fields: Vec<String> = violation.fields.iter().map(ToString::to_string).collect();
        format!("{} ({})", violation.id, fields.join(", "))
    };
    violations.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Where the first violation is in a resource, as `/spec/template/spec/containers/0/image/`.
pub(crate) fn place(resource: &Value, violations: &[Violation]) -> String {
    let field = violations.iter().flat_map(|violation| &violation.fields).next();
    let (Some(field), Some(pod)) = (field, pod_path(text(resource, &["kind"]))) else { return String::new() };
    let steps = field.path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let all: Vec<&str> = pod.iter().copied().chain(steps).collect();
    format!("/{}/", all.join("/"))
}

/// All containers of a pod with their lists and places.
pub(crate) fn containers(pod: &Value) -> Vec<(&'static str, usize, &Value)> {
    let mut found = Vec::new();
    for list in CONTAINERS {
        let items = at(pod, &["spec", list]).and_then(Value::as_array);
        found.extend(items.into_iter().flatten().enumerate().map(|(index, container)| (list, index, container)));
    }
    found
}

/// A policy of nothing but a level.
#[cfg(test)]
pub(crate) fn at_level(level: &str, version: &str) -> PodSecurity {
    PodSecurity::compile(&serde_json::json!({"level": level, "version": version})).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(level: &str, version: &str, pod: Value) -> Vec<&'static str> {
        let mut resource = json!({"kind": "Pod", "metadata": {"name": "x"}});
        resource["spec"] = pod;
        at_level(level, version).violations(&resource).unwrap().iter().map(|violation| violation.id).collect()
    }

    fn good() -> Value {
        json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "image": "i", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            }}],
        })
    }

    #[test]
    fn values_of_an_exclusion_are_looked_at() {
        let pod = |path: &str| json!({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"volumes": [{"name": "v", "hostPath": {"path": path}}]}});
        let rule = PodSecurity::compile(&json!({"level": "baseline", "exclude": [{
            "controlName": "HostPath Volumes", "restrictedField": "spec.volumes[*].hostPath", "values": ["/var/lib/one"],
        }]}));
        let rule = rule.unwrap();
        assert!(rule.violations(&pod("/var/lib/one")).unwrap().is_empty());
        assert_eq!(rule.violations(&pod("/var/lib/two")).unwrap().len(), 1);
    }

    #[test]
    fn a_good_pod_is_restricted() {
        assert!(ids("restricted", "latest", good()).is_empty());
        assert_eq!(
            ids("restricted", "latest", json!({"containers": [{"name": "a"}]})),
            ["allowPrivilegeEscalation", "capabilities_restricted", "runAsNonRoot", "seccompProfile_restricted"]
        );
        assert!(ids("baseline", "latest", json!({"containers": [{"name": "a"}]})).is_empty());
        assert!(ids("privileged", "latest", json!({"hostPID": true})).is_empty());
    }

    #[test]
    fn each_control_of_the_baseline() {
        let check = |change: &dyn Fn(&mut Value), id: &str| {
            let mut pod = good();
            change(&mut pod);
            assert!(ids("baseline", "latest", pod.clone()).contains(&id), "{id} {pod}");
        };
        check(&|pod| pod["hostNetwork"] = json!(true), "hostNamespaces");
        check(&|pod| pod["containers"][0]["securityContext"]["privileged"] = json!(true), "privileged");
        check(
            &|pod| pod["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["SYS_ADMIN"]),
            "capabilities_baseline",
        );
        check(&|pod| pod["volumes"] = json!([{"name": "v", "hostPath": {"path": "/"}}]), "hostPathVolumes");
        check(&|pod| pod["containers"][0]["ports"] = json!([{"hostPort": 80}]), "hostPorts");
        check(&|pod| pod["securityContext"]["appArmorProfile"] = json!({"type": "Unconfined"}), "appArmorProfile");
        check(&|pod| pod["securityContext"]["seLinuxOptions"] = json!({"type": "spc_t"}), "seLinuxOptions");
        check(&|pod| pod["containers"][0]["securityContext"]["procMount"] = json!("Unmasked"), "procMount");
        check(
            &|pod| pod["securityContext"]["seccompProfile"] = json!({"type": "Unconfined"}),
            "seccompProfile_baseline",
        );
        check(&|pod| pod["securityContext"]["sysctls"] = json!([{"name": "kernel.msgmax"}]), "sysctls");
        check(&|pod| pod["securityContext"]["windowsOptions"] = json!({"hostProcess": true}), "windowsHostProcess");
        check(
            &|pod| pod["containers"][0]["livenessProbe"] = json!({"httpGet": {"host": "10.0.0.1"}}),
            "hostProbesAndHostLifecycle",
        );
    }

    #[test]
    fn versions_and_windows() {
        let sysctl =
            json!({"containers": [], "securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}});
        assert_eq!(ids("baseline", "v1.26", sysctl.clone()), ["sysctls"]);
        assert!(ids("baseline", "v1.27", sysctl).is_empty());
        let windows = json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "a"}]});
        assert!(ids("restricted", "latest", windows.clone()).is_empty());
        assert!(!ids("restricted", "v1.24", windows).is_empty());
        assert!(PodSecurity::compile(&json!({"level": "strict"})).is_err());
        assert!(PodSecurity::compile(&json!({"level": "baseline", "version": "1.2"})).is_err());
    }

    #[test]
    fn exclusions() {
        let run = |exclude: Value, pod: Value| {
            let policy = json!({"level": "restricted", "version": "latest", "exclude": [exclude]});
            let resource = json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}});
            PodSecurity::compile(&policy).unwrap().violations(&resource).unwrap().len()
        };
        let mut pod = good();
        pod["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["SYS_ADMIN"]);
        assert_eq!(run(json!({"controlName": "Capabilities", "images": ["i"]}), pod.clone()), 0);
        assert_eq!(run(json!({"controlName": "Capabilities", "images": ["other"]}), pod.clone()), 2);
        let field = "spec.containers[*].securityContext.capabilities.add";
        let with_values = |values: Value| json!({"controlName": "Capabilities", "images": ["*"], "restrictedField": field, "values": values});
        assert_eq!(run(with_values(json!(["SYS_ADMIN"])), pod.clone()), 0);
        assert_eq!(run(with_values(json!(["NET_ADMIN"])), pod), 2);
        let mut host = good();
        host["hostNetwork"] = json!(true);
        assert_eq!(run(json!({"controlName": "Host Namespaces"}), host), 0);
        assert!(PodSecurity::compile(&json!({"level": "baseline", "exclude": [{"controlName": "x"}]})).is_err());
    }
}

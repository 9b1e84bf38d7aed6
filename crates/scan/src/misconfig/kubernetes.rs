//! Kubernetes' workloads: the checks of the Pod Security Standards and a few more (kubernetes.io/docs/concepts/security).
//! Other YAML is left alone.

use prograde_model::Diagnostic;
use prograde_yaml::{Node, Value};

use super::{Findings, Rule};
use crate::severity::Severity;

const PRIVILEGED: Rule = Rule(
    "kubernetes-privileged",
    Severity::Critical,
    "set `privileged: false`, and add the capabilities that are needed",
);
const HOST: Rule =
    Rule("kubernetes-host-namespace", Severity::High, "leave the host's network, processes and IPC alone");
const HOST_PATH: Rule = Rule("kubernetes-host-path", Severity::High, "use another kind of volume");
const ESCALATION: Rule =
    Rule("kubernetes-privilege-escalation", Severity::Medium, "set `allowPrivilegeEscalation: false`");
const NON_ROOT: Rule = Rule("kubernetes-root-user", Severity::Medium, "set `runAsNonRoot: true`");
const CAPABILITIES: Rule = Rule("kubernetes-capabilities", Severity::High, "drop `ALL` and add only what is needed");
const LIMITS: Rule = Rule("kubernetes-no-limits", Severity::Low, "set `resources.limits.memory`, and requests of both");
const LATEST: Rule = Rule("kubernetes-latest-tag", Severity::Medium, "name a tag, better a digest");
const SECRET: Rule = Rule("kubernetes-plain-secret", Severity::High, "use `valueFrom.secretKeyRef`");

/// Capabilities that lead to the host (Pod Security Standards, "Baseline" allows the others).
const DANGEROUS: [&str; 8] =
    ["ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "NET_ADMIN", "NET_RAW", "DAC_READ_SEARCH", "BPF"];

pub(super) fn check(text: &str, findings: &mut Findings<'_>) -> Result<(), Diagnostic> {
    if !(text.contains("apiVersion") && text.contains("kind")) {
        return Ok(());
    }
    for document in prograde_yaml::documents(findings.file, text)? {
        let kind = document.get("kind").and_then(Node::as_str).unwrap_or_default();
        let spec = document.get("spec");
        let template = |node: Option<&Node>| -> Option<Node> { node?.get("template")?.get("spec").cloned() };
        let pod = match kind {
            "Pod" => spec.cloned(),
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "ReplicationController" => {
                template(spec)
            }
            "CronJob" => template(spec.and_then(|spec| spec.get("jobTemplate")).and_then(|job| job.get("spec"))),
            _ => None,
        };
        if let Some(pod) = pod.filter(|_| document.get("apiVersion").is_some()) {
            self::pod(&pod, findings);
        }
    }
    Ok(())
}

fn flag(node: Option<&Node>, name: &str) -> Option<bool> {
    match node?.get(name)?.value {
        Value::Bool(flag) => Some(flag),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

fn pod(pod: &Node, findings: &mut Findings<'_>) {
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        if flag(Some(pod), name) == Some(true) {
            findings.add(HOST, pod.key(name).map_or(pod.line, |key| key.line), format!("`{name}` is on"));
        }
    }
    for volume in pod.get("volumes").map(Node::items).unwrap_or_default() {
        if let Some(path) = volume.get("hostPath") {
            let shown = path.get("path").and_then(Node::as_str).unwrap_or_default();
            findings.add(HOST_PATH, path.line, format!("the host's `{shown}` is mounted"));
        }
    }
    let common = pod.get("securityContext");
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in pod.get(list).map(Node::items).unwrap_or_default() {
            self::container(container, common, list == "containers", findings);
        }
    }
}

fn container(container: &Node, common: Option<&Node>, main: bool, findings: &mut Findings<'_>) {
    let name = container.get("name").and_then(Node::as_str).unwrap_or_default();
    let own = container.get("securityContext");
    let line = own.map_or(container.line, |own| own.line);
    if flag(own, "privileged") == Some(true) {
        let at = own.and_then(|own| own.key("privileged")).map_or(line, |key| key.line);
        findings.add(PRIVILEGED, at, format!("the container `{name}` may do everything on its host"));
    }
    if flag(own, "allowPrivilegeEscalation") != Some(false) {
        findings.add(
            ESCALATION,
            line,
            format!("processes of `{name}` may gain more rights than they were started with"),
        );
    }
    let user = own.and_then(|own| own.get("runAsUser")).or_else(|| common?.get("runAsUser")).map(Node::to_json);
    let non_root = flag(own, "runAsNonRoot").or_else(|| flag(common, "runAsNonRoot")) == Some(true);
    if user.as_ref().is_some_and(|user| *user == 0) || !non_root && user.is_none() {
        findings.add(NON_ROOT, line, format!("the container `{name}` may run as root"));
    }
    for added in
        own.and_then(|own| own.get("capabilities")).and_then(|all| all.get("add")).map(Node::items).unwrap_or_default()
    {
        let capability = added.as_str().unwrap_or_default();
        if DANGEROUS.contains(&capability.trim_start_matches("CAP_")) {
            findings.add(CAPABILITIES, added.line, format!("`{name}` gets the capability {capability}"));
        }
    }
    let limits = container.get("resources").and_then(|resources| resources.get("limits"));
    if main && limits.and_then(|limits| limits.get("memory")).is_none() {
        findings.add(LIMITS, container.line, format!("`{name}` may take all of its host's memory"));
    }
    if let Some(image) = container.get("image")
        && let Some(text) = image.as_str()
    {
        let tag = text.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
        if !text.contains('@') && !text.contains(['$', '{']) && tag.is_none_or(|tag| tag == "latest") {
            findings.add(LATEST, image.line, format!("the image `{text}` may be another one tomorrow"));
        }
    }
    for variable in container.get("env").map(Node::items).unwrap_or_default() {
        let key = variable.get("name").and_then(Node::as_str).unwrap_or_default();
        let value = variable.get("value").and_then(Node::as_str).unwrap_or_default();
        if super::names_secret(key) && !value.is_empty() && !value.contains(['$', '{']) {
            findings.add(SECRET, variable.line, format!("`{key}` stands in the manifest"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileKind, check};

    fn found(text: &str) -> Vec<String> {
        check(FileKind::Yaml, "a.yaml", text)
            .unwrap()
            .iter()
            .map(|one| format!("{}:{}", one.line, one.id.trim_start_matches("kubernetes-")))
            .collect()
    }

    #[test]
    fn workloads_are_checked_and_nothing_else() {
        let good = "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      securityContext: {runAsNonRoot: true}\n      containers:\n        - name: a\n          image: a:1\n          securityContext: {allowPrivilegeEscalation: false}\n          resources: {limits: {memory: 1Gi}}\n";
        assert_eq!(found(good), Vec::<String>::new());
        let bad = "apiVersion: v1\nkind: Pod\nspec:\n  hostNetwork: true\n  volumes:\n    - hostPath: {path: /}\n  containers:\n    - name: a\n      image: a\n      securityContext:\n        privileged: true\n        capabilities: {add: [SYS_ADMIN]}\n      env:\n        - name: DB_PASSWORD\n          value: x\n";
        assert_eq!(
            found(bad),
            [
                "4:host-namespace",
                "6:host-path",
                "8:no-limits",
                "9:latest-tag",
                "11:privileged",
                "11:privilege-escalation",
                "11:root-user",
                "12:capabilities",
                "14:plain-secret"
            ]
        );
        assert_eq!(found("apiVersion: x\nkind: Other\nspec: {containers: [{name: a}]}\n"), Vec::<String>::new());
        assert_eq!(found("a: b\n"), Vec::<String>::new());
    }
}

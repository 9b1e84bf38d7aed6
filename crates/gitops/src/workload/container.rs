//! A pod's container: its program, ports and probes (Kubernetes API reference, `Container` and `Probe`).

use prograde_model::confinement::Confinement;
use prograde_model::workload::{Container, ContainerPort, PortRef, Probe, ProbeAction};

use super::env::{self, Sources};
use super::fields::{Fields, Findings, whole};
use super::security::{self, Pod};
use crate::codes;
use crate::located::{Located, Value};

/// Reads a container; `None` with findings where it can't be run.
pub(super) fn read(
    tree: &Located,
    path: &str,
    service: &str,
    sources: &Sources,
    pod: Pod,
    found: &mut Findings,
) -> Option<(Container, Option<Confinement>)> {
    let mut fields = Fields::new(tree, path, found)?;
    fields.required("name", found);
    let name = fields.text("name", found).unwrap_or_default().to_owned();
    let image = image(&mut fields, service, found);
    notes_and_refusals(&mut fields, found);
    let confinement = security::container(&mut fields, pod, found);
    let ports = ports(&mut fields, found);
    let variables = env::read(&mut fields, sources, found);
    let command = variables.program(fields.texts("command", found), found);
    let args = variables.program(fields.texts("args", found), found);
    let working_dir = fields.text("workingDir", found).filter(|dir| !dir.is_empty()).map(str::to_owned);
    let mut probe = |name, once| {
        let path = fields.path(name);
        fields.get(name).and_then(|tree| probe(tree, &path, once, &ports, found))
    };
    let (startup, liveness) = (probe("startupProbe", true), probe("livenessProbe", true));
    let readiness = probe("readinessProbe", false);
    fields.finish(found);
    let env = variables.into_pairs();
    let container =
        Container { name, image: image?, command, args, working_dir, env, ports, startup, liveness, readiness };
    Some((container, confinement))
}

/// The image must be the service's own, with a digest: what the flight built is what is run, and another image never
/// would be. A deployment puts both in where the manifests name the service.
fn image(fields: &mut Fields, service: &str, found: &mut Findings) -> Option<String> {
    let given = fields.required("image", found)?;
    let image = fields.text("image", found)?;
    let own = image
        .strip_prefix(service)
        .and_then(|rest| rest.strip_prefix('@'))
        .is_some_and(|digest| digest.parse::<prograde_model::Digest>().is_ok());
    if !own {
        let message = format!("the image `{image}` is not the service's own");
        let hint = format!("write `image: {service}`; the digest of what was built is put in when it is deployed");
        found.error(given, codes::IMAGE, message, hint);
        return None;
    }
    Some(image.to_owned())
}

fn notes_and_refusals(fields: &mut Fields, found: &mut Findings) {
    const INSIDE: &str = "do it in the program, or use an environment on Kubernetes";
    fields.note(found, &["imagePullPolicy"], "an image with a digest never changes");
    fields.note(found, &["terminationMessagePath", "terminationMessagePolicy"], "the exit status and the log are kept");
    fields.refuse(
        found,
        &["lifecycle"],
        "handle SIGTERM in the program; it gets `terminationGracePeriodSeconds` to end",
    );
    fields.refuse(found, &["stdin", "stdinOnce", "tty", "restartPolicy"], INSIDE);
}

fn ports(fields: &mut Fields, found: &mut Findings) -> Vec<ContainerPort> {
    let path = fields.path("ports");
    let mut ports: Vec<ContainerPort> = Vec::new();
    for item in fields.list("ports", found) {
        let Some(mut port) = Fields::new(item, path.as_str(), found) else { continue };
        let number = port.required("containerPort", found).and_then(|value| number(value, found));
        let name = port_name(&mut port, found);
        refuse_other_protocols(&mut port, found);
        port.refuse(found, &["hostPort", "hostIP"], "use `nodePort` of the Service");
        port.finish(found);
        if name.is_some() && ports.iter().any(|other| other.name == name) {
            found.invalid(item, "two ports have the same name", "");
        }
        if let Some(number) = number {
            ports.push(ContainerPort { name, port: number });
        }
    }
    ports
}

/// A port's name: an RFC 6335 service name.
pub(super) fn port_name(port: &mut Fields, found: &mut Findings) -> Option<String> {
    let name = port.text("name", found).filter(|name| !name.is_empty())?;
    if !is_port_name(name)
        && let Some(at) = port.get("name")
    {
        let hint = "at most 15 lower-case letters, digits and `-`, at least one letter";
        found.invalid(at, format!("`{name}` can't be a port's name"), hint);
    }
    Some(name.to_owned())
}

fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

pub(super) fn refuse_other_protocols(port: &mut Fields, found: &mut Findings) {
    let path = port.path("protocol");
    if let Some(protocol) = port.get("protocol").filter(|protocol| protocol.as_str() != Some("TCP")) {
        let hint = "use an environment on Kubernetes";
        found.error(protocol, codes::REFUSED_FIELD, format!("`{path}` must be `TCP` on this runtime"), hint);
    }
}

/// A port's number.
pub(super) fn number(value: &Located, found: &mut Findings) -> Option<u16> {
    let number = whole(value).and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    if number.is_none() {
        found.invalid(value, "a port must be a number from 1 to 65535", "");
    }
    number
}

/// A port by number, or by the name of one of the container's.
pub(super) fn port_ref(value: &Located, ports: &[ContainerPort], found: &mut Findings) -> Option<PortRef> {
    let Value::Text(name) = &value.value else { return number(value, found).map(PortRef::Number) };
    if ports.iter().any(|port| port.name.as_deref() == Some(name)) {
        return Some(PortRef::Name(name.clone()));
    }
    let names: Vec<&str> = ports.iter().filter_map(|port| port.name.as_deref()).collect();
    let hint = if names.is_empty() {
        "give the container's port a `name`".into()
    } else {
        format!("there is {}", names.join(", "))
    };
    found.error(value, codes::REFERENCE, format!("the container has no port named `{name}`"), hint);
    None
}

fn probe(tree: &Located, path: &str, once: bool, ports: &[ContainerPort], found: &mut Findings) -> Option<Probe> {
    let mut fields = Fields::new(tree, path, found)?;
    fields.note(found, &["terminationGracePeriodSeconds"], "the pod's own grace period is used");
    fields.refuse(found, &["grpc"], "use `httpGet`, or `exec` with a gRPC health client");
    // Zero is what Kubernetes has where nothing is given (`SetDefaults_Probe`).
    let mut number = |name, default| fields.number(name, found).filter(|given| *given > 0).unwrap_or(default);
    let initial_delay_s = number("initialDelaySeconds", 0);
    let (period_s, timeout_s) = (number("periodSeconds", 10), number("timeoutSeconds", 1));
    let (success_threshold, failure_threshold) = (number("successThreshold", 1), number("failureThreshold", 3));
    if once
        && success_threshold != 1
        && let Some(at) = fields.get("successThreshold")
    {
        found.invalid(at, format!("`{path}.successThreshold` must be 1"), "only readiness may ask for more");
    }
    let action = action(&mut fields, path, ports, found);
    fields.finish(found);
    Some(Probe { action: action?, initial_delay_s, period_s, timeout_s, success_threshold, failure_threshold })
}

fn action(fields: &mut Fields, path: &str, ports: &[ContainerPort], found: &mut Findings) -> Option<ProbeAction> {
    let (http, tcp) = (fields.fields("httpGet", found), fields.fields("tcpSocket", found));
    let exec = fields.fields("exec", found);
    match (http, tcp, exec) {
        (Some(http), None, None) => http_get(http, ports, found),
        (None, Some(mut tcp), None) => {
            let port = tcp.required("port", found).and_then(|port| port_ref(port, ports, found));
            tcp.refuse(found, &["host"], "a probe goes to the replica itself");
            tcp.finish(found);
            Some(ProbeAction::Tcp { port: port? })
        }
        (None, None, Some(mut exec)) => {
            let command: Vec<String> = exec
                .texts("command", found)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|part| part.as_str().map(str::to_owned))
                .collect();
            if command.is_empty() {
                found.invalid(exec.tree, format!("`{path}.exec.command` is empty"), "");
            }
            exec.finish(found);
            Some(ProbeAction::Exec { command })
        }
        _ => {
            let message = format!("`{path}` needs exactly one of `httpGet`, `tcpSocket` and `exec`");
            found.invalid(fields.tree, message, "");
            None
        }
    }
}

fn http_get(mut http: Fields, ports: &[ContainerPort], found: &mut Findings) -> Option<ProbeAction> {
    let path = http.text("path", found).filter(|path| !path.is_empty()).unwrap_or("/").to_owned();
    if (!path.starts_with('/') || path.chars().any(|c| c.is_control() || c == ' '))
        && let Some(at) = http.get("path")
    {
        found.invalid(at, "a probe's path must begin with `/` and have no spaces", "");
    }
    let port = http.required("port", found).and_then(|port| port_ref(port, ports, found));
    http.refuse(found, &["host"], "a probe goes to the replica itself; use `httpHeaders` for a `Host` header");
    if let Some(scheme) = http.get("scheme").filter(|scheme| scheme.as_str() != Some("HTTP")) {
        let hint = "offer the probe's path without TLS, or use `tcpSocket`";
        found.error(scheme, codes::REFUSED_FIELD, "probes on this runtime use `HTTP`", hint);
    }
    let mut headers = Vec::new();
    let headers_path = http.path("httpHeaders");
    for item in http.list("httpHeaders", found) {
        let Some(mut header) = Fields::new(item, headers_path.as_str(), found) else { continue };
        let (name, value) = (header.text("name", found), header.text("value", found));
        header.finish(found);
        let name = name.unwrap_or_default();
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        let value = value.unwrap_or_default();
        if !plain || value.chars().any(|c| c.is_control() && c != '\t') {
            found.invalid(item, "the header's name or value can't be sent (RFC 9110, section 5)", "");
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    http.finish(found);
    Some(ProbeAction::Http { path, port: port?, headers })
}

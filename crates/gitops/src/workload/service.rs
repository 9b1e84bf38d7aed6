//! `Service` of core/v1: the ports in front of the replicas (Kubernetes API reference, `ServiceSpec`).

use std::collections::BTreeMap;

use prograde_model::workload::{ContainerPort, PortRef, ServicePort};

use super::container::{number, port_name, port_ref, refuse_other_protocols};
use super::fields::{Fields, Findings};
use crate::codes;
use crate::kustomize::Resource;

/// Why the address of a `Service` is passed over.
const ADDRESS: &str = "the local node listens on its own address";

/// Reads the `Service` in front of pods with these labels and ports.
pub(super) fn read(
    resource: &Resource,
    labels: &BTreeMap<String, String>,
    ports: &[ContainerPort],
    found: &mut Findings,
) -> Vec<ServicePort> {
    let Some(mut object) = Fields::new(&resource.tree, "", found) else { return vec![] };
    super::header(&mut object, found);
    object.note(found, &["status"], "the runtime writes it");
    let spec = object.fields("spec", found);
    object.finish(found);
    let Some(mut spec) = spec else {
        found.invalid(&resource.tree, "`spec` is missing", "");
        return vec![];
    };
    check_type(&mut spec, found);
    check_selector(&mut spec, labels, found);
    if let Some(affinity) = spec.get("sessionAffinity").filter(|affinity| affinity.as_str() != Some("None")) {
        let hint = "keep sessions outside of the replicas; each request may reach another version";
        found.error(affinity, codes::REFUSED_FIELD, "`spec.sessionAffinity` must be `None` on this runtime", hint);
    }
    spec.note(found, &["clusterIPs", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy"], ADDRESS);
    spec.note(found, &["internalTrafficPolicy", "loadBalancerClass", "loadBalancerIP", "trafficDistribution"], ADDRESS);
    spec.note(found, &["allocateLoadBalancerNodePorts", "healthCheckNodePort"], ADDRESS);
    spec.refuse(
        found,
        &["externalIPs", "externalName", "loadBalancerSourceRanges"],
        "remove it, or use an environment on Kubernetes",
    );
    spec.refuse(
        found,
        &["publishNotReadyAddresses", "sessionAffinityConfig"],
        "remove it; only ready replicas get requests",
    );
    spec.required("ports", found);
    let ports = read_ports(&mut spec, ports, found);
    spec.finish(found);
    ports
}

fn check_type(spec: &mut Fields, found: &mut Findings) {
    if let Some(kind) = spec.get("type") {
        match kind.as_str() {
            Some("ClusterIP" | "NodePort") => {}
            Some("LoadBalancer") => spec.note(found, &["type"], ADDRESS),
            Some(_) | None => {
                let hint = "use `ClusterIP` or `NodePort`";
                found.error(kind, codes::REFUSED_FIELD, "this `spec.type` can't be had on this runtime", hint);
            }
        }
    }
    match spec.get("clusterIP") {
        Some(ip) if ip.as_str() == Some("None") => {
            let hint = "remove `clusterIP: None`; requests go through the proxy, which has the weights";
            found.error(ip, codes::REFUSED_FIELD, "a headless Service can't be had on this runtime", hint);
        }
        Some(_) => spec.note(found, &["clusterIP"], ADDRESS),
        None => {}
    }
}

fn check_selector(spec: &mut Fields, labels: &BTreeMap<String, String>, found: &mut Findings) {
    spec.required("selector", found);
    for (name, value) in spec.pairs("selector", found) {
        if labels.get(name).map(String::as_str) != value.as_str() {
            let message = format!("the Service's selector has a label `{name}` that the pods don't have");
            let hint = "repeat labels of `spec.template.metadata.labels` of the Deployment";
            found.error(value, codes::SELECTOR, message, hint);
        }
    }
}

fn read_ports(spec: &mut Fields, targets: &[ContainerPort], found: &mut Findings) -> Vec<ServicePort> {
    let items = spec.list("ports", found);
    let path = spec.path("ports");
    let mut ports: Vec<ServicePort> = Vec::new();
    for item in items {
        let Some(mut fields) = Fields::new(item, path.as_str(), found) else { continue };
        let name = port_name(&mut fields, found);
        if items.len() > 1 && name.is_none() {
            found.invalid(item, "each of several ports needs a `name`", "");
        }
        let port = fields.required("port", found).and_then(|value| number(value, found));
        let target = match fields.get("targetPort") {
            Some(value) => port_ref(value, targets, found),
            None => port.map(PortRef::Number),
        };
        let node_port = fields.get("nodePort").and_then(|value| number(value, found));
        refuse_other_protocols(&mut fields, found);
        fields.note(found, &["appProtocol"], "the proxy speaks HTTP");
        fields.finish(found);
        let (Some(port), Some(target)) = (port, target) else { continue };
        if ports.iter().any(|other| other.port == port || (name.is_some() && other.name == name)) {
            found.invalid(item, "two ports of the Service have the same number or name", "");
        }
        ports.push(ServicePort { name, port, target, node_port });
    }
    ports
}

//! Replicas of the local node as targets, with the labels that Prometheus gives to a cluster's pods, so that a
//! `prometheus.yml` that discovers pods works unchanged.
//!
//! Ports are this machine's: each container port of each replica has one of its own. `__address__` is it, and so is the
//! annotation `prometheus.io/port` where it names a container port, because configurations build an address of it.
//! `__meta_kubernetes_pod_container_port_number` stays the container's, because configurations choose by it.
//!
//! Source: Prometheus documentation, "Configuration", `kubernetes_sd_config`, role `pod`.

use std::collections::BTreeMap;

use prograde_model::ids::Target;
use prograde_node::{PodSeen, PortSeen};
use prograde_observe::scrape::TargetGroup;
use prograde_observe::scrape::config::{Replicas, ScrapeJob};

/// The job of replicas that ask to be scraped, where the configuration discovers none.
pub(super) const JOB: &str = "replicas";
/// What a pod template says to be scraped, and how: what most configurations for Kubernetes go by.
const SCRAPE: &str = "prometheus.io/scrape";
const PORT: &str = "prometheus.io/port";
const PATH: &str = "prometheus.io/path";
const SCHEME: &str = "prometheus.io/scheme";
const ANNOTATION: &str = "__meta_kubernetes_pod_annotation_";

/// A replica, where it runs and which commit it is of.
pub(super) struct Pod {
    pub(super) target: Target,
    pub(super) commit: String,
    pub(super) seen: PodSeen,
}

/// The targets of a job that discovers pods.
pub(super) fn discovered(job: &ScrapeJob, pods: &[Pod]) -> Vec<TargetGroup> {
    let wanted = |pod: &&Pod| {
        let within = |replicas: &Replicas| {
            replicas.namespaces.is_empty()
                || replicas.namespaces.iter().any(|name| name == pod.target.environment.as_str())
        };
        job.replicas.iter().any(within)
    };
    pods.iter().filter(wanted).flat_map(of_pod).collect()
}

/// The targets of the job that is there without a configuration: one of each replica that asks for it.
pub(super) fn annotated(pods: &[Pod]) -> Vec<TargetGroup> {
    pods.iter().filter_map(asking).collect()
}

fn asking(pod: &Pod) -> Option<TargetGroup> {
    let said = |name: &str| pod.seen.annotations.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if said(SCRAPE) != Some("true") {
        return None;
    }
    let port = match said(PORT) {
        Some(port) => pod.seen.ports.iter().find(|seen| seen.container.to_string() == port)?,
        None => pod.seen.ports.first()?,
    };
    let mut labels = of_release(pod);
    labels.extend([("pod".to_owned(), pod.seen.replica.clone())]);
    labels.extend(said(PATH).map(|path| ("__metrics_path__".to_owned(), path.to_owned())));
    labels.extend(said(SCHEME).map(|scheme| ("__scheme__".to_owned(), scheme.to_owned())));
    Some(TargetGroup { addresses: vec![address(port)], labels })
}

/// The labels that the server's own series have as well.
fn of_release(pod: &Pod) -> Vec<(String, String)> {
    let labels = [
        ("commit", pod.commit.as_str()),
        ("environment", pod.target.environment.as_str()),
        ("flight", pod.seen.revision.as_str()),
        ("service", pod.target.service.as_str()),
    ];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn of_pod(pod: &Pod) -> Vec<TargetGroup> {
    let common = of_template(pod);
    let of_port = |port: &PortSeen| {
        let mut labels = common.clone();
        let number = port.container.to_string();
        let named = [
            ("container_port_name", port.name.as_deref().unwrap_or_default()),
            ("container_port_number", &number),
            ("container_port_protocol", "TCP"),
        ];
        labels.extend(named.map(|(name, value)| (format!("__meta_kubernetes_pod_{name}"), value.to_owned())));
        TargetGroup { addresses: vec![address(port)], labels: labels.into_iter().collect() }
    };
    pod.seen.ports.iter().map(of_port).collect()
}

/// The labels that all ports of a pod have in common.
fn of_template(pod: &Pod) -> BTreeMap<String, String> {
    let PodSeen { replica, ready, labels, annotations, workload, container, image, .. } = &pod.seen;
    let mut meta = BTreeMap::from([
        ("__meta_kubernetes_namespace".to_owned(), pod.target.environment.to_string()),
        ("__meta_prograde_service".to_owned(), pod.target.service.to_string()),
        ("__meta_prograde_environment".to_owned(), pod.target.environment.to_string()),
        ("__meta_prograde_commit".to_owned(), pod.commit.clone()),
        ("__meta_prograde_flight".to_owned(), pod.seen.revision.to_string()),
    ]);
    let fixed = [
        ("name", replica.as_str()),
        ("ip", "127.0.0.1"),
        ("host_ip", "127.0.0.1"),
        ("ready", if *ready { "true" } else { "false" }),
        ("phase", "Running"),
        ("node_name", "local"),
        ("container_name", container),
        ("container_image", image),
        ("container_init", "false"),
        ("controller_kind", "Deployment"),
        ("controller_name", workload),
    ];
    meta.extend(fixed.map(|(name, value)| (format!("__meta_kubernetes_pod_{name}"), value.to_owned())));
    for (kind, pairs) in [("label", labels), ("annotation", annotations)] {
        for (name, value) in pairs {
            let name = label_name(name);
            meta.insert(format!("__meta_kubernetes_pod_{kind}_{name}"), value.clone());
            meta.insert(format!("__meta_kubernetes_pod_{kind}present_{name}"), "true".to_owned());
        }
    }
    if let Some(port) = annotations.get(PORT)
        && let Some(seen) = pod.seen.ports.iter().find(|seen| seen.container.to_string() == *port)
    {
        meta.insert(format!("{ANNOTATION}{}", label_name(PORT)), seen.host.to_string());
    }
    meta
}

/// All but letters, digits and `_` become `_`.
fn label_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

fn address(port: &PortSeen) -> String {
    format!("127.0.0.1:{}", port.host)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prograde_observe::scrape::config;

    use super::*;

    fn pod(environment: &str, annotations: &[(&str, &str)]) -> Pod {
        let pairs = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Pod {
            target: Target { service: "pad".parse().unwrap(), environment: environment.parse().unwrap() },
            commit: "c".repeat(40),
            seen: PodSeen {
                replica: format!("pad-{environment}"),
                revision: "f".repeat(32).parse().unwrap(),
                ready: true,
                labels: BTreeMap::from([("app.kubernetes.io/name".to_owned(), "pad".to_owned())]),
                annotations: pairs.collect(),
                workload: "pad".to_owned(),
                container: "pad".to_owned(),
                image: "pad@sha256:0".to_owned(),
                ports: vec![
                    PortSeen { name: Some("http".to_owned()), container: 8080, host: 20_001 },
                    PortSeen { name: None, container: 9090, host: 20_002 },
                ],
            },
        }
    }

    fn label<'g>(group: &'g TargetGroup, name: &str) -> Option<&'g str> {
        group.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_replica_is_scraped_as_its_annotations_say() {
        let cases = [
            (&[][..], None),
            (&[("prometheus.io/scrape", "false")][..], None),
            (&[("prometheus.io/scrape", "true")][..], Some("127.0.0.1:20001")),
            (&[("prometheus.io/scrape", "true"), ("prometheus.io/port", "9090")][..], Some("127.0.0.1:20002")),
            (&[("prometheus.io/scrape", "true"), ("prometheus.io/port", "1")][..], None),
        ];
        for (annotations, expected) in cases {
            let found = annotated(&[pod("production", annotations)]);
            assert_eq!(found.first().map(|group| group.addresses[0].as_str()), expected, "{annotations:?}");
        }
        let paths = [("prometheus.io/scrape", "true"), ("prometheus.io/path", "/m"), ("prometheus.io/scheme", "https")];
        let found = annotated(&[pod("production", &paths)]);
        let read = ["__metrics_path__", "__scheme__", "service", "environment"].map(|name| label(&found[0], name));
        assert_eq!(read, [Some("/m"), Some("https"), Some("pad"), Some("production")]);
    }

    #[test]
    fn a_configuration_for_pods_finds_replicas() {
        let text = "scrape_configs: [{ job_name: pods, kubernetes_sd_configs: [{ role: pod, namespaces: { names: [production] } }] }]";
        let config = config::parse("prometheus.yml", text, Path::new("")).unwrap();
        let pods = [pod("test", &[]), pod("production", &[("prometheus.io/port", "9090")])];
        let found = discovered(&config.jobs[0], &pods);
        let addresses: Vec<&str> = found.iter().map(|group| group.addresses[0].as_str()).collect();
        assert_eq!(addresses, ["127.0.0.1:20001", "127.0.0.1:20002"]);
        let of =
            |name: &str| found.iter().map(|group| label(group, name).unwrap_or("-").to_owned()).collect::<Vec<_>>();
        assert_eq!(of("__meta_kubernetes_pod_container_port_name"), ["http", ""]);
        assert_eq!(of("__meta_kubernetes_pod_container_port_number"), ["8080", "9090"]);
        assert_eq!(of("__meta_kubernetes_pod_annotation_prometheus_io_port"), ["20002", "20002"]);
        assert_eq!(of("__meta_kubernetes_pod_label_app_kubernetes_io_name"), ["pad", "pad"]);
        assert_eq!(of("__meta_kubernetes_namespace"), ["production", "production"]);
        assert!(annotated(&pods).is_empty());
    }
}

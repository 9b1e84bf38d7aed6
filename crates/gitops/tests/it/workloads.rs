//! Rendered objects as workloads.

use std::fmt::Write as _;

use prograde_gitops::{kustomize, workload};
use prograde_model::Target;

use crate::fixture;

const SERVICE: &str = include_str!("../kustomize/service.txt");

fn target() -> Target {
    Target { environment: "production".parse().unwrap(), service: "web".parse().unwrap() }
}

/// The fixture with one text replaced, and the image pinned as a deployment does it.
fn decoded(from: &str, to: &str) -> Result<String, String> {
    assert!(from.is_empty() || SERVICE.contains(from), "the fixture has no {from:?}");
    let images = format!(
        "=== kustomization.yaml\nresources: [production]\nimages: [{{name: web, digest: 'sha256:{:064x}'}}]\n",
        7
    );
    let tree = fixture::tree(&format!("{images}{}", SERVICE.replacen(from, to, 1)));
    let resources = kustomize::render(&tree, "").map_err(|error| error.to_string())?.resources;
    let (workload, notices) = workload::decode(&target(), &resources).map_err(|error| error.to_string())?;
    let mut text = format!("{workload:#?}\n");
    for notice in notices {
        writeln!(text, "{}: {}: {}", notice.place, notice.field, notice.why).unwrap();
    }
    Ok(text)
}

#[test]
fn a_whole_service() {
    let text = decoded("", "").unwrap();
    assert!(!text.contains("hunter2"), "secrets are not shown");
    insta::assert_snapshot!(text);
}

#[test]
fn what_can_not_be_had_is_pointed_at() {
    let cases = [
        ("two containers", "      containers:\n", "      containers:\n        - {name: two, image: 'web:2'}\n"),
        ("init containers", "      containers:\n", "      initContainers: [{name: i, image: i}]\n      containers:\n"),
        ("mounts", "          command: [serve]\n", "          volumeMounts: [{name: v, mountPath: /v}]\n"),
        ("host network", "      serviceAccountName: web\n", "      hostNetwork: true\n"),
        ("lifecycle", "          command: [serve]\n", "          lifecycle: {preStop: {exec: {command: [x]}}}\n"),
        ("typo", "          imagePullPolicy: Always\n", "          imagePullPolcy: Always\n"),
        ("unknown", "          imagePullPolicy: Always\n", "          somethingElse: 1\n"),
        ("recreate", "    rollingUpdate: {maxSurge: 1, maxUnavailable: 0%}\n", "    type: Recreate\n"),
        ("never replaced", "maxSurge: 1", "maxSurge: 0"),
        ("bad percentage", "0%", "most"),
        ("negative replicas", "minReadySeconds: 5", "minReadySeconds: -5"),
        ("paused", "minReadySeconds: 5", "paused: true"),
        ("deadline", "minReadySeconds: 5", "minReadySeconds: 700"),
        ("selector", "matchLabels: {app: web}", "matchLabels: {app: wbe}"),
        ("service selector", "selector: {app: web}\n  ports", "selector: {app: wbe}\n  ports"),
        ("no such port", "targetPort: http", "targetPort: htpt"),
        ("port range", "containerPort: 8080", "containerPort: 80800"),
        ("protocol", "{name: http, containerPort: 8080}", "{name: dns, containerPort: 53, protocol: UDP}"),
        ("no such config map", "configMapRef: {name: settings}", "configMapRef: {name: setings}"),
        ("no such key", "key: password", "key: pasword"),
        ("field", "status.podIP", "status.hostIP"),
        (
            "field in a text",
            "value: debug}",
            "value: debug}\n            - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n            - {name: U, value: 'http://$(IP)'}",
        ),
        ("secret in an argument", "--greeting=$(GREETING)", "--password=$(PASSWORD)"),
        ("two probes", "tcpSocket: {port: 8080}, ", "tcpSocket: {port: 8080}, exec: {command: [x]}, "),
        ("grpc", "tcpSocket: {port: 8080}", "grpc: {port: 8080}"),
        ("https", "path: /ready", "scheme: HTTPS"),
        ("success threshold", "periodSeconds: 0", "successThreshold: 2"),
        ("number for a text", "value: debug", "value: 1"),
        ("other kind", "kind: Service\nmetadata: {name: web}\n", "kind: Pod\nmetadata: {name: web}\n"),
        ("another image", "image: web\n", "image: other:1\n"),
        (
            "another image with a digest",
            "image: web\n",
            "image: registry:5000/web@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        ),
        ("no such digest", "image: web\n", "image: web@md5:00\n"),
        ("headless", "  type: NodePort\n", "  clusterIP: None\n"),
        ("external", "  type: NodePort\n", "  type: ExternalName\n"),
        ("nameless ports", "{name: plain, port: 8080}", "{port: 8080}"),
        (
            "patched",
            "replicas: [{name: web, count: 3}]",
            "patches:\n  - patch: |-\n      apiVersion: apps/v1\n      kind: Deployment\n      metadata: {name: web}\n      spec:\n        template:\n          spec:\n            hostPID: true\n",
        ),
    ];
    let mut all = String::new();
    for (name, from, to) in cases {
        let said = match decoded(from, to) {
            Ok(_) => "decoded".to_owned(),
            Err(error) => error,
        };
        writeln!(all, "{name}:\n  {}", said.replace('\n', "\n  ")).unwrap();
    }
    assert!(!all.contains("hunter2"));
    insta::assert_snapshot!(all);
}

/// The confinement of the service with these lines at its pod and its container, or what is wrong with them.
fn held(pod: &str, container: &str) -> String {
    let service = SERVICE.replacen("          resources: {limits: {cpu: \"1\"}}\n", container, 1).replacen(
        "      containers:\n",
        &format!("{pod}      containers:\n"),
        1,
    );
    let images = format!(
        "=== kustomization.yaml\nresources: [production]\nimages: [{{name: web, digest: 'sha256:{:064x}'}}]\n",
        7
    );
    let resources = kustomize::render(&fixture::tree(&format!("{images}{service}")), "").unwrap().resources;
    match workload::decode(&target(), &resources) {
        Ok((workload, notices)) => {
            let notes: Vec<String> =
                notices.iter().map(|notice| format!("\n{}: {}", notice.field, notice.why)).collect();
            let notes = notes.concat();
            let Some(mut confinement) = workload.confinement else { return format!("none{notes}") };
            let asked = std::mem::take(&mut confinement.asked);
            let asked: Vec<String> =
                asked.iter().map(|a| format!("\n{}:{} {} for {}", a.file, a.line, a.field, a.part)).collect();
            let asked = asked.concat();
            format!("{confinement:?}{asked}{notes}")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_a_process_is_held_to() {
    let pod = |fields: &str| format!("      securityContext: {{{fields}}}\n");
    let context = |fields: &str| format!("          securityContext: {{{fields}}}\n");
    let limits = |fields: &str| format!("          resources: {{{fields}}}\n");
    let volume = "      volumes: [{name: tmp, emptyDir: {medium: Memory, sizeLimit: 64Mi}}, {name: disk, emptyDir: {}}, {name: own, configMap: {name: settings}}]\n";
    let mounts = |fields: &str| format!("          volumeMounts: [{fields}]\n");
    let cases: Vec<(&str, String, String)> = vec![
        ("nothing", String::new(), String::new()),
        ("requests alone", String::new(), limits("requests: {cpu: 100m, memory: 32Mi}")),
        ("limits", String::new(), limits("requests: {cpu: 100m}, limits: {cpu: 1500m, memory: 64Mi}")),
        ("disk", String::new(), limits("limits: {ephemeral-storage: 1Gi}")),
        ("devices", String::new(), limits("limits: {example.com/gpu: 1}")),
        ("no quantity", String::new(), limits("limits: {memory: 0, cpu: many}")),
        ("little memory", String::new(), limits("limits: {memory: 10k}")),
        ("request over limit", String::new(), limits("requests: {cpu: 2}, limits: {cpu: 1}")),
        (
            "pod",
            pod(
                "runAsUser: 1000, runAsGroup: 1001, runAsNonRoot: true, supplementalGroups: [5, 6], fsGroup: 7, fsGroupChangePolicy: Always, seccompProfile: {type: RuntimeDefault}",
            ),
            String::new(),
        ),
        (
            "container over pod",
            pod("runAsUser: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}"),
            context(
                "runAsUser: 2000, runAsNonRoot: false, seccompProfile: {type: Localhost, localhostProfile: a/b.json}, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [net_bind_service]}",
            ),
        ),
        ("privileged", pod("seccompProfile: {type: RuntimeDefault}"), context("privileged: true")),
        ("root after all", pod("runAsNonRoot: true"), context("runAsUser: 0")),
        ("contradiction", String::new(), context("privileged: true, allowPrivilegeEscalation: false")),
        ("no capability", String::new(), context("capabilities: {add: [FLY]}")),
        ("profile outside", String::new(), context("seccompProfile: {type: Localhost, localhostProfile: ../x.json}")),
        ("no profile", String::new(), context("seccompProfile: {type: Localhost}")),
        ("unknown profile", String::new(), context("seccompProfile: {type: Default}")),
        (
            "others",
            pod("sysctls: [{name: a, value: b}], seLinuxOptions: {level: s0}, appArmorProfile: {type: RuntimeDefault}"),
            context("procMount: Unmasked"),
        ),
        ("typo", pod("runAsUsr: 1"), context("readOnlyRootFileSystem: true")),
        ("types", pod("runAsUser: -1, runAsNonRoot: 1, supplementalGroups: [x]"), String::new()),
        (
            "volumes",
            volume.to_owned(),
            mounts("{name: tmp, mountPath: /tmp}, {name: disk, mountPath: /data, readOnly: true}"),
        ),
        ("volume of another kind", volume.to_owned(), mounts("{name: own, mountPath: /etc/own}")),
        ("no volume", volume.to_owned(), mounts("{name: none, mountPath: /tmp}")),
        ("bad places", volume.to_owned(), mounts("{name: tmp, mountPath: /proc/x}, {name: disk, mountPath: ../x}")),
        ("one place", volume.to_owned(), mounts("{name: tmp, mountPath: /a}, {name: disk, mountPath: /a, subPath: b}")),
    ];
    let mut all = String::new();
    for (name, pod, container) in cases {
        writeln!(all, "{name}:\n  {}", held(&pod, &container).replace('\n', "\n  ")).unwrap();
    }
    insta::assert_snapshot!(all);
}

const AUTOSCALER: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}
    - type: Resource
      resource: {name: memory, target: {type: AverageValue, averageValue: 64Mi}}
    - type: Pods
      pods: {metric: {name: http_requests_per_second}, target: {type: AverageValue, averageValue: 1500m}}
  behavior:
    scaleUp:
      tolerance: 0.05
      policies: [{type: Pods, value: 2, periodSeconds: 60}]
    scaleDown:
      stabilizationWindowSeconds: 60
      policies: [{type: Percent, value: 10, periodSeconds: 60}, {type: Pods, value: 4, periodSeconds: 60}]
      selectPolicy: Min
";

/// The autoscaler of the service, with one text of it or of the service replaced, and another one behind it.
fn scaled(from: &str, to: &str, more: &str) -> String {
    assert!(AUTOSCALER.contains(from) || SERVICE.contains(from), "nothing has {from:?}");
    let autoscaler = AUTOSCALER.replacen(from, to, 1);
    let kustomization = "resources: [web.yaml]";
    let service = if AUTOSCALER.contains(from) { SERVICE.to_owned() } else { SERVICE.replacen(from, to, 1) };
    let text = service.replacen(kustomization, "resources: [web.yaml, scaler.yaml]", 1);
    let images = format!(
        "=== kustomization.yaml\nresources: [production]\nimages: [{{name: web, digest: 'sha256:{:064x}'}}]\n",
        7
    );
    let tree = fixture::tree(&format!("{images}{text}=== base/scaler.yaml\n{autoscaler}{more}"));
    let resources = kustomize::render(&tree, "").unwrap().resources;
    match workload::decode(&target(), &resources) {
        Ok((workload, _)) => format!("{:?}", workload.autoscaling.unwrap()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn autoscalers() {
    let another = format!("---\n{}", AUTOSCALER.replace("name: web}\nspec", "name: other}\nspec"));
    let metrics = &AUTOSCALER[AUTOSCALER.find("  metrics").unwrap()..AUTOSCALER.find("  behavior").unwrap()];
    let behavior = &AUTOSCALER[AUTOSCALER.find("  behavior").unwrap()..];
    let cases = [
        ("all of it", "", "", ""),
        ("default metric", metrics, "", ""),
        ("default behaviour", behavior, "", ""),
        ("default bounds", "  minReplicas: 2\n", "", ""),
        ("one way", "      selectPolicy: Min", "      selectPolicy: Disabled", ""),
        ("another target", "kind: Deployment, name: web}", "kind: Deployment, name: wbe}", ""),
        ("stateful set", "kind: Deployment, name: web}", "kind: StatefulSet, name: web}", ""),
        ("two of them", "", "", &another),
        ("another version", "autoscaling/v2", "autoscaling/v1", ""),
        ("none at all", "minReplicas: 2", "minReplicas: 0", ""),
        ("bounds crossed", "maxReplicas: 10", "maxReplicas: 1", ""),
        ("no maximum", "  maxReplicas: 10\n", "", ""),
        ("maximum in words", "maxReplicas: 10", "maxReplicas: many", ""),
        ("object", "type: Pods", "type: Object", ""),
        ("external", "type: Pods", "type: External", ""),
        ("container resource", "type: Resource", "type: ContainerResource", ""),
        ("another metric", "http_requests_per_second", "queue_length", ""),
        ("selector", "http_requests_per_second}", "http_requests_per_second, selector: {a: b}}", ""),
        ("another resource", "name: memory", "name: disk", ""),
        ("no requests", "          resources: {limits: {cpu: \"1\"}}\n", "", ""),
        ("bad request", "limits: {cpu: \"1\"}", "requests: {cpu: one}", ""),
        ("no utilization", "averageUtilization: 60", "averageUtilization: 0", ""),
        (
            "utilization of requests",
            "type: AverageValue, averageValue: 1500m",
            "type: Utilization, averageUtilization: 5",
            "",
        ),
        ("value", "type: AverageValue, averageValue: 64Mi", "type: Value, value: 64Mi", ""),
        ("bad quantity", "64Mi", "64MB", ""),
        ("window", "stabilizationWindowSeconds: 60", "stabilizationWindowSeconds: 3601", ""),
        ("no policies", "policies: [{type: Pods, value: 2, periodSeconds: 60}]", "policies: []", ""),
        ("policy's type", "{type: Pods, value: 2,", "{type: Replicas, value: 2,", ""),
        ("policy's value", "{type: Pods, value: 2,", "{type: Pods, value: 0,", ""),
        ("policy's period", "periodSeconds: 60}]", "periodSeconds: 1801}]", ""),
        ("selection", "selectPolicy: Min", "selectPolicy: Least", ""),
        ("tolerance", "tolerance: 0.05", "tolerance: some", ""),
        ("typo", "scaleDown", "scaledown", ""),
    ];
    let mut all = String::new();
    for (name, from, to, more) in cases {
        writeln!(all, "{name}:\n  {}", scaled(from, to, more).replace('\n', "\n  ")).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn secrets_are_decoded_and_never_shown() {
    let with = |secret: &str| {
        let text = SERVICE.replace("secretGenerator:\n  - name: token\n    literals: [password=hunter2]\n", "");
        let text = text.replace("resources: [../base]", "resources: [../base, token.yaml]");
        let text = format!(
            "{text}=== production/token.yaml\napiVersion: v1\nkind: Secret\nmetadata: {{name: token}}\n{secret}\n"
        );
        let images = format!(
            "=== kustomization.yaml\nresources: [production]\nimages: [{{name: web, digest: 'sha256:{:064x}'}}]\n",
            7
        );
        let resources = kustomize::render(&fixture::tree(&format!("{images}{text}")), "").unwrap().resources;
        workload::decode(&target(), &resources)
            .map(|(workload, _)| {
                workload.container.env.into_iter().find(|(name, _)| name == "PASSWORD").map(|(_, value)| value)
            })
            .map_err(|error| error.to_string())
    };
    let secret = |text: &str| Ok(Some(prograde_model::workload::EnvValue::Secret(text.into())));
    assert_eq!(with("data: {password: aHVudGVyMg==}"), secret("hunter2"));
    assert_eq!(with("data: {password: aHVudGVyMg==}\nstringData: {password: plain}"), secret("plain"));
    assert_eq!(with("data:\n  password: |\n    aHVu\n    dGVyMg==\n"), secret("hunter2"));
    for bad in ["data: {password: 'hunter2!'}", "data: {password: /w==}", "data: {}", "stringData: {password: 1}"] {
        let error = with(bad).unwrap_err();
        assert!(error.contains("token.yaml:") || error.contains("web.yaml:"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

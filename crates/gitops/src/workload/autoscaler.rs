//! `HorizontalPodAutoscaler` of autoscaling/v2 (Kubernetes API reference, `HorizontalPodAutoscalerSpec`).

use prograde_model::autoscale::{Autoscaling, Metric, Policies, Policy, PolicySize, ScalingRules, Select, Target};

use super::fields::{Fields, Findings};
use super::quantity;
use crate::codes;
use crate::kustomize::Resource;
use crate::located::Located;

/// The only metric of pods that is known: the proxy in front of them counts requests.
const REQUESTS: &str = "http_requests_per_second";
/// What Kubernetes has where no metric is given.
const DEFAULT_PERCENT: u32 = 80;

/// Reads the autoscaler of a `Deployment`; `None` with findings where it can't be followed.
pub(super) fn read(resource: &Resource, deployment: &Resource, found: &mut Findings) -> Option<Autoscaling> {
    let mut object = Fields::new(&resource.tree, "", found)?;
    super::header(&mut object, found);
    object.note(found, &["status"], "the runtime writes it");
    let spec = object.required("spec", found);
    object.finish(found);
    let mut spec = Fields::new(spec?, "spec", found)?;
    if let Some(to) = spec.required("scaleTargetRef", found) {
        check_target(to, deployment, found);
    }
    let bounds = bounds(&mut spec, found);
    let metrics = metrics(&mut spec, deployment, found);
    let (mut scale_up, mut scale_down) = (ScalingRules::up(), ScalingRules::down());
    if let Some(mut behavior) = spec.fields("behavior", found) {
        for (name, rules) in [("scaleUp", &mut scale_up), ("scaleDown", &mut scale_down)] {
            if let Some(fields) = behavior.fields(name, found) {
                read_rules(fields, rules, found);
            }
        }
        behavior.finish(found);
    }
    spec.finish(found);
    let (min_replicas, max_replicas) = bounds?;
    Some(Autoscaling { min_replicas, max_replicas, metrics, scale_up, scale_down })
}

fn check_target(tree: &Located, deployment: &Resource, found: &mut Findings) {
    let Some(mut to) = Fields::new(tree, "spec.scaleTargetRef", found) else { return };
    let (version, kind) = (to.text("apiVersion", found), to.text("kind", found));
    let name = to.text("name", found);
    to.finish(found);
    if (version.unwrap_or("apps/v1"), kind, name) != ("apps/v1", Some("Deployment"), Some(deployment.name())) {
        let message = "the HorizontalPodAutoscaler scales something other than the Deployment";
        let hint = format!("write `{{apiVersion: apps/v1, kind: Deployment, name: {}}}`", deployment.name());
        found.error(tree, codes::AUTOSCALER, message, hint);
    }
}

fn bounds(spec: &mut Fields, found: &mut Findings) -> Option<(u32, u32)> {
    let min = spec.number("minReplicas", found).unwrap_or(1);
    spec.required("maxReplicas", found);
    let max = spec.number("maxReplicas", found)?;
    if min == 0
        && let Some(at) = spec.get("minReplicas")
    {
        let hint = "write at least 1: without a replica nothing is measured, and nobody answers";
        found.error(at, codes::AUTOSCALER, "`spec.minReplicas` must be at least 1 on this runtime", hint);
    }
    if max < min.max(1) {
        let at = spec.get("maxReplicas").unwrap_or(spec.tree);
        found.invalid(at, format!("`spec.maxReplicas` is less than `spec.minReplicas`, which is {min}"), "");
        return None;
    }
    Some((min, max))
}

fn metrics(spec: &mut Fields, deployment: &Resource, found: &mut Findings) -> Vec<Metric> {
    let items = spec.list("metrics", found);
    if items.is_empty() {
        let request = request(spec.tree, deployment, "cpu", found);
        let target = request.map(|request| Target::Utilization { percent: DEFAULT_PERCENT, request });
        return target.map(Metric::Cpu).into_iter().collect();
    }
    let read = |(index, item)| metric(item, &format!("spec.metrics[{index}]"), deployment, found);
    items.iter().enumerate().filter_map(read).collect()
}

fn metric(tree: &Located, path: &str, deployment: &Resource, found: &mut Findings) -> Option<Metric> {
    const HINT: &str = "use `Resource` with `cpu` or `memory`, or `Pods` with `http_requests_per_second`";
    let mut fields = Fields::new(tree, path, found)?;
    let kind = fields.required("type", found);
    fields.text("type", found);
    let metric = match kind?.as_str()? {
        "Resource" => fields.required("resource", found).and_then(|tree| resource(tree, path, deployment, found)),
        "Pods" => fields.required("pods", found).and_then(|tree| pods(tree, path, found)),
        other => {
            let message = format!("metrics of type `{other}` can't be had on this runtime");
            found.error(kind?, codes::AUTOSCALER, message, HINT);
            return None;
        }
    };
    fields.finish(found);
    metric
}

fn resource(tree: &Located, path: &str, deployment: &Resource, found: &mut Findings) -> Option<Metric> {
    let mut fields = Fields::new(tree, format!("{path}.resource"), found)?;
    let given = fields.required("name", found);
    let name = fields.text("name", found);
    let target = fields.required("target", found);
    let target_path = fields.path("target");
    fields.finish(found);
    match name? {
        name @ "cpu" => target_of(target?, &target_path, Some((deployment, name)), found).map(Metric::Cpu),
        name @ "memory" => target_of(target?, &target_path, Some((deployment, name)), found).map(Metric::Memory),
        other => {
            let message = format!("the resource `{other}` is not measured on this runtime");
            found.error(given?, codes::AUTOSCALER, message, "use `cpu` or `memory`");
            None
        }
    }
}

fn pods(tree: &Located, path: &str, found: &mut Findings) -> Option<Metric> {
    let mut fields = Fields::new(tree, format!("{path}.pods"), found)?;
    let metric = fields.required("metric", found);
    let target = fields.required("target", found);
    let (metric_path, target_path) = (fields.path("metric"), fields.path("target"));
    fields.finish(found);
    let mut metric = Fields::new(metric?, metric_path, found)?;
    let given = metric.required("name", found);
    let name = metric.text("name", found);
    metric.refuse(found, &["selector"], "remove it; all requests of the service are counted");
    metric.finish(found);
    if name? != REQUESTS {
        let message = format!("the metric `{}` of pods is not measured on this runtime", name?);
        found.error(given?, codes::AUTOSCALER, message, format!("use `{REQUESTS}`, which the proxy counts"));
        return None;
    }
    target_of(target?, &target_path, None, found).map(Metric::Requests)
}

/// A `MetricTarget`. Only for a resource of the container there may be a utilization.
fn target_of(tree: &Located, path: &str, of: Option<(&Resource, &str)>, found: &mut Findings) -> Option<Target> {
    let mut fields = Fields::new(tree, path, found)?;
    let kind = fields.required("type", found);
    let name = fields.text("type", found);
    let percent = fields.number("averageUtilization", found);
    let value = fields.get("averageValue");
    fields.note(found, &["value"], "it is for metrics of objects");
    fields.finish(found);
    match (name?, of) {
        ("Utilization", Some((deployment, resource))) => {
            let Some(percent) = percent.filter(|percent| *percent > 0) else {
                found.invalid(tree, format!("`{path}.averageUtilization` must be at least 1"), "write it in percent");
                return None;
            };
            request(tree, deployment, resource, found).map(|request| Target::Utilization { percent, request })
        }
        ("AverageValue", _) => {
            let unit = of.map_or(quantity::Unit::Thousandth, |(_, resource)| unit(resource));
            let value = value.and_then(|value| quantity::read(value, unit)).filter(|value| *value > 0);
            if value.is_none() {
                let message = format!("`{path}.averageValue` must be a quantity greater than 0");
                found.invalid(tree, message, "write one such as `500m`, `100` or `64Mi`");
            }
            value.map(Target::Average)
        }
        (other, _) => {
            let message = format!("a target of type `{other}` can't be had for this metric");
            let hint = if of.is_some() { "use `Utilization` or `AverageValue`" } else { "use `AverageValue`" };
            found.error(kind?, codes::AUTOSCALER, message, hint);
            None
        }
    }
}

fn unit(resource: &str) -> quantity::Unit {
    if resource == "cpu" { quantity::Unit::Thousandth } else { quantity::Unit::One }
}

/// What the container requests of a resource. A limit without a request is one (Kubernetes, "Resource Management for Pods
/// and Containers").
fn request(at: &Located, deployment: &Resource, resource: &str, found: &mut Findings) -> Option<u64> {
    let containers = deployment.tree.at(&["spec", "template", "spec", "containers"]);
    let resources = containers.and_then(|list| list.items().first()).and_then(|one| one.get("resources"));
    let given = |kind| resources.and_then(|tree| tree.at(&[kind, resource]));
    let Some(value) = given("requests").or_else(|| given("limits")) else {
        let message = format!("the container requests no `{resource}`, so there is no utilization of it");
        let hint = format!("set `resources.requests.{resource}` of the container, or use `AverageValue`");
        found.error(at, codes::AUTOSCALER, message, hint);
        return None;
    };
    let read = quantity::read(value, unit(resource)).filter(|value| *value > 0);
    if read.is_none() {
        let message = format!("the container's request of `{resource}` must be a quantity greater than 0");
        found.invalid(value, message, "write one such as `500m` or `64Mi`");
    }
    read
}

fn read_rules(mut fields: Fields, rules: &mut ScalingRules, found: &mut Findings) {
    const WINDOW_MAX: u32 = 3_600;
    if let Some(window) = fields.number("stabilizationWindowSeconds", found) {
        rules.stabilization_s = window;
        if window > WINDOW_MAX {
            let path = fields.path("stabilizationWindowSeconds");
            found.invalid(fields.tree, format!("`{path}` must be at most {WINDOW_MAX}"), "");
        }
    }
    if let Some(given) = fields.get("tolerance") {
        match quantity::read(given, quantity::Unit::Thousandth).and_then(|value| u32::try_from(value).ok()) {
            Some(permille) => rules.tolerance_permille = permille,
            None => found.invalid(given, format!("`{}` must be a quantity", fields.path("tolerance")), "write `0.05`"),
        }
    }
    let (path, given) = (fields.path("policies"), fields.get("policies").is_some());
    let items = fields.list("policies", found);
    let read: Vec<Policy> = items.iter().filter_map(|item| policy(item, &path, found)).collect();
    if given && items.is_empty() {
        found.invalid(fields.tree, format!("`{path}` is empty"), "leave it out for the defaults");
    }
    if given && let Policies::Selected(_, policies) = &mut rules.policies {
        *policies = read;
    }
    select(&mut fields, rules, found);
    fields.finish(found);
}

fn select(fields: &mut Fields, rules: &mut ScalingRules, found: &mut Findings) {
    let Some(given) = fields.get("selectPolicy") else { return };
    let chosen = match given.as_str() {
        Some("Max") => Select::Max,
        Some("Min") => Select::Min,
        Some("Disabled") => {
            rules.policies = Policies::Disabled;
            return;
        }
        Some(_) | None => {
            let path = fields.path("selectPolicy");
            found.invalid(given, format!("`{path}` must be `Max`, `Min` or `Disabled`"), "");
            return;
        }
    };
    if let Policies::Selected(select, _) = &mut rules.policies {
        *select = chosen;
    }
}

fn policy(tree: &Located, path: &str, found: &mut Findings) -> Option<Policy> {
    const PERIOD_MAX: u32 = 1_800;
    let mut fields = Fields::new(tree, path, found)?;
    let kind = fields.required("type", found);
    fields.required("value", found);
    fields.required("periodSeconds", found);
    let (value, period_s) = (fields.number("value", found), fields.number("periodSeconds", found));
    fields.finish(found);
    let (kind, value, period_s) = (kind?, value?, period_s?);
    if value == 0 || !(1..=PERIOD_MAX).contains(&period_s) {
        let message = format!("a policy's `value` must be at least 1, and its `periodSeconds` 1 to {PERIOD_MAX}");
        found.invalid(tree, message, "");
        return None;
    }
    let size = match kind.as_str() {
        Some("Pods") => PolicySize::Pods(value),
        Some("Percent") => PolicySize::Percent(value),
        Some(_) | None => {
            found.invalid(kind, "a policy's `type` must be `Pods` or `Percent`", "");
            return None;
        }
    };
    Some(Policy { size, period_s })
}

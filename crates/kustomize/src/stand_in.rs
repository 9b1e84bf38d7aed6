//! Directories that have no kustomization: plain objects, and charts.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::load::KUSTOMIZATION_FILES;

/// What makes a directory a chart.
pub(crate) const CHART: &str = "Chart.yaml";

/// The kustomization that a directory stands for that has none: its YAML and JSON files, as `kubectl apply` takes them, or the
/// chart that it is, as a release of this name. `names` are those of its files; nothing where it has a kustomization, or neither.
pub fn stand_in<'a>(names: impl IntoIterator<Item = &'a str>, release: &str) -> Option<String> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    if KUSTOMIZATION_FILES.iter().any(|file| names.contains(file)) {
        return None;
    }
    if names.contains(&CHART) {
        let chart = json!({"name": HERE, "releaseName": release, "includeCRDs": true});
        let text = json!({"helmGlobals": {"chartHome": HERE}, "helmCharts": [chart]});
        return Some(crate::yaml(&text));
    }
    names.retain(|name| is_manifest(name));
    let resources: Vec<Json> = names.into_iter().map(Json::from).collect();
    (!resources.is_empty()).then(|| crate::yaml(&json!({"resources": resources})))
}

/// The name of a chart that is the kustomization's own directory.
pub(crate) const HERE: &str = ".";

/// Whether a file may hold objects, by its name.
fn is_manifest(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    !name.starts_with('.') && ending.is_some_and(|ending| ["yaml", "yml", "json"].contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_kustomization_its_chart_or_its_objects() {
        let of = |names: &[&str]| stand_in(names.iter().copied(), "web");
        assert_eq!(of(&["b.yaml", "a.json", ".x.yaml", "notes.txt"]).unwrap(), "resources:\n- a.json\n- b.yaml\n");
        assert_eq!(of(&["kustomization.yml", "a.yaml"]), None);
        assert_eq!(of(&["notes.txt"]), None);
        assert!(of(&["Chart.yaml", "values.yaml"]).unwrap().contains("releaseName: web"));
    }
}

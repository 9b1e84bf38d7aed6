//! What is asked of whoever runs Helm, and what is refused before. That the real Helm gives what Kustomize makes of it is
//! compared in `crates/cli/tests/krusty.rs`.

use std::cell::RefCell;

use prograde_kustomize::helm::{ChartFiles, Charts, RemoteChart, Template};
use prograde_kustomize::{FileTree, RemoteBase, Remotes, Renderer, Surrounded};

use crate::fixture;

/// Prints an object with the values that it is given, and notes what it is asked.
#[derive(Default)]
pub(crate) struct Cook {
    asked: RefCell<Vec<Template>>,
    pulled: RefCell<Vec<RemoteChart>>,
}

impl Charts for Cook {
    fn pull(&self, chart: &RemoteChart) -> Result<ChartFiles, String> {
        self.pulled.borrow_mut().push(chart.clone());
        Ok([
            ("Chart.yaml".to_owned(), b"name: web".to_vec().into()),
            ("values.yaml".to_owned(), b"far: 1".to_vec().into()),
        ]
        .into())
    }

    fn template(&self, asked: &Template) -> Result<String, String> {
        self.asked.borrow_mut().push(asked.clone());
        match asked.release.as_deref() {
            Some("broken") => Err("a template has no end".into()),
            Some("talks") => Ok(format!("said before\n---\n{OBJECT}")),
            Some("text") => Ok("said and nothing else: [".into()),
            _ => Ok(OBJECT.into()),
        }
    }
}

const OBJECT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n";

struct Nobody;

impl Remotes for Nobody {
    fn fetch(&self, _: &RemoteBase) -> Result<FileTree, String> {
        Err("nobody is asked".into())
    }
}

const FILES: &str = "=== top/charts/web/Chart.yaml\nname: web\n=== top/charts/web/values.yaml\na: {b: 1, c: 2}\nlist: [1]\n\
    === top/more.yaml\na: {b: 3}\n=== up/values.yaml\nsecret: 1\n=== top/kustomization.yaml\n";

/// Renders a kustomization with the charts of the files above.
fn rendered(kustomization: &str, cook: &Cook) -> Result<String, String> {
    let tree = fixture::tree(&[FILES, kustomization].concat());
    let surrounded = Surrounded { files: &tree, remotes: None::<&Nobody>, charts: Some(cook) };
    Renderer::new(&surrounded).render("top").and_then(|done| done.to_yaml()).map_err(|error| error.to_string())
}

/// What is asked for one chart with these fields.
fn asked(fields: &str) -> Template {
    let cook = Cook::default();
    rendered(&format!("namespace: shop\nhelmCharts: [{{name: web, {fields}}}]"), &cook).unwrap();
    cook.asked.into_inner().remove(0)
}

fn values(fields: &str) -> Vec<String> {
    asked(fields).values.iter().map(|values| String::from_utf8(values.to_vec()).unwrap()).collect()
}

#[test]
fn values_are_merged_as_they_say() {
    let inline = "valuesInline: {a: {c: 9, d: null}, list: [2, 3]}";
    assert_eq!(values(""), ["a: {b: 1, c: 2}\nlist: [1]\n"]);
    assert_eq!(values(inline), ["a:\n  b: 1\n  c: 9\nlist:\n- 2\n- 3\n"]);
    assert_eq!(values(&format!("{inline}, valuesMerge: merge")), ["a:\n  b: 1\n  c: 2\n  d: null\nlist:\n- 1\n"]);
    assert_eq!(values(&format!("{inline}, valuesMerge: replace")), ["a:\n  c: 9\n  d: null\nlist:\n- 2\n- 3\n"]);
    let files = values("valuesFile: more.yaml, additionalValuesFiles: [more.yaml]");
    assert_eq!(files, ["a: {b: 3}\n", "a: {b: 3}\n"]);
}

#[test]
fn helm_is_told_the_rest() {
    let told = asked("apiVersions: [a/v1], kubeVersion: 1.33.0, includeCRDs: true, skipTests: true, skipHooks: true");
    let flags = ["--api-versions", "a/v1", "--kube-version", "1.33.0", "--include-crds", "--skip-tests", "--no-hooks"];
    assert_eq!(told.flags, flags);
    assert_eq!((told.release.as_deref(), told.namespace.as_str()), (Some("release-name"), "shop"));
    assert_eq!(told.chart.keys().collect::<Vec<_>>(), ["Chart.yaml", "values.yaml"]);
    let told = asked("namespace: own, nameTemplate: 'x-{{1}}'");
    assert_eq!((told.release, told.flags), (None, vec!["--name-template".to_owned(), "x-{{1}}".to_owned()]));
    assert_eq!(told.namespace, "own");
    let cook = Cook::default();
    let remote = "helmCharts: [{name: web, repo: 'oci://registry.example.org/charts/', version: 1.2.3}]";
    rendered(remote, &cook).unwrap();
    let pulled = cook.pulled.borrow();
    assert_eq!((pulled[0].repository(), pulled[0].name()), ("oci://registry.example.org/charts", "web"));
    assert_eq!(&*cook.asked.borrow()[0].values[0], b"far: 1");
}

#[test]
fn what_is_said_before_the_objects_is_left_out() {
    let cook = Cook::default();
    assert!(rendered("helmCharts: [{name: web, releaseName: talks}]", &cook).unwrap().starts_with("apiVersion: v1"));
}

#[test]
fn what_can_not_be_rendered_is_refused_with_its_place() {
    for (kustomization, said) in [
        ("helmCharts: [{name: nowhere}]", "there is no chart in `charts/nowhere`"),
        ("helmCharts: [{name: '../../../etc'}]", "outside of the tree"),
        ("helmGlobals: {chartHome: /etc}\nhelmCharts: [{name: web}]", "is absolute"),
        ("helmCharts: [{name: web, valuesFile: ../up/values.yaml}]", "is not in or below the directory"),
        ("helmCharts: [{name: web, valuesFile: missing.yaml}]", "there is no file `missing.yaml`"),
        ("helmCharts: [{name: web, valuesMerge: both}]", "`valuesMerge` is `both`"),
        ("helmCharts: [{name: web, valuesInline: [1]}]", "`valuesInline` must be a mapping"),
        ("helmCharts: [{name: web, releaseName: --post-renderer=x}]", "is no release's name"),
        ("helmCharts: [{name: web, releaseName: broken}]", "a template has no end"),
        ("helmCharts: [{name: web, releaseName: text}]", "(what Helm prints of web):"),
        ("helmCharts: [{name: web, colour: red}]", "a chart has no field `colour`"),
        ("helmCharts: [{version: 1.2.3}]", "a chart needs a name"),
        ("helmCharts: [{name: far, repo: 'https://charts.example.org'}]", "names no version"),
        ("helmCharts: [{name: far, repo: 'https://charts.example.org', version: '>1'}]", "names no version"),
        ("helmCharts: [{name: far, repo: 'file:///etc', version: 1.2.3}]", "is no repository of charts"),
        ("helmCharts: [{name: far, repo: 'https://-x', version: 1.2.3}]", "is no repository of charts"),
        ("helmChartInflationGenerator: [{chartName: web}]", "write it as an entry of `helmCharts`"),
    ] {
        let error = rendered(kustomization, &Cook::default()).unwrap_err();
        assert!(error.contains(said), "{kustomization}: {error}");
    }
    // Without anybody who runs Helm, nothing is asked.
    let tree = fixture::tree(&[FILES, "helmCharts: [{name: web}]"].concat());
    let error = prograde_kustomize::render(&tree, "top").unwrap_err().to_string();
    assert!(error.contains("top/kustomization.yaml:1:14") && error.contains("--helm"), "{error}");
}

#[test]
fn a_rendering_says_that_a_program_made_a_part_of_it() {
    let tree = fixture::tree(&[FILES, "helmCharts: [{name: web}]"].concat());
    let cook = Cook::default();
    let surrounded = Surrounded { files: &tree, remotes: None::<&Nobody>, charts: Some(&cook) };
    let reads = Renderer::new(&surrounded).render("top").unwrap().reads;
    assert!(reads.program && reads.files.contains("top/charts/web/values.yaml"), "{reads:?}");
    assert!(
        !prograde_kustomize::render(&fixture::tree("=== kustomization.yaml\nnamePrefix: a"), "").unwrap().reads.program
    );
}

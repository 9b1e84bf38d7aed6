//! What rendering says about bad input, and that no input breaks it.

use std::fmt::Write as _;

use prograde_kustomize::{FileTree, render};
use proptest::prelude::*;

use crate::fixture;

const BASE: &str = "=== base/kustomization.yaml
resources: [web.yaml]
=== base/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec: {template: {spec: {containers: [{name: web, image: web}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {A: '1'}
";

/// What is said about each of these overlays.
fn findings(cases: &[(&str, &str)]) -> String {
    let mut all = String::new();
    for (name, overlay) in cases {
        let tree = fixture::tree(&format!("{BASE}=== top/kustomization.yaml\n{overlay}"));
        let said = match render(&tree, "top") {
            Ok(_) => "rendered".to_owned(),
            Err(error) => error.to_string(),
        };
        writeln!(all, "{name}:\n  {}", said.replace('\n', "\n  ")).unwrap();
    }
    all
}

#[test]
fn malformed_fields() {
    let fields = [
        "resource: [../base]",
        "resources: ../base",
        "resources: [1]",
        "namePrefix: 1",
        "kind: Other",
        "apiVersion: v2",
        "commonLabels: {a: true}",
        "labels: [{pairs: {a: b}, field: []}]",
        "images: [{name: web, newTag: 1.0}]",
        "replicas: [{name: web, count: many}]",
        "sortOptions: {order: random}",
        "sortOptions: {order: fifo, legacySortOptions: {orderFirst: [Service]}}",
        "helmCharts: [{name: x}]",
        "resources: [../base]\nopenapi: {version: v9}",
        "resources: [../base]\nopenapi: {path: ../base/web.yaml, version: v1.21.2}",
        "resources: [../base]\nvars: [{name: A}]",
        "resources: [../base]\nvars: [{name: A, objref: {apiVersion: v1, kind: ConfigMap, name: settings}, fieldref: {fieldPath: data.B}}]",
        "resources: [../base]\nreplacements: [{source: {kind: Nothing}, targets: [{select: {kind: ConfigMap}}]}]",
        "resources: [../base]\nreplacements: [{source: {kind: ConfigMap}, targets: [{select: {kind: Deployment}, fieldPaths: [spec.no.where]}]}]",
        "resources: [../base]\nreplacements: [{source: {kind: ConfigMap}}]",
        "resources: [../base]\ntransformers: [\"{apiVersion: example.org/v1, kind: Program, metadata: {name: x}}\"]",
        "resources: [../base]\ntransformers: [\"{apiVersion: builtin, kind: PrefixTransformer, metadata: {name: x}}\"]",
        "resources: [../base]\nvalidators: [\"{apiVersion: builtin, kind: LabelTransformer, metadata: {name: x}, labels: {a: b}, fieldSpecs: [{path: metadata/labels, create: true}]}\"]",
        "resources: [../base]\nconfigurations: [c.yaml]\n=== top/c.yaml\nimages: [{path: 'spec/template/spec/containers[]/image'}]",
        "resources: [../base]\ncomponents: [../base]",
        "[]",
        "",
        "a: b: c",
    ];
    let cases: Vec<(&str, &str)> = fields.iter().map(|field| (*field, *field)).collect();
    insta::assert_snapshot!(findings(&cases));
}

#[test]
fn files_that_are_not_there_or_not_allowed() {
    insta::assert_snapshot!(findings(&[
        ("missing", "resources:\n  - ../base\n  - nothing.yaml\n"),
        ("escape", "resources: [../../etc]"),
        ("absolute", "resources: [/etc/passwd]"),
        ("remote", "resources: ['https://example.org/base?ref=v1']"),
        ("itself", "resources: [.]"),
        ("no kustomization", "resources: [../base, sub]\n=== top/sub/a.yaml\n"),
        ("a kustomization as a file", "resources: [../base/kustomization.yaml]"),
        (
            "cycle",
            "resources: [a]\n=== top/a/kustomization.yaml\nresources: [../b]\n=== top/b/kustomization.yaml\nresources: [../a]\n"
        ),
        ("twice", "resources: [../base, ../base]"),
        ("empty", "namePrefix: x-"),
        ("not an object", "resources: [a.yaml]\n=== top/a.yaml\nkind: X\n"),
        ("a list", "resources: [a.yaml]\n=== top/a.yaml\n- 1\n"),
        (
            "a list of objects",
            "resources: [a.yaml]\n=== top/a.yaml\napiVersion: v1\nkind: ConfigMapList\nmetadata: {name: x}\nitems: []\n"
        ),
        ("two kustomizations", "resources: [../base]\n=== top/kustomization.yml\nresources: [../base]\n"),
    ]));
}

#[test]
fn patches_that_do_not_fit() {
    let patch = |text: &str| {
        format!("resources: [../base]\npatches:\n  - patch: |-\n      {}\n", text.replace('\n', "\n      "))
    };
    let targeted = |text: &str| format!("{}    target: {{kind: Deployment}}\n", patch(text));
    let head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    let cases = [
        ("no such object", patch("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: wbe}")),
        ("target matches nothing", format!("{}    target: {{name: nothing}}\n", patch(head))),
        ("bad target", format!("{}    target: {{name: '('}}\n", patch(head))),
        ("bad selector", format!("{}    target: {{labelSelector: 'a b'}}\n", patch(head))),
        ("unknown target field", format!("{}    target: {{nam: x}}\n", patch(head))),
        ("no name", patch("kind: Deployment")),
        ("a scalar for a mapping", patch(&format!("{head}spec: 1"))),
        (
            "a mapping for a scalar",
            patch(&format!("{head}spec: {{template: {{spec: {{containers: [{{name: web, image: {{}}}}]}}}}}}")),
        ),
        ("no merge key", patch(&format!("{head}spec: {{template: {{spec: {{containers: [{{image: x}}]}}}}}}"))),
        ("bad directive", patch(&format!("{head}$patch: remove"))),
        ("not YAML", patch("a: b: c")),
        ("empty", patch("# nothing")),
        ("neither", "resources: [../base]\npatches: [{target: {kind: X}}]".into()),
        ("options", "resources: [../base]\npatches: [{path: x, options: {allowNameChange: true}}]".into()),
        ("JSON patch without target", patch("- {op: remove, path: /spec}")),
        ("JSON patch to nowhere", targeted("- {op: replace, path: /spec/no/where, value: 1}")),
        ("JSON patch past the end", targeted("- {op: add, path: /spec/template/spec/containers/7, value: 1}")),
        ("JSON patch on a text", targeted("- {op: add, path: /metadata/name/x, value: 1}")),
        ("JSON patch test", targeted("- {op: test, path: /metadata/name, value: other}")),
        ("JSON patch of the root", targeted("- {op: remove, path: ''}")),
        ("JSON patch into itself", targeted("- {op: move, from: /spec, path: /spec/x}")),
        ("JSON patch takes the name", targeted("- {op: remove, path: /metadata/name}")),
        ("JSON patch without value", targeted("- {op: add, path: /x}")),
        ("JSON patch with a bad pointer", targeted("- {op: remove, path: x}")),
        ("JSON patch with a bad operation", targeted("- {op: merge, path: /x}")),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    insta::assert_snapshot!(findings(&cases));
}

#[test]
fn generators_and_transformations_that_do_not_fit() {
    let with =
        |text: &str| format!("resources: [../base]\n{text}\n=== top/bad.env\n# fine\n1BAD=x\n=== top/a.txt\nx\n");
    let cases = [
        ("exists", with("configMapGenerator: [{name: settings, literals: [A=2]}]")),
        ("nothing to merge into", with("configMapGenerator: [{name: other, behavior: merge}]")),
        ("bad behavior", with("configMapGenerator: [{name: other, behavior: mix}]")),
        ("secrets are not shown", with("secretGenerator: [{name: other, literals: [hunter2]}]")),
        ("key twice", with("configMapGenerator: [{name: other, literals: [A=1], files: [A=a.txt]}]")),
        ("bad key", with("configMapGenerator: [{name: other, literals: ['a b=1']}]")),
        ("bad file", with("configMapGenerator: [{name: other, files: [a=b=c]}]")),
        ("missing file", with("configMapGenerator: [{name: other, files: [b.txt]}]")),
        ("bad environment file", with("configMapGenerator: [{name: other, envs: [bad.env]}]")),
        ("unknown option", with("generatorOptions: {disableHash: true}")),
        ("no such replicas", with("replicas: [{name: wbe, count: 2}]")),
        (
            "labels on a text",
            with("resources: [../base]\ncommonLabels: {a: b}")
                .replacen("resources: [../base]\n", "", 1)
                .replace("[../base]", "[odd.yaml]")
                + "=== top/odd.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: text\n",
        ),
        (
            "namespaces that collide",
            with("namespace: one").replace("[../base]", "[two.yaml]")
                + "=== top/two.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: b}\n",
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    insta::assert_snapshot!(findings(&cases));
}

#[test]
fn links_are_not_followed() {
    let mut tree = fixture::tree(&format!("{BASE}=== top/kustomization.yaml\nresources: [link/x.yaml]\n"));
    tree.insert_link("top/link", "/etc").unwrap();
    insta::assert_snapshot!(render(&tree, "top").unwrap_err());
}

#[test]
fn input_that_multiplies_itself_is_stopped() {
    // Each level includes the one below ten times under other names: 10^16 objects.
    let mut tree = FileTree::new();
    tree.insert("d0/kustomization.yaml", "resources: [a.yaml]").unwrap();
    tree.insert("d0/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n").unwrap();
    for level in 1..16 {
        let mut list = String::new();
        for n in 0..10 {
            let inner = format!("d{level}x{n}");
            tree.insert(
                format!("{inner}/kustomization.yaml"),
                format!("namePrefix: p{n}-\nresources: [../d{}]\n", level - 1),
            )
            .unwrap();
            writeln!(list, "  - ../{inner}").unwrap();
        }
        tree.insert(format!("d{level}/kustomization.yaml"), format!("resources:\n{list}")).unwrap();
    }
    let code = |tree: &FileTree, dir: &str| render(tree, dir).unwrap_err().0[0].code.clone();
    assert_eq!(code(&tree, "d4"), "PG0411");
    assert_eq!(code(&tree, "d15"), "PG0405");
    // Each operation doubles the object.
    let operations = "      - {op: copy, from: /metadata, path: /metadata/x}\n".repeat(200);
    let text = format!(
        "{BASE}=== top/kustomization.yaml\nresources: [../base]\npatches:\n  - target: {{kind: ConfigMap}}\n    patch: |-\n{operations}"
    );
    assert_eq!(code(&fixture::tree(&text), "top"), "PG0411");
    // A large patch for many objects.
    let mut objects = String::new();
    for n in 0..900 {
        write!(objects, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{n}}}\n").unwrap();
    }
    let large =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {{a: '{}'}}\n", "x".repeat(1 << 20));
    let text = format!(
        "=== top/kustomization.yaml\nresources: [all.yaml]\npatches: [{{path: large.yaml, target: {{kind: ConfigMap}}}}]\n=== top/all.yaml\n{objects}=== top/large.yaml\n{large}"
    );
    assert_eq!(code(&fixture::tree(&text), "top"), "PG0411");
}

/// A fixture in which bytes were changed, lines doubled, or files cut.
fn mutated() -> impl Strategy<Value = FileTree> {
    let fixtures = [
        include_str!("../../../gitops/tests/kustomize/overlay.txt"),
        include_str!("merging.txt"),
        include_str!("names.txt"),
        include_str!("../../../gitops/tests/kustomize/service.txt"),
    ];
    let change = (any::<prop::sample::Index>(), 0..6_u8, any::<prop::sample::Index>());
    (prop::sample::select(fixtures.to_vec()), prop::collection::vec(change, 1..6)).prop_map(|(text, changes)| {
        let mut files: Vec<(String, Vec<u8>)> =
            fixture::tree(text).files().map(|(path, content)| (path.to_owned(), content.to_vec())).collect();
        for (file, kind, at) in changes {
            let count = files.len();
            let content = &mut files[file.index(count)].1;
            if content.is_empty() {
                continue;
            }
            let at = at.index(content.len());
            match kind {
                0 => content.truncate(at),
                1 => content[at] = b"{}[]:-\n \"'|&*!%~0"[at % 17],
                2 => content.insert(at, b' '),
                3 => {
                    content.remove(at);
                }
                4 => content[at] = content[at].wrapping_add(1),
                _ => {
                    let copy: Vec<u8> = content[at..].iter().take(40).copied().collect();
                    content.splice(at..at, copy);
                }
            }
        }
        FileTree::from_files(files).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_breaks_rendering(tree in mutated()) {
        for dir in ["", "production"] {
            match render(&tree, dir) {
                Ok(done) => prop_assert!(done.to_yaml().is_ok_and(|text| !text.is_empty()) || done.to_yaml().is_err()),
                Err(error) => prop_assert!(!error.0.is_empty()),
            }
        }
    }
}

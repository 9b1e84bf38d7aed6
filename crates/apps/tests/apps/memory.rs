//! What is remembered is what would be made anew, and only what a change touches is made again.

use std::sync::Arc;

use jiff::Timestamp;
use prograde_apps::forest::{Forest, grow};
use prograde_apps::repository::texts;
use prograde_apps::{Everywhere, Memory, World};
use prograde_kustomize::FileTree;

const FILES: [(&str, &str); 10] = [
    ("argocd/all.yaml", ""),
    ("base/kustomization.yaml", "resources: [config.yaml]\n"),
    ("base/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base}\ndata: {key: a}\n"),
    ("over/kustomization.yaml", "resources: [../base]\nnamePrefix: over-\n"),
    ("plain/one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"),
    ("plain/notes.txt", "nothing\n"),
    ("parent/set.yaml", ""),
    ("made/red/x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: red}\n"),
    ("made/blue/x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: blue}\n"),
    ("charts/Chart.yaml", "name: chart\n"),
];

fn application(name: &str, path: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\nspec:\n  project: default\n  \
         source: {{repoURL: 'https://git.example/r', path: {path}}}\n  destination: {{server: 'https://kubernetes.default.svc'}}\n---\n"
    )
}

fn repository() -> FileTree {
    let mut tree = FileTree::from_files(FILES).unwrap();
    let all = [("over", "over"), ("plain", "plain"), ("parent", "parent"), ("gone", "nowhere"), ("chart", "charts")];
    tree.insert("argocd/all.yaml", all.map(|(name, path)| application(name, path)).concat()).unwrap();
    let set = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: made}\nspec:\n  goTemplate: true\n  \
        generators: [{git: {repoURL: 'https://git.example/r', revision: HEAD, directories: [{path: made/*}]}}]\n  template:\n    \
        metadata: {name: 'made-{{.path.basename}}'}\n    spec:\n      project: default\n      source: {repoURL: 'https://git.example/r', path: '{{.path.path}}'}\n      \
        destination: {server: 'https://kubernetes.default.svc'}\n";
    tree.insert("parent/set.yaml", set).unwrap();
    tree
}

fn forest(tree: &FileTree, memory: &mut Memory) -> Forest {
    let repositories = Everywhere(tree.clone());
    let objects = memory.read(texts(tree, "argocd").unwrap().found);
    grow(&objects, &World { repositories: &repositories, clusters: None }, Timestamp::UNIX_EPOCH, memory)
}

/// The names of applications that are the very same as before, and of the others.
fn compared(before: &Forest, after: &Forest) -> (Vec<String>, Vec<String>) {
    let is_same = |name: &str| {
        let of = |forest: &Forest| {
            forest.applications.iter().find(|found| found.application.name() == name)?.objects.clone()
        };
        matches!((of(before), of(after)), (Some(one), Some(other)) if Arc::ptr_eq(&one, &other))
    };
    let names = after.applications.iter().map(|found| found.application.name().to_owned());
    names.partition(|name| is_same(name))
}

#[test]
fn only_what_a_change_touches_is_made_again() {
    let mut tree = repository();
    let mut memory = Memory::default();
    let mut before = forest(&tree, &mut memory);
    assert_eq!(before.applications.len(), 7, "{:?}", before.problems);
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let parents = application("parent", "parent");
    let mut step = |change: &dyn Fn(&mut FileTree), touched: &[&str]| {
        change(&mut tree);
        let after = forest(&tree, &mut memory);
        let anew = forest(&tree, &mut Memory::default());
        assert_eq!(after.applications, anew.applications);
        assert_eq!((&after.problems, &after.not_rendered), (&anew.problems, &anew.not_rendered));
        assert_eq!(compared(&before, &after).1, touched);
        before = after;
    };
    // What can't be rendered is tried each time.
    step(&|_| {}, &["chart", "gone"]);
    step(&|tree| tree.insert("plain/notes.txt", "other").unwrap(), &["chart", "gone"]);
    step(&|tree| tree.insert("base/config.yaml", config("other")).unwrap(), &["chart", "gone", "over"]);
    step(&|tree| tree.insert("plain/two.yaml", config("two")).unwrap(), &["chart", "gone", "plain"]);
    step(
        &|tree| tree.insert("plain/kustomization.yaml", "resources: [two.yaml]\n").unwrap(),
        &["chart", "gone", "plain"],
    );
    step(&|tree| tree.remove("plain/kustomization.yaml"), &["chart", "gone", "plain"]);
    step(&|tree| tree.remove("plain/two.yaml"), &["chart", "gone", "plain"]);
    step(&|tree| tree.insert("nowhere/x.yaml", config("x")).unwrap(), &["chart", "gone"]);
    step(&|tree| tree.insert("made/green/x.yaml", config("green")).unwrap(), &["chart", "made-green"]);
    step(&|tree| tree.insert("base/broken.yaml", "a: [").unwrap(), &["chart"]);
    step(&|tree| tree.insert("base/kustomization.yaml", "resources: [broken.yaml]\n").unwrap(), &["chart", "over"]);
    step(&|tree| tree.insert_link("made/green/link", "../../plain").unwrap(), &["chart", "made-green", "over"]);
    // The line that it stands in is told where something is wrong with it.
    step(&|tree| tree.insert("argocd/all.yaml", parents.as_str()).unwrap(), &["parent"]);
    step(&|tree| tree.remove("parent/set.yaml"), &["parent"]);
    step(&|tree| tree.remove("argocd/all.yaml"), &[]);
}

#[test]
fn what_goes_with_an_application_is_what_nobody_above_it_would_leave() {
    let ending = |name: &str, path: &str| {
        let named = ["{name: ", name, "}"].concat();
        let ends = ["{name: ", name, ", finalizers: [resources-finalizer.argocd.argoproj.io/background]}"].concat();
        application(name, path).replace(&named, &ends)
    };
    let pruning = |text: String| text.replace("svc'}", "svc'}\n  syncPolicy: {automated: {prune: true}}");
    let set = |name: &str, policy: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {{name: {name}}}\nspec:\n  goTemplate: true\n  \
             syncPolicy: {{{policy}}}\n  generators: [{{list: {{elements: [{{n: made}}]}}}}]\n  template:\n    \
             metadata: {{name: '{{{{.n}}}}-{name}'}}\n    spec: {{project: default, source: {{repoURL: r, path: plain}}, destination: {{server: s}}}}\n---\n"
        )
    };
    let mut tree = repository();
    let top = [
        application("plain", "plain"),
        ending("ends", "plain"),
        pruning(application("prunes", "one")),
        application("keeps", "two"),
        set("all", ""),
        set("once", "applicationsSync: create-update"),
        set("stays", "preserveResourcesOnDeletion: true"),
    ];
    tree.insert("argocd/all.yaml", top.concat()).unwrap();
    tree.insert("one/a.yaml", [ending("below", "plain"), application("leaves", "plain")].concat()).unwrap();
    tree.insert("two/a.yaml", ending("kept", "plain")).unwrap();
    let grown = forest(&tree, &mut Memory::default());
    let goes: Vec<&str> =
        grown.applications.iter().filter(|found| found.goes).map(|found| found.application.name()).collect();
    assert_eq!(goes, ["below", "ends", "made-all"], "{:?}", grown.problems);
}

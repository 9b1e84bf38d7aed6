//! Nothing that is read can stop the reader, and what is written is the same each time.

use std::collections::{BTreeMap, BTreeSet};

use prograde_apps::image::marker::{ImageRef, rewrite};
use prograde_apps::{Everywhere, Objects, World, generate, read};
use prograde_kustomize::FileTree;
use proptest::prelude::*;

fn names(spec: &str) -> Result<Vec<String>, String> {
    let text = format!("apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {{name: s}}\nspec:\n{spec}");
    let mut objects = Objects::default();
    read("a.yaml", &text, &mut objects);
    if let Some(problem) = objects.problems.first() {
        return Err(problem.to_string());
    }
    let repositories = Everywhere(FileTree::from_files([("a/b.yaml", "x: y\n")]).unwrap());
    let made = generate(&objects.sets[0], &World { repositories: &repositories, clusters: None });
    made.map(|made| made.iter().map(|one| one.name().to_owned()).collect()).map_err(|found| found.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read(text in "\\PC{0,200}") {
        let mut objects = Objects::default();
        read("a.yaml", &text, &mut objects);
        read("a.yaml", &format!("apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {text}"), &mut objects);
    }

    #[test]
    fn any_template_ends(text in "[{}. a-z|()$:=\"0-9]{0,60}") {
        let quoted = serde_json::Value::from(text).to_string();
        let template = format!("  goTemplate: true\n  generators: [{{list: {{elements: [{{n: a}}]}}}}]\n  template: {{metadata: {{name: {quoted}}}, spec: {{}}}}\n");
        let first = names(&template);
        prop_assert_eq!(first, names(&template));
    }

    #[test]
    fn only_marked_lines_change(before in "[a-z: '\"#\n-]{0,80}", after in "[a-z: #\n-]{0,40}") {
        let marked = "k: old # {\"$imagepolicy\": \"n:p:tag\"}\n";
        let text = format!("{before}\n{marked}{after}");
        let image = ImageRef { name: "i".into(), tag: "new".into(), digest: String::new(), keeps: None };
        let images = BTreeMap::from([("n:p".to_owned(), image)]);
        if let Ok(done) = rewrite("a.yaml", &text, &images, &BTreeSet::new()) {
            let same = text.split('\n').zip(done.text.split('\n')).filter(|(old, new)| old == new).count();
            prop_assert!(text.split('\n').count() - same <= 1);
            prop_assert!(done.text == text || done.text == text.replace("k: old #", "k: new #"));
        }
    }
}

#[test]
fn hostile_sets_are_refused() {
    let elements: Vec<String> = (0..400).map(|index| format!("{{n: 'a{index}'}}")).collect();
    let list = format!("{{list: {{elements: [{}]}}}}", elements.join(", "));
    let template = "  template: {metadata: {name: '{{.n}}'}, spec: {}}\n";
    let matrix =
        format!("  goTemplate: true\n  generators: [{{matrix: {{generators: [{list}, {list}]}}}}]\n{template}");
    assert!(names(&matrix).unwrap_err().contains("PG1348"));
    let many: Vec<String> = (0..10_001).map(|index| format!("{{n: 'a{index}'}}")).collect();
    let long = format!("  goTemplate: true\n  generators: [{{list: {{elements: [{}]}}}}]\n{template}", many.join(", "));
    assert!(names(&long).unwrap_err().contains("PG1348"));
    for path in ["../x", "/etc/*", "a/../../b"] {
        let git =
            format!("  generators: [{{git: {{repoURL: r, revision: HEAD, files: [{{path: '{path}'}}]}}}}]\n{template}");
        assert!(names(&git).unwrap_err().contains("PG1346"), "{path}");
    }
    let clusters = format!("  generators: [{{clusters: {{}}}}]\n{template}");
    assert!(names(&clusters).unwrap_err().contains("PG1345"));
    let pulls = format!("  generators: [{{pullRequest: {{github: {{owner: a, repo: b}}}}}}]\n{template}");
    assert!(names(&pulls).unwrap_err().contains("PG1342"));
    let twice = format!("  goTemplate: true\n  generators: [{{list: {{elements: [{{n: a}}, {{n: a}}]}}}}]\n{template}");
    assert!(names(&twice).unwrap_err().contains("PG1347"));
}

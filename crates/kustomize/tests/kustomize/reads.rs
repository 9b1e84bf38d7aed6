//! What a rendering depends on, and bases of other repositories.

use std::cell::RefCell;

use prograde_kustomize::{FileTree, RemoteBase, Remotes, Renderer, Surrounded};

use crate::charts::Cook;

use crate::fixture;

const OBJECT: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";

#[test]
fn the_files_that_were_read_are_known() {
    let tree = fixture::tree(&format!(
        "=== base/kustomization.yml\nresources: [a.yaml]\n=== base/a.yaml\n{OBJECT}\n=== base/unused.yaml\nx: y\n=== top/kustomization.yaml\nresources: [../base]\nconfigMapGenerator: [{{name: g, files: [f]}}]\n=== top/f\nx"
    ));
    let renderer = Renderer::new(&tree);
    let reads = renderer.render("top").unwrap().reads;
    let files: Vec<&str> = reads.files.iter().map(String::as_str).collect();
    assert_eq!(files, ["base/a.yaml", "base/kustomization.yml", "top/f", "top/kustomization.yaml"]);
    assert!(reads.missing.contains("base/kustomization.yaml"), "{reads:?}");
    let again = renderer.render("base").unwrap().reads;
    assert_eq!(again.files.len(), 2, "each rendering tells its own reads");
}

/// Answers for one repository, and remembers what it was asked.
struct One(RefCell<Vec<RemoteBase>>);

impl Remotes for One {
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String> {
        self.0.borrow_mut().push(base.clone());
        if !base.repository.ends_with("/repo") {
            return Err("no such repository".into());
        }
        Ok(fixture::tree(&format!(
            "=== deploy/kustomization.yaml\nresources: [a.yaml, ../shared]\n=== deploy/a.yaml\n{OBJECT}\n=== shared/kustomization.yaml\nresources: [b.yaml]\n=== shared/b.yaml\n{}",
            OBJECT.replace("name: a", "name: b")
        )))
    }
}

fn with(resources: &str) -> (Result<String, String>, usize) {
    let tree = fixture::tree(&format!("=== top/kustomization.yaml\nnamePrefix: p-\nresources: [{resources}]"));
    let one = One(RefCell::default());
    let surrounded = Surrounded { files: &tree, remotes: Some(&one), charts: None::<&Cook> };
    let done = Renderer::new(&surrounded).render("top").and_then(|done| done.to_yaml());
    (done.map_err(|error| error.to_string()), one.0.into_inner().len())
}

#[test]
fn pinned_bases_are_asked_of_the_port() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let (done, asked) = with(&format!("'https://example.org/team/repo//deploy?ref={commit}'"));
    assert_eq!(asked, 1);
    let done = done.unwrap();
    assert!(done.contains("name: p-a\n") && done.contains("name: p-b\n"), "{done}");
    for (address, asks) in [
        ("'https://example.org/team/repo//deploy?ref=main'".to_owned(), 0),
        ("github.com/team/repo".to_owned(), 0),
        (format!("'https://example.org/team/other?ref={commit}'"), 1),
        (format!("'https://example.org/team/repo//../deploy?ref={commit}'"), 0),
    ] {
        let (done, asked) = with(&address);
        assert!(done.is_err_and(|error| error.contains("[PG1001]")), "{address}");
        assert_eq!(asked, asks, "{address}");
    }
}

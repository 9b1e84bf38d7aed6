//! What a rendering is for workloads: values typed and located, secrets not shown.

use prograde_gitops::kustomize;

use crate::fixture;

#[test]
fn an_overlay_renders() {
    let tree = fixture::tree(include_str!("../kustomize/overlay.txt"));
    let rendered = kustomize::to_yaml(&kustomize::render(&tree, "production").unwrap().resources);
    assert!(!rendered.contains("hunter2"));
    insta::assert_snapshot!(rendered);
}

//! Rendering compared with Kustomize itself: the same documents in the same order.

use std::path::Path;
use std::process::Command;

use prograde_gitops::{FileTree, kustomize};

use crate::fixture;

fn write(tree: &FileTree, into: &Path) {
    for (path, content) in tree.files() {
        let path = into.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// What the peer renders; `None` where no peer is installed, which is a failure in CI.
fn rendered_by_peer(dir: &Path) -> Option<Result<Vec<serde_json::Value>, String>> {
    let peers: [&[&str]; 2] = [&["kubectl", "kustomize"], &["kustomize", "build"]];
    for peer in peers {
        let Ok(output) = Command::new(peer[0]).args(&peer[1..]).arg(dir).output() else { continue };
        if !output.status.success() {
            return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let documents = prograde_yaml::documents("peer", &text).unwrap();
        return Some(Ok(documents.iter().map(prograde_yaml::Node::to_json).collect()));
    }
    assert_ne!(
        std::env::var_os("CI").as_deref(),
        Some("true".as_ref()),
        "neither kubectl nor kustomize is installed: run scripts/test-peers.sh"
    );
    eprintln!("left out: neither kubectl nor kustomize is installed");
    None
}

fn check(text: &str, dir: &str) {
    let tree = fixture::tree(text);
    let disk = tempfile::tempdir().unwrap();
    write(&tree, disk.path());
    let ours = kustomize::render(&tree, dir).unwrap_or_else(|error| panic!("{error}"));
    let Some(theirs) = rendered_by_peer(&disk.path().join(dir)) else { return };
    let theirs = theirs.unwrap_or_else(|error| panic!("the peer refuses the fixture: {error}"));
    let ours: Vec<serde_json::Value> = ours.iter().map(kustomize::Resource::to_json).collect();
    let name = |object: &serde_json::Value| format!("{}/{}", object["kind"], object["metadata"]["name"]);
    assert_eq!(ours.iter().map(name).collect::<Vec<_>>(), theirs.iter().map(name).collect::<Vec<_>>());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(sorted(ours), sorted(theirs), "{}", name(ours));
    }
}

/// Readable differences: keys in order, one value a line.
fn sorted(value: &serde_json::Value) -> String {
    fn order(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), order(value))).collect();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                serde_json::Value::Object(fields.into_iter().collect())
            }
            serde_json::Value::Array(items) => items.iter().map(order).collect(),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => value.clone(),
        }
    }
    serde_json::to_string_pretty(&order(value)).unwrap()
}

#[test]
fn an_overlay_with_everything() {
    check(include_str!("../kustomize/overlay.txt"), "production");
}

#[test]
fn strategic_merges() {
    check(include_str!("../kustomize/merging.txt"), ".");
}

#[test]
fn names_and_references() {
    check(include_str!("../kustomize/names.txt"), ".");
}

#[test]
fn generators_and_their_hashes() {
    check(include_str!("../kustomize/generators.txt"), ".");
}

use super::*;
use crate::lock::{LockKind, parse};
use crate::package::{Inventory, Package};

const LOCK: &str = "[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"a\"]\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";

fn inventory() -> Inventory {
    let mut inventory = parse(LockKind::Cargo, "Cargo.lock", LOCK, &|_| None).unwrap();
    inventory.packages[1].licence = Some("MIT OR Apache-2.0".to_owned());
    inventory
}

fn about() -> About {
    About { name: "app".into(), version: None, created: Some("2026-02-01T12:00:00Z".into()), tool_version: "1".into() }
}

#[test]
fn what_is_written_is_read_back() {
    let inventory = inventory();
    let purls =
        |inventory: &Inventory| inventory.packages.iter().map(Package::purl).collect::<std::collections::BTreeSet<_>>();
    for document in [cyclonedx(&inventory, &about()), spdx2(&inventory, &about()), spdx3(&inventory, &about())] {
        let text = document.to_string();
        assert!(is_one(text.as_bytes()), "{text}");
        let back = read("bom.json", text.as_bytes()).unwrap();
        assert_eq!(purls(&back), purls(&inventory), "{text}");
        let a = back.packages.iter().find(|package| package.name == "a").unwrap();
        assert_eq!(a.licence.as_deref(), Some("MIT OR Apache-2.0"));
        let app = back.packages.iter().find(|package| package.name == "app").unwrap();
        assert_eq!(app.needs.len(), 1, "{text}");
        assert!(diff(&inventory, &back).is_empty(), "{:?}", diff(&inventory, &back));
    }
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    for write in [cyclonedx, spdx2, spdx3] {
        assert_eq!(write(&inventory(), &about()).to_string(), write(&inventory(), &about()).to_string());
        let other = About { name: "b".into(), ..about() };
        assert_ne!(write(&inventory(), &about()).to_string(), write(&inventory(), &other).to_string());
    }
    assert_eq!(uuid_of(b"x").len(), 36);
}

#[test]
fn differences_are_told() {
    let before = inventory();
    let mut after = inventory();
    after.packages[1].version = Some("1.1.0".into());
    after.packages[1].licence = Some("MIT".into());
    after.packages.push(Package::new(crate::ecosystem::Kind::Npm, "n", Some("1".into()), "f", 1));
    let found = diff(&before, &after);
    assert_eq!((found.added.len(), found.removed.len(), found.changed.len(), found.licences.len()), (1, 0, 1, 1));
    assert_eq!(found.changed[0].after, ["1.1.0"]);
    assert_eq!(diff(&after, &before).removed[0].name, "n");
}

#[test]
fn what_is_no_document_is_refused() {
    for bad in [
        "",
        "{}",
        "[]",
        "{\"bomFormat\": \"CycloneDX\", \"specVersion\": \"9\"}",
        "{\"spdxVersion\": \"SPDX-2.3\", \"packages\": 3}",
        "{\"@graph\": 1}",
    ] {
        assert_eq!(read("b", bad.as_bytes()).unwrap_err().code, "PG1207", "{bad}");
    }
}

//! The lists of packages that Debian and Alpine keep.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;

use crate::codes;
use crate::ecosystem::{Ecosystem, Kind};
use crate::package::{Distribution, Inventory, Package, Source};
use crate::purl;

const DPKG: &str = "var/lib/dpkg/status";
/// Images without a package manager have a file a package.
const DPKG_PARTS: &str = "var/lib/dpkg/status.d/";
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Whether a file says something of packages.
pub(super) fn is_wanted(path: &str) -> bool {
    path == DPKG
        || (path.starts_with(DPKG_PARTS) && !path.ends_with(".md5sums"))
        || APK.contains(&path)
        || RELEASE.contains(&path)
}

/// The packages of the distribution, from the texts of its files by their paths.
pub(super) fn inventory(texts: &BTreeMap<&str, String>, shown: &str) -> Inventory {
    let mut inventory = Inventory::default();
    let release = RELEASE.iter().find_map(|path| texts.get(path)).map(|text| os_release(text));
    for (path, text) in texts {
        let fallback = if *path == DPKG || path.starts_with(DPKG_PARTS) {
            Kind::Debian
        } else if APK.contains(path) {
            Kind::Alpine
        } else {
            continue;
        };
        let Some(ecosystem) = ecosystem(release.as_ref(), fallback) else {
            let name = release.as_ref().map(|release| release.id.clone()).unwrap_or_default();
            let message =
                format!("the packages of `{name}` in {path} are left out: nothing is known about that distribution");
            inventory.notes.push(Diagnostic::file(
                codes::ECOSYSTEM_UNKNOWN,
                shown,
                message,
                "Debian, Ubuntu and Alpine are known",
            ));
            continue;
        };
        if ecosystem.release.is_none() {
            let message = "the image does not say which release of its distribution it is, so advisories on releases are not judged";
            inventory.notes.push(Diagnostic::file(codes::ECOSYSTEM_UNKNOWN, shown, message, ""));
        }
        let read = if fallback == Kind::Debian { dpkg } else { apk };
        inventory.packages.extend(read(path, text, &ecosystem));
    }
    inventory.distribution = release;
    inventory
}

fn ecosystem(release: Option<&Distribution>, fallback: Kind) -> Option<Ecosystem> {
    let Some(release) = release else { return Some(Ecosystem::of(fallback)) };
    let kind = match release.id.as_str() {
        "debian" => Kind::Debian,
        "ubuntu" => Kind::Ubuntu,
        "alpine" => Kind::Alpine,
        "" => fallback,
        _ => return None,
    };
    Some(Ecosystem { kind, release: purl::release(kind, &release.version) })
}

/// `NAME=value` or `NAME="value"` (os-release(5)).
fn os_release(text: &str) -> Distribution {
    let mut release = Distribution::default();
    for (key, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
        let value = value.trim_matches(['"', '\'']).to_owned();
        match key {
            "ID" => release.id = value,
            "VERSION_ID" => release.version = value,
            "PRETTY_NAME" => release.name = value,
            _ => {}
        }
    }
    release
}

/// Paragraphs of fields; what is not installed any more is left out.
fn dpkg(path: &str, text: &str, ecosystem: &Ecosystem) -> Vec<Package> {
    let mut found = Vec::new();
    for (line, fields) in paragraphs(text, ": ") {
        let of = |name: &str| fields.get(name).copied();
        let (Some(name), Some(version)) = (of("Package"), of("Version")) else { continue };
        if of("Status").is_some_and(|status| !status.ends_with(" installed")) {
            continue;
        }
        let mut package = Package::new(ecosystem.kind, name, Some(version.to_owned()), path, line);
        package.ecosystem = ecosystem.clone();
        package.architecture = of("Architecture").map(str::to_owned);
        let source = of("Source").unwrap_or(name);
        let (source, built_from) =
            source.split_once(" (").map_or((source, version), |(name, version)| (name, version.trim_end_matches(')')));
        package.source = Some(Source { name: source.to_owned(), version: binary_rebuild(built_from).to_owned() });
        found.push(package);
    }
    found
}

/// A version without the mark of a rebuild, `+b1`: sources do not have it.
fn binary_rebuild(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((before, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => before,
        Some(_) | None => version,
    }
}

fn apk(path: &str, text: &str, ecosystem: &Ecosystem) -> Vec<Package> {
    let mut found = Vec::new();
    for (line, fields) in paragraphs(text, ":") {
        let of = |name: &str| fields.get(name).copied();
        let (Some(name), Some(version)) = (of("P"), of("V")) else { continue };
        let mut package = Package::new(ecosystem.kind, name, Some(version.to_owned()), path, line);
        package.ecosystem = ecosystem.clone();
        package.architecture = of("A").map(str::to_owned);
        package.licence = of("L").map(str::to_owned).filter(|licence| !licence.is_empty());
        package.source = Some(Source { name: of("o").unwrap_or(name).to_owned(), version: version.to_owned() });
        found.push(package);
    }
    found
}

/// Fields of paragraphs that empty lines part, and the line where each begins; of a field that is repeated the first.
fn paragraphs<'a>(text: &'a str, separator: &str) -> Vec<(u32, BTreeMap<&'a str, &'a str>)> {
    let mut found = Vec::new();
    let mut current: Option<(u32, BTreeMap<&str, &str>)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            found.extend(current.take());
        } else if let Some((key, value)) = line.split_once(separator).filter(|_| !line.starts_with([' ', '\t'])) {
            current.get_or_insert_with(|| (number, BTreeMap::new())).1.entry(key).or_insert(value.trim());
        }
    }
    found.extend(current);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_lists_are_read() {
        let release = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n".to_owned();
        let status = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.11-1)\nVersion: 3.0.11-1+b2\nDescription: x\n more: y\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n".to_owned();
        let part = "Package: tzdata\nVersion: 2024a-0\n".to_owned();
        let texts =
            BTreeMap::from([("etc/os-release", release), (DPKG, status), ("var/lib/dpkg/status.d/tzdata", part)]);
        let found = inventory(&texts, "i");
        let purls: Vec<String> = found.packages.iter().map(Package::purl).collect();
        assert_eq!(
            purls,
            [
                "pkg:deb/debian/libssl3@3.0.11-1%2Bb2?arch=amd64&distro=debian-12&upstream=openssl%403.0.11-1",
                "pkg:deb/debian/tzdata@2024a-0?distro=debian-12",
            ]
        );
        assert_eq!(found.packages[0].ecosystem.to_string(), "Debian:12");
        let apk =
            "C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:x\n\nP:busybox-binsh\nV:1.36\no:busybox\n"
                .to_owned();
        let texts = BTreeMap::from([("etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n".to_owned()), (APK[0], apk)]);
        let found = inventory(&texts, "i");
        assert_eq!(found.packages[0].licence.as_deref(), Some("MIT"));
        assert_eq!(
            found.packages[1].purl(),
            "pkg:apk/alpine/busybox-binsh@1.36?distro=alpine-3.19&upstream=busybox%401.36"
        );
        let other = BTreeMap::from([("etc/os-release", "ID=wolfi\n".to_owned()), (APK[0], "P:a\nV:1\n".to_owned())]);
        let found = inventory(&other, "i");
        assert_eq!((found.packages.len(), found.notes.len()), (0, 1));
    }
}

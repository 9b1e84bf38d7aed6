//! Reads bills of materials, whoever wrote them: CycloneDX in JSON, SPDX 2.2 and 2.3 in JSON, SPDX 3 in JSON-LD.

use std::collections::{BTreeMap, HashMap};

use prograde_model::Diagnostic;
use serde_json::Value;

use crate::codes;
use crate::package::{Inventory, Origin, Package, Root, Source};
use crate::purl;

/// How many components without a known package URL are told one by one.
const NOTES_MAX: usize = 10;
/// How deep components may stand within each other.
const DEPTH_MAX: usize = 32;

/// Whether a file is one, by its first part.
pub fn is_one(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with('{')
        && ["\"bomFormat\"", "\"spdxVersion\"", "spdx.org/rdf/3", "\"SPDXID\"", "\"spdxId\""]
            .iter()
            .any(|mark| text.contains(mark))
}

/// The packages of a document.
pub fn read(file: &str, text: &[u8]) -> Result<Inventory, Diagnostic> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let document: Value = serde_json::from_slice(text).map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
        malformed(file, format!("it is no JSON: {error}")).at(line, 0)
    })?;
    let mut reader = Reader { file, inventory: Inventory::of_file(file), places: HashMap::new(), unknown: 0 };
    if document.get("bomFormat").and_then(Value::as_str) == Some("CycloneDX") {
        reader.cyclonedx(&document)?;
    } else if document.get("spdxVersion").and_then(Value::as_str).is_some_and(|version| version.starts_with("SPDX-2")) {
        reader.spdx2(&document)?;
    } else if document.get("@graph").is_some() {
        reader.spdx3(&document)?;
    } else {
        return Err(malformed(file, "it is neither CycloneDX nor SPDX 2 or 3"));
    }
    Ok(reader.finish())
}

fn malformed(file: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::file(codes::SBOM_FORM, file, message, "expected CycloneDX or SPDX in JSON")
}

struct Reader<'a> {
    file: &'a str,
    inventory: Inventory,
    places: HashMap<String, usize>,
    unknown: usize,
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Reader<'_> {
    /// Adds a package by its URL; one without a URL that is known is noted.
    fn add(&mut self, id: Option<&str>, name: &str, url: Option<&str>, licence: Option<String>) {
        let Some(read) = url.and_then(purl::parse) else {
            self.unknown += 1;
            if self.unknown <= NOTES_MAX {
                let why = url.map_or("it has no package URL".to_owned(), |url| {
                    format!("nothing is known about packages such as {url}")
                });
                let message = format!("`{name}` is not judged: {why}");
                self.inventory.notes.push(Diagnostic::file(codes::ECOSYSTEM_UNKNOWN, self.file, message, ""));
            }
            return;
        };
        let mut package = Package::new(read.ecosystem.kind, read.name, read.version, self.file, 0);
        if package.ecosystem.kind.is_distribution() && read.source.is_none() {
            package.source = package.version.clone().map(|version| Source { name: package.name.clone(), version });
        } else {
            package.source = read.source;
        }
        package.ecosystem = read.ecosystem;
        package.architecture = read.architecture;
        package.licence = licence.filter(|licence| licence != "NOASSERTION" && licence != "NONE");
        let at = self.inventory.packages.len();
        for id in id.into_iter().chain(url) {
            self.places.entry(id.to_owned()).or_insert(at);
        }
        self.inventory.packages.push(package);
    }

    fn need(&mut self, from: &str, to: &str) {
        let Some(to) = self.places.get(to).copied() else { return };
        if let Some(package) = self.places.get(from).and_then(|at| self.inventory.packages.get_mut(*at)) {
            package.needs.push(to);
        }
    }

    fn cyclonedx(&mut self, document: &Value) -> Result<(), Diagnostic> {
        let version = text(document, "specVersion").unwrap_or_default();
        if !version.starts_with("1.") {
            return Err(malformed(self.file, format!("`specVersion` is `{version}`, expected 1.x")));
        }
        self.components(list(document, "components"), 0)?;
        for one in list(document, "dependencies") {
            let from = text(one, "ref").unwrap_or_default().to_owned();
            for to in list(one, "dependsOn").iter().filter_map(Value::as_str) {
                self.need(&from, to);
            }
        }
        let root = document.get("metadata").and_then(|metadata| metadata.get("component"));
        let of = |key: &str| root.and_then(|root| text(root, key)).map(str::to_owned);
        self.root(of("name"), of("version"));
        Ok(())
    }

    fn components(&mut self, components: &[Value], depth: usize) -> Result<(), Diagnostic> {
        if depth > DEPTH_MAX {
            let message = format!("components stand in each other more than {DEPTH_MAX} deep");
            return Err(Diagnostic::file(codes::TOO_LARGE, self.file, message, ""));
        }
        for one in components {
            let kind = text(one, "type").unwrap_or_default();
            let own = kind == "application" || kind == "operating-system" || kind == "file";
            if !own || one.get("purl").is_some() {
                let name = text(one, "name").unwrap_or_default();
                let before = self.inventory.packages.len();
                self.add(text(one, "bom-ref"), name, text(one, "purl"), cyclonedx_licence(one));
                // What an application of our own is made of is judged, the application is not.
                if kind == "application"
                    && list(one, "properties").iter().any(|property| text(property, "name") == Some("prograde:file"))
                    && let Some(package) = self.inventory.packages.get_mut(before)
                {
                    package.origin = Origin::Local;
                }
            }
            self.components(list(one, "components"), depth + 1)?;
        }
        Ok(())
    }

    fn spdx2(&mut self, document: &Value) -> Result<(), Diagnostic> {
        if document.get("packages").is_some_and(|packages| !packages.is_array()) {
            return Err(malformed(self.file, "`packages` is no list"));
        }
        let described: Vec<&str> = list(document, "relationships")
            .iter()
            .filter(|one| text(one, "relationshipType") == Some("DESCRIBES"))
            .filter_map(|one| text(one, "relatedSpdxElement"))
            .collect();
        let mut root = (text(document, "name").map(str::to_owned), None);
        for one in list(document, "packages") {
            let id = text(one, "SPDXID").unwrap_or_default();
            let url =
                list(one, "externalRefs").iter().find(|reference| text(reference, "referenceType") == Some("purl"));
            let url = url.and_then(|reference| text(reference, "referenceLocator"));
            if url.is_none() && described.contains(&id) {
                root = (text(one, "name").map(str::to_owned), text(one, "versionInfo").map(str::to_owned));
                continue;
            }
            let said = |key: &str| text(one, key).filter(|licence| *licence != "NOASSERTION" && *licence != "NONE");
            let licence = said("licenseConcluded").or(said("licenseDeclared")).map(str::to_owned);
            self.add(Some(id), text(one, "name").unwrap_or_default(), url, licence);
        }
        for one in list(document, "relationships") {
            let (from, to) =
                (text(one, "spdxElementId").unwrap_or_default(), text(one, "relatedSpdxElement").unwrap_or_default());
            match text(one, "relationshipType") {
                Some("DEPENDS_ON" | "CONTAINS") => self.need(from, to),
                Some("DEPENDENCY_OF") => self.need(to, from),
                Some(_) | None => {}
            }
        }
        self.root(root.0, root.1);
        Ok(())
    }

    fn spdx3(&mut self, document: &Value) -> Result<(), Diagnostic> {
        let graph = document
            .get("@graph")
            .and_then(Value::as_array)
            .ok_or_else(|| malformed(self.file, "`@graph` is no list"))?;
        let id = |one: &Value| text(one, "spdxId").or(text(one, "@id")).map(str::to_owned);
        let kind = |one: &Value| text(one, "type").or(text(one, "@type")).map(str::to_owned).unwrap_or_default();
        let mut licences: BTreeMap<String, String> = BTreeMap::new();
        let expressions =
            graph.iter().filter_map(|one| Some((id(one)?, text(one, "simplelicensing_licenseExpression")?.to_owned())));
        let expressions: BTreeMap<String, String> = expressions.collect();
        for one in graph.iter().filter(|one| {
            kind(one) == "Relationship"
                && matches!(text(one, "relationshipType"), Some("hasDeclaredLicense" | "hasConcludedLicense"))
        }) {
            let to = list(one, "to").iter().filter_map(Value::as_str).find_map(|to| expressions.get(to));
            if let (Some(from), Some(licence)) = (text(one, "from"), to) {
                licences.insert(from.to_owned(), licence.clone());
            }
        }
        let roots: Vec<&str> = graph
            .iter()
            .filter(|one| kind(one) == "software_Sbom")
            .flat_map(|one| list(one, "rootElement"))
            .filter_map(Value::as_str)
            .collect();
        let mut root = (None, None);
        for one in graph.iter().filter(|one| kind(one) == "software_Package") {
            let id = id(one).unwrap_or_default();
            let external = list(one, "externalIdentifier")
                .iter()
                .find(|other| text(other, "externalIdentifierType") == Some("packageUrl"));
            let url = text(one, "software_packageUrl").or(external.and_then(|other| text(other, "identifier")));
            if url.is_none() && roots.contains(&id.as_str()) {
                root = (text(one, "name").map(str::to_owned), text(one, "software_packageVersion").map(str::to_owned));
                continue;
            }
            self.add(Some(&id), text(one, "name").unwrap_or_default(), url, licences.get(&id).cloned());
        }
        for one in graph.iter().filter(|one| text(one, "relationshipType") == Some("dependsOn")) {
            for to in list(one, "to").iter().filter_map(Value::as_str) {
                self.need(text(one, "from").unwrap_or_default(), to);
            }
        }
        self.root(root.0, root.1);
        Ok(())
    }

    fn root(&mut self, name: Option<String>, version: Option<String>) {
        let needed: std::collections::BTreeSet<usize> =
            self.inventory.packages.iter().flat_map(|package| package.needs.iter().copied()).collect();
        let needs = (0..self.inventory.packages.len()).filter(|at| !needed.contains(at)).collect();
        self.inventory.roots.push(Root { name, version, file: self.file.to_owned(), needs });
    }

    fn finish(mut self) -> Inventory {
        if self.unknown > NOTES_MAX {
            let message = format!("{} more components are not judged for the same reasons", self.unknown - NOTES_MAX);
            self.inventory.notes.push(Diagnostic::file(codes::ECOSYSTEM_UNKNOWN, self.file, message, ""));
        }
        self.inventory
    }
}

fn cyclonedx_licence(one: &Value) -> Option<String> {
    let all: Vec<&str> = list(one, "licenses")
        .iter()
        .filter_map(|licence| {
            text(licence, "expression")
                .or_else(|| text(licence.get("license")?, "id"))
                .or_else(|| text(licence.get("license")?, "name"))
        })
        .collect();
    Some(all.join(" AND ")).filter(|text| !text.is_empty())
}

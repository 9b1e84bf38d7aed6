//! SPDX 2.3 in JSON (spdx.github.io/spdx-spec/v2.3).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::components::{Component, components};
use super::{About, EPOCH, uuid_of};
use crate::licence::{Written, written};
use crate::package::{Hash, Inventory, Origin};

const ROOT: &str = "SPDXRef-Root";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

/// The document.
pub fn write(inventory: &Inventory, about: &About) -> Value {
    let listed = components(inventory);
    let ids: BTreeMap<&str, String> = listed.all.iter().map(|one| (one.purl.as_str(), id(one))).collect();
    let mut texts = BTreeMap::new();
    let mut root = json!({
        "SPDXID": ROOT,
        "name": about.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "APPLICATION",
    });
    if let (Value::Object(fields), Some(version)) = (&mut root, &about.version) {
        fields.insert("versionInfo".to_owned(), json!(version));
    }
    let mut packages = vec![root];
    packages.extend(listed.all.iter().map(|one| package(one, &ids, &mut texts)));
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", ROOT)];
    relationships.extend(
        listed.direct.iter().filter_map(|need| Some(relationship(ROOT, "DEPENDS_ON", ids.get(need.as_str())?))),
    );
    for one in &listed.all {
        let from = ids.get(one.purl.as_str()).map(String::as_str).unwrap_or_default();
        relationships.extend(
            one.needs.iter().filter_map(|need| Some(relationship(from, "DEPENDS_ON", ids.get(need.as_str())?))),
        );
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": about.name,
        "documentNamespace": "",
        "creationInfo": {
            "created": about.created.as_deref().unwrap_or(EPOCH),
            "creators": [format!("Tool: prograde-{}", about.tool_version)],
        },
        "packages": packages,
        "relationships": relationships,
    });
    let uuid = uuid_of(document.to_string().as_bytes());
    if let Value::Object(fields) = &mut document {
        fields.insert("documentNamespace".to_owned(), json!(format!("https://spdx.org/spdxdocs/prograde-{uuid}")));
        if !texts.is_empty() {
            let list =
                texts.into_iter().map(|(id, text)| json!({"licenseId": id, "extractedText": text, "name": text}));
            fields.insert("hasExtractedLicensingInfos".to_owned(), list.collect());
        }
    }
    document
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// An id of letters, digits, `.` and `-` that follows from the package.
fn id(one: &Component<'_>) -> String {
    let name: String =
        one.package.name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let unique = uuid_of(one.purl.as_bytes());
    format!("SPDXRef-Package-{name}-{}", unique.split('-').next().unwrap_or_default())
}

fn package(one: &Component<'_>, ids: &BTreeMap<&str, String>, texts: &mut BTreeMap<String, String>) -> Value {
    let package = one.package;
    let location = match &package.origin {
        Origin::Git(url) if is_location(url) => url.clone(),
        Origin::Url(url) if is_location(url) => url.clone(),
        Origin::Registry | Origin::Git(_) | Origin::Url(_) | Origin::Local => "NOASSERTION".to_owned(),
    };
    let declared = match package.licence.as_deref().map(written) {
        None => "NOASSERTION".to_owned(),
        Some(Written::Id(text) | Written::Expression(text)) => text,
        Some(Written::Name(text)) => {
            let id = format!("LicenseRef-{}", uuid_of(text.as_bytes()).split('-').next().unwrap_or_default());
            texts.insert(id.clone(), text);
            id
        }
    };
    let mut value = json!({
        "SPDXID": ids.get(one.purl.as_str()),
        "name": package.name,
        "downloadLocation": location,
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared,
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": one.purl,
        }],
    });
    if let Value::Object(fields) = &mut value {
        if let Some(version) = &package.version {
            fields.insert("versionInfo".to_owned(), json!(version));
        }
        if !package.hashes.is_empty() {
            fields.insert("checksums".to_owned(), package.hashes.iter().map(checksum).collect());
        }
        let places: Vec<String> = one.places.iter().map(|(file, line)| format!("{file}:{line}")).collect();
        fields.insert("sourceInfo".to_owned(), json!(format!("named in {}", places.join(", "))));
    }
    value
}

/// SPDX spells algorithms without hyphens.
fn checksum(hash: &Hash) -> Value {
    json!({"algorithm": hash.algorithm.replace('-', ""), "checksumValue": hash.digits})
}

/// The form that the schema's pattern for locations allows.
fn is_location(url: &str) -> bool {
    let plain = !url.contains(char::is_whitespace) && url.matches('#').count() <= 1;
    let schemes = ["http://", "https://", "git+http://", "git+https://", "git+ssh://", "git://", "ssh://"];
    plain && schemes.iter().any(|scheme| url.starts_with(scheme))
}

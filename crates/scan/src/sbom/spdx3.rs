//! SPDX 3.0.1 in JSON-LD (spdx.github.io/spdx-spec/v3.0.1).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::components::{Component, components};
use super::{About, EPOCH, uuid_of};
use crate::licence::{Written, written};
use crate::package::{Inventory, Scope};

const CONTEXT: &str = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld";
const CREATION: &str = "_:creation";

/// The document.
pub fn write(inventory: &Inventory, about: &About) -> Value {
    let listed = components(inventory);
    let content: Vec<&str> = listed.all.iter().map(|one| one.purl.as_str()).collect();
    let base = format!("https://spdx.org/spdxdocs/prograde-{}", uuid_of(format!("{about:?}{content:?}").as_bytes()));
    let writer = Writer { base, graph: Vec::new(), licences: BTreeMap::new() };
    writer.document(&listed, about)
}

struct Writer {
    base: String,
    graph: Vec<Value>,
    licences: BTreeMap<String, String>,
}

impl Writer {
    fn id(&self, kind: &str, content: &str) -> String {
        format!("{}#{kind}-{}", self.base, uuid_of(content.as_bytes()))
    }

    fn document(mut self, listed: &super::components::Components<'_>, about: &About) -> Value {
        let (tool, root, bom) = (self.id("tool", "prograde"), self.id("package", "root"), self.id("sbom", "bom"));
        let agent = self.id("agent", "prograde");
        self.graph.push(json!({
            "type": "CreationInfo",
            "@id": CREATION,
            "specVersion": "3.0.1",
            "created": about.created.as_deref().unwrap_or(EPOCH),
            "createdBy": [agent],
            "createdUsing": [tool],
        }));
        self.graph
            .push(json!({"type": "SoftwareAgent", "spdxId": agent, "creationInfo": CREATION, "name": "prograde"}));
        let name = format!("prograde {}", about.tool_version);
        self.graph.push(json!({"type": "Tool", "spdxId": tool, "creationInfo": CREATION, "name": name}));
        let mut whole = json!({"type": "software_Package", "spdxId": root, "creationInfo": CREATION, "name": about.name, "software_primaryPurpose": "application"});
        if let (Value::Object(fields), Some(version)) = (&mut whole, &about.version) {
            fields.insert("software_packageVersion".to_owned(), json!(version));
        }
        self.graph.push(whole);
        let mut elements = vec![root.clone()];
        for one in &listed.all {
            elements.push(self.package(one));
        }
        let ids: BTreeMap<&str, String> =
            listed.all.iter().map(|one| (one.purl.as_str(), self.id("package", &one.purl))).collect();
        let found = |needs: &std::collections::BTreeSet<String>| -> Vec<String> {
            needs.iter().filter_map(|need| ids.get(need.as_str()).cloned()).collect()
        };
        let direct = found(&listed.direct);
        elements.extend(self.relationship(&root, "dependsOn", &direct, None));
        for one in &listed.all {
            let (from, needs) = (ids.get(one.purl.as_str()).cloned().unwrap_or_default(), found(&one.needs));
            let scope = match one.package.scope {
                Scope::Development => "development",
                Scope::Runtime | Scope::Optional => "runtime",
            };
            elements.extend(self.relationship(&from, "dependsOn", &needs, Some(scope)));
            if let Some(text) = &one.package.licence {
                let licence = self.licence(text);
                elements.extend(self.relationship(&from, "hasDeclaredLicense", &[licence], None));
            }
        }
        elements.extend(self.licences.values().cloned());
        self.graph.push(json!({
            "type": "software_Sbom",
            "spdxId": bom,
            "creationInfo": CREATION,
            "profileConformance": ["core", "software", "simpleLicensing"],
            "rootElement": [root],
            "element": elements,
        }));
        elements.extend([bom.clone(), tool, agent]);
        self.graph.push(json!({
            "type": "SpdxDocument",
            "spdxId": format!("{}#document", self.base),
            "creationInfo": CREATION,
            "name": about.name,
            "profileConformance": ["core", "software", "simpleLicensing"],
            "rootElement": [bom],
            "element": elements,
        }));
        json!({"@context": CONTEXT, "@graph": self.graph})
    }

    fn package(&mut self, one: &Component<'_>) -> String {
        let id = self.id("package", &one.purl);
        let package = one.package;
        let mut value = json!({
            "type": "software_Package",
            "spdxId": id,
            "creationInfo": CREATION,
            "name": package.name,
            "software_packageUrl": one.purl,
        });
        if let Value::Object(fields) = &mut value {
            if let Some(version) = &package.version {
                fields.insert("software_packageVersion".to_owned(), json!(version));
            }
            if !package.hashes.is_empty() {
                let hashes = package.hashes.iter().map(|hash| {
                    let algorithm = hash.algorithm.replace('-', "").to_lowercase();
                    json!({"type": "Hash", "algorithm": algorithm, "hashValue": hash.digits})
                });
                fields.insert("verifiedUsing".to_owned(), hashes.collect());
            }
        }
        self.graph.push(value);
        id
    }

    fn licence(&mut self, text: &str) -> String {
        let expression = match written(text) {
            Written::Id(text) | Written::Expression(text) => text,
            Written::Name(text) => {
                format!("LicenseRef-{}", uuid_of(text.as_bytes()).split('-').next().unwrap_or_default())
            }
        };
        if let Some(id) = self.licences.get(&expression) {
            return id.clone();
        }
        let id = self.id("licence", &expression);
        self.graph.push(json!({
            "type": "simplelicensing_LicenseExpression",
            "spdxId": id,
            "creationInfo": CREATION,
            "simplelicensing_licenseExpression": expression,
        }));
        self.licences.insert(expression, id.clone());
        id
    }

    fn relationship(&mut self, from: &str, kind: &str, to: &[String], scope: Option<&str>) -> Option<String> {
        if to.is_empty() {
            return None;
        }
        let id = self.id("relationship", &format!("{from} {kind} {to:?}"));
        let class = if scope.is_some() { "LifecycleScopedRelationship" } else { "Relationship" };
        let mut value = json!({"type": class, "spdxId": id, "creationInfo": CREATION, "from": from, "relationshipType": kind, "to": to});
        if let (Value::Object(fields), Some(scope)) = (&mut value, scope) {
            fields.insert("scope".to_owned(), json!(scope));
        }
        self.graph.push(value);
        Some(id)
    }
}

//! Licences: as SPDX expressions where they are ones, and against a list of what is allowed.

pub mod kept;

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use serde::Deserialize;
use spdx::{Expression, LicenseItem, ParseMode};

use crate::codes;
use crate::package::{Inventory, Origin};

/// How a licence is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// One licence of SPDX's list.
    Id(String),
    /// An expression of several.
    Expression(String),
    /// A text that is neither.
    Name(String),
}

/// What a package's declared licence is. Old forms such as `MIT/Apache-2.0` are read as what they mean.
pub fn written(text: &str) -> Written {
    let text = text.trim();
    match parse(text) {
        Some(expression) => {
            let canonical = expression.to_string();
            let plain = !canonical.contains([' ', '(', '+']) && spdx::license_id(&canonical).is_some();
            if plain { Written::Id(canonical) } else { Written::Expression(canonical) }
        }
        None => Written::Name(text.to_owned()),
    }
}

fn parse(text: &str) -> Option<Expression> {
    if text.len() > 4096 {
        return None;
    }
    let strict = Expression::parse(text).ok();
    strict.or_else(|| {
        let canonical = Expression::canonicalize(text).ok()??;
        Expression::parse_mode(&canonical, ParseMode::LAX).ok()
    })
}

/// A package whose licence is not allowed, or not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The package, by its place in the inventory.
    pub package: usize,
    /// The licence as it is declared; none where nothing says it.
    pub licence: Option<String>,
    /// Why.
    pub why: String,
}

/// The file's place below what is scanned.
pub const FILE: &str = ".prograde/licences.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    known: BTreeMap<String, String>,
}

/// What may be used.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Allowed {
    ids: Vec<String>,
    /// Licences of packages that do not declare one, found out by people.
    pub known: BTreeMap<String, String>,
}

impl Allowed {
    /// A list of SPDX ids, each alone or with an exception: `GPL-2.0-only WITH Classpath-exception-2.0`.
    pub fn new(file: &str, ids: Vec<String>) -> Result<Self, Diagnostic> {
        let mut allowed = Self::default();
        allowed.allow(file, ids)?;
        Ok(allowed)
    }

    /// Reads a file: `allow`, a list of ids, and `known`, licences by packages' names.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostic> {
        let read: File = prograde_yaml::decode(file, text)?;
        let mut allowed = Self { ids: Vec::new(), known: read.known };
        allowed.allow(file, read.allow)?;
        Ok(allowed)
    }

    /// Adds ids.
    pub fn allow(&mut self, file: &str, ids: Vec<String>) -> Result<(), Diagnostic> {
        for id in ids {
            let one = Expression::parse(&id).ok().filter(|expression| expression.requirements().count() == 1);
            if one.is_none() {
                let message = format!("`{id}` is no licence of SPDX's list");
                return Err(Diagnostic::file(codes::LICENCE_FORM, file, message, "see spdx.org/licenses for the ids"));
            }
            self.ids.push(id);
        }
        Ok(())
    }

    /// The packages that may not be used, and those of which that is not known.
    pub fn judge(&self, inventory: &Inventory) -> Vec<Refused> {
        let mut refused = Vec::new();
        for (at, package) in inventory.packages.iter().enumerate() {
            if package.origin == Origin::Local {
                continue;
            }
            let known = self.known.get(&package.name).cloned();
            let licence = known.or_else(|| package.licence.clone());
            let why = match licence.as_deref() {
                None => Some("nothing says its licence".to_owned()),
                Some(text) => match parse(text) {
                    None => Some(format!("`{text}` is no SPDX expression")),
                    Some(expression) if self.allows(&expression) => None,
                    Some(_) => Some(format!("`{text}` is not allowed")),
                },
            };
            refused.extend(why.map(|why| Refused { package: at, licence, why }));
        }
        refused
    }

    fn allows(&self, expression: &Expression) -> bool {
        expression.evaluate(|requirement| {
            let wanted = requirement.to_string();
            self.ids.iter().any(|id| *id == wanted || same_or_later(id, requirement))
        })
    }
}

/// `Apache-2.0+` is satisfied by `Apache-2.0`, as whoever uses it may choose that.
fn same_or_later(id: &str, requirement: &spdx::LicenseReq) -> bool {
    match &requirement.license {
        LicenseItem::Spdx { id: wanted, or_later } => *or_later && requirement.addition.is_none() && wanted.name == id,
        LicenseItem::Other { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::Kind;
    use crate::package::Package;

    #[test]
    fn licences_are_expressions_where_they_can_be() {
        assert_eq!(written("MIT"), Written::Id("MIT".into()));
        assert_eq!(written("MIT/Apache-2.0"), Written::Expression("MIT OR Apache-2.0".into()));
        assert_eq!(written("see LICENCE"), Written::Name("see LICENCE".into()));
    }

    #[test]
    fn an_expression_is_allowed_where_a_choice_of_it_is() {
        let allowed = Allowed::new(
            "f",
            vec!["MIT".into(), "Apache-2.0".into(), "GPL-2.0-only WITH Classpath-exception-2.0".into()],
        )
        .unwrap();
        let says = |licence: Option<&str>| {
            let mut package = Package::new(Kind::Npm, "p", Some("1".into()), "f", 1);
            package.licence = licence.map(str::to_owned);
            allowed
                .judge(&Inventory { packages: vec![package], ..Inventory::default() })
                .first()
                .map(|one| one.why.clone())
        };
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT AND Apache-2.0",
            "Apache-2.0+",
            "GPL-2.0-only WITH Classpath-exception-2.0",
        ] {
            assert_eq!(says(Some(good)), None, "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "GPL-2.0-only", "whatever"] {
            assert!(says(Some(bad)).is_some(), "{bad}");
        }
        assert_eq!(says(None).as_deref(), Some("nothing says its licence"));
        assert_eq!(Allowed::new("f", vec!["Nope".into()]).unwrap_err().code, "PG1233");
    }
}

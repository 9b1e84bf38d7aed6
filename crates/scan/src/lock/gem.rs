//! `Gemfile.lock`: sections by where gems are from, with `specs` indented by four and what they need by six spaces.

use std::collections::HashMap;

use prograde_model::Diagnostic;

use super::malformed;
use crate::ecosystem::Kind;
use crate::package::{Inventory, Origin, Package, Root, hex_hash};

const HINT: &str = "run `bundle lock`";

pub(super) fn parse(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let mut reader = Reader { path, inventory: Inventory::of_file(path), ..Reader::default() };
    for (number, line) in (1..).zip(text.lines()) {
        reader.line(number, line)?;
    }
    if reader.sections == 0 && !text.trim().is_empty() {
        return Err(malformed(path, 0, "it has no sections such as `GEM`", HINT));
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader<'a> {
    path: &'a str,
    sections: usize,
    section: &'a str,
    remote: &'a str,
    revision: &'a str,
    inventory: Inventory,
    needs: Vec<Vec<&'a str>>,
    direct: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, number: u32, line: &'a str) -> Result<(), Diagnostic> {
        let content = line.trim();
        if content.is_empty() {
            return Ok(());
        }
        if content.starts_with("<<<<<<<") || content.starts_with(">>>>>>>") {
            return Err(malformed(self.path, number, "a merge is not finished", "resolve it and run `bundle lock`"));
        }
        match line.len() - line.trim_start_matches(' ').len() {
            0 => {
                self.sections += 1;
                (self.section, self.remote, self.revision) = (content, "", "");
            }
            2 if self.section == "DEPENDENCIES" => {
                self.direct.extend(content.split([' ', '!']).next());
            }
            2 if self.section == "CHECKSUMS" => self.checksum(content),
            2 => {
                self.remote = content.strip_prefix("remote: ").unwrap_or(self.remote);
                self.revision = content.strip_prefix("revision: ").unwrap_or(self.revision);
            }
            4 if matches!(self.section, "GEM" | "GIT" | "PATH" | "PLUGIN SOURCE") => self.spec(number, content)?,
            6 => {
                if let Some(needs) = self.needs.last_mut() {
                    needs.extend(content.split(' ').next());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn spec(&mut self, number: u32, content: &str) -> Result<(), Diagnostic> {
        let (name, version) = name_and_version(content)
            .ok_or_else(|| malformed(self.path, number, format!("`{content}` is not `name (version)`"), HINT))?;
        let mut package = Package::new(Kind::RubyGems, name, Some(version.to_owned()), self.path, number);
        package.origin = match self.section {
            "GIT" => Origin::Git(format!("{}@{}", self.remote, self.revision)),
            "PATH" => Origin::Local,
            _ => Origin::Registry,
        };
        self.inventory.packages.push(package);
        self.needs.push(Vec::new());
        Ok(())
    }

    fn checksum(&mut self, content: &str) {
        let Some((spec, hashes)) = content.split_once(") ") else { return };
        let Some((name, version)) = name_and_version(&format!("{spec})")).map(|(n, v)| (n.to_owned(), v.to_owned()))
        else {
            return;
        };
        for package in &mut self.inventory.packages {
            if package.name == name && package.version.as_deref() == Some(&version) {
                package.hashes.extend(hashes.split(',').filter_map(|hash| hex_hash(hash.trim())));
            }
        }
    }

    fn finish(mut self) -> Inventory {
        let places: HashMap<String, usize> =
            self.inventory.packages.iter().enumerate().map(|(at, package)| (package.name.clone(), at)).collect();
        for (package, needs) in self.inventory.packages.iter_mut().zip(&self.needs) {
            package.needs = needs.iter().filter_map(|name| places.get(*name).copied()).collect();
        }
        let needs = self.direct.iter().filter_map(|name| places.get(*name).copied()).collect();
        self.inventory.roots.push(Root { name: None, version: None, file: self.path.to_owned(), needs });
        self.inventory
    }
}

/// `name (1.2.3)`, or with a platform `name (1.2.3-x86_64-linux)`: a version within this file has no hyphen.
fn name_and_version(content: &str) -> Option<(&str, &str)> {
    let (name, rest) = content.split_once(" (")?;
    let version = rest.strip_suffix(')')?;
    Some((name, version.split('-').next().unwrap_or(version)))
}

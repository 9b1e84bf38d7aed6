//! Scripts by the kinds that they are for, as Argo CD keeps them: a folder `GROUP/KIND/health.lua`, or the keys
//! `resource.customizations…` of the `ConfigMap` `argocd-cm`.

use std::collections::BTreeMap;

use prograde_kustomize::Node;
use prograde_model::{Diagnostic, Diagnostics};

use super::lua::{LuaError, Script};
use crate::codes;

/// The keys of `argocd-cm`.
const KEY: &str = "resource.customizations";
/// What stands before the group and kind in a key for one script.
const HEALTH_KEY: &str = "resource.customizations.health.";
/// The most scripts that are read.
const SCRIPTS_MAX: usize = 10_000;

/// Scripts by group and kind. `*` and Argo CD's `_` stand for anything.
#[derive(Debug, Default)]
pub struct Scripts {
    exact: BTreeMap<(String, String), Script>,
    wild: Vec<(String, String, Script)>,
}

impl Scripts {
    /// The script for a kind.
    pub fn of(&self, group: &str, kind: &str) -> Option<&Script> {
        if self.exact.is_empty() && self.wild.is_empty() {
            return None;
        }
        let exact = self.exact.get(&(group.to_owned(), kind.to_owned()));
        let fits = |(groups, kinds, _): &&(String, String, Script)| is_like(groups, group) && is_like(kinds, kind);
        exact.or_else(|| self.wild.iter().find(fits).map(|(_, _, script)| script))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in the script of a kind; a later one takes the place of an earlier one.
    pub fn insert(&mut self, group: &str, kind: &str, script: Script) -> Result<(), Diagnostic> {
        if self.len() >= SCRIPTS_MAX {
            let message = format!("there are more than the {SCRIPTS_MAX} scripts that are read");
            return Err(Diagnostic::file(codes::SCRIPT, "scripts", message, "leave some out"));
        }
        let pattern = |text: &str| text.replace('_', "*");
        if group.contains(['*', '_']) || kind.contains(['*', '_']) {
            self.wild.push((pattern(group), pattern(kind), script));
        } else {
            self.exact.insert((group.to_owned(), kind.to_owned()), script);
        }
        Ok(())
    }

    /// Takes in a file `…/GROUP/KIND/health.lua`; `path` begins at the folder that was named. Kinds of the core stand at
    /// its top, or in `core`.
    pub fn file(&mut self, path: &str, text: &str) -> Result<(), Diagnostic> {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.pop() != Some("health.lua") {
            return Ok(());
        }
        let Some(kind) = parts.pop() else {
            let hint = "scripts are in GROUP/KIND/health.lua, such as apps/Deployment/health.lua";
            return Err(Diagnostic::file(codes::SCRIPT, path, "the path names no kind", hint));
        };
        let group = parts.pop().filter(|group| *group != "core").unwrap_or_default();
        let script = Script::new(path, text).map_err(|error| unreadable(path, 0, &error))?;
        self.insert(group, kind, script)
    }

    /// Takes in the scripts of a `ConfigMap` such as `argocd-cm`; other documents have none.
    pub fn config(&mut self, file: &str, text: &str) -> Result<(), Diagnostics> {
        for document in prograde_kustomize::documents(file, text)? {
            let Some(data) = document.get("data") else { continue };
            for entry in data.entries() {
                if let Some(name) = entry.name.strip_prefix(HEALTH_KEY) {
                    let (group, kind) = name.rsplit_once('_').unwrap_or(("", name));
                    self.entry(file, (group, kind), &entry.value)?;
                } else if entry.name == KEY {
                    self.nested(file, &entry.value)?;
                }
            }
        }
        Ok(())
    }

    /// The older form: one text of YAML with `GROUP/KIND` and its `health.lua`.
    fn nested(&mut self, file: &str, value: &Node) -> Result<(), Diagnostics> {
        let at = value.place.line;
        let inner = prograde_kustomize::documents(file, value.raw())
            .map_err(|found| Diagnostic { line: found.line.saturating_add(at).saturating_sub(1), ..found })?;
        for entry in inner.iter().flat_map(Node::entries) {
            let (group, kind) = entry.name.rsplit_once('/').unwrap_or(("", &entry.name));
            if let Some(script) = entry.value.get("health.lua") {
                self.entry(file, (group, kind), script)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, file: &str, (group, kind): (&str, &str), value: &Node) -> Result<(), Diagnostic> {
        let name = if group.is_empty() { format!("{file}: {kind}") } else { format!("{file}: {group}/{kind}") };
        let script = Script::new(name, value.raw()).map_err(|error| unreadable(file, value.place.line, &error))?;
        self.insert(group, kind, script)
    }
}

fn unreadable(file: &str, before: u32, error: &LuaError) -> Diagnostic {
    let hint = "a script is Lua 5.1 with goto; it sees `obj` and returns a table with `status` and `message`";
    let line = before.saturating_add(error.line).saturating_sub(u32::from(before > 0 && error.line > 0));
    Diagnostic::file(codes::SCRIPT, file, format!("the script can't be read: {}", error.message), hint).at(line, 0)
}

/// Whether a text is as a pattern with `*` says.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(mut last) = parts.next() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(last) else { return false };
        rest = rest.get(at + last.len()..).unwrap_or_default();
        last = part;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_kind() {
        let mut scripts = Scripts::default();
        let lua = "return {status = 'Healthy'}";
        scripts.file("argoproj.io/Rollout/health.lua", lua).unwrap();
        scripts.file("_.crossplane.io/_/health.lua", lua).unwrap();
        scripts.file("Pod/health.lua", lua).unwrap();
        scripts.file("core/Service/health.lua", lua).unwrap();
        scripts.file("argoproj.io/Rollout/actions/discovery.lua", "not lua").unwrap();
        for (group, kind) in
            [("argoproj.io", "Rollout"), ("ec2.aws.crossplane.io", "VPC"), ("", "Pod"), ("", "Service")]
        {
            assert!(scripts.of(group, kind).is_some(), "{group} {kind}");
        }
        for (group, kind) in [("argoproj.io", "Other"), ("apps", "Deployment"), ("crossplane.io", "X"), ("x", "Pod")] {
            assert!(scripts.of(group, kind).is_none(), "{group} {kind}");
        }
        let wrong = scripts.file("a/B/health.lua", "return {\n}}").unwrap_err();
        assert_eq!((wrong.code.as_str(), wrong.line), ("PG1323", 2), "{wrong}");
    }

    #[test]
    fn scripts_of_a_config_map() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\ndata:\n  resource.customizations.health.cert-manager.io_Certificate: |\n    hs = {}\n    return hs\n  resource.customizations: |\n    \"*.example.io/*\":\n      health.lua: |\n        return {}\n    Pod:\n      health.lua: return {}\n";
        let mut scripts = Scripts::default();
        scripts.config("cm.yaml", text).unwrap();
        assert!(scripts.of("cert-manager.io", "Certificate").is_some());
        assert!(scripts.of("a.example.io", "X").is_some() && scripts.of("", "Pod").is_some());
        assert_eq!(scripts.len(), 3);
        let broken = text.replace("return hs", "return )");
        let wrong = scripts.config("cm.yaml", &broken).unwrap_err();
        assert_eq!(wrong.0[0].line, 7, "{wrong}");
    }

    #[test]
    fn patterns() {
        for (pattern, text, is) in [
            ("*", "x", true),
            ("a*c", "abc", true),
            ("a*b*c", "aXbYc", true),
            ("a*", "b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(is_like(pattern, text), is, "{pattern} {text}");
        }
    }
}

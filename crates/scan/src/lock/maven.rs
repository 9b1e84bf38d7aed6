//! `pom.xml`: what a project declares. Versions come from the file, its properties, its `dependencyManagement` and the
//! parents that are there beside it; one that only a repository could tell is said to be unknown, never guessed.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use quick_xml::events::Event;

use super::{Beside, malformed, relative, unpinned};
use crate::codes;
use crate::ecosystem::Kind;
use crate::package::{Inventory, Lines, Package, Root, Scope};

/// How deep elements may stand within each other.
const DEPTH_MAX: usize = 64;
/// How many parents are looked at.
const PARENTS_MAX: usize = 8;
/// How often a property may stand for another one.
const REPLACED_MAX: usize = 16;
/// The longest text that properties may make.
const TEXT_MAX: usize = 4096;

const HINT: &str = "see Maven's reference of the POM";

/// An element that was read.
#[derive(Default)]
struct Element {
    name: String,
    line: u32,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }
}

/// A file and its parents, the nearest first.
struct Project {
    files: Vec<Element>,
    properties: BTreeMap<String, String>,
    managed: BTreeMap<String, (Option<String>, Option<String>)>,
}

pub(super) fn parse(path: &str, text: &str, beside: Beside<'_>) -> Result<Inventory, Diagnostic> {
    let project = load(path, text, beside)?;
    let mut inventory = Inventory::of_file(path);
    let own = project.files.first();
    for dependency in
        own.and_then(|file| file.child("dependencies")).map(|list| list.children.as_slice()).unwrap_or_default()
    {
        if dependency.name == "dependency" {
            declared(path, dependency, &project, &mut inventory);
        }
    }
    let needs = (0..inventory.packages.len()).collect();
    let said = |name: &str| project.properties.get(&format!("project.{name}")).cloned();
    let name = said("groupId").zip(said("artifactId")).map(|(group, artifact)| format!("{group}:{artifact}"));
    inventory.roots.push(Root { name, version: said("version"), file: path.to_owned(), needs });
    Ok(inventory)
}

fn declared(path: &str, dependency: &Element, project: &Project, inventory: &mut Inventory) {
    let fill = |text: &str| project.filled(text);
    let (Some(group), Some(artifact)) =
        (dependency.text_of("groupId").and_then(fill), dependency.text_of("artifactId").and_then(fill))
    else {
        inventory.notes.push(unpinned(path, dependency.line, "dependency", "its group or artifact is not known"));
        return;
    };
    let name = format!("{group}:{artifact}");
    let managed = project.managed.get(&name);
    let written = dependency.text_of("version").or_else(|| managed.and_then(|(version, _)| version.as_deref()));
    let version = written.and_then(fill);
    let ranged = version.as_deref().is_some_and(|version| version.starts_with(['[', '(']));
    // `[1.2]` is exactly that version.
    let exact = version
        .as_deref()
        .and_then(|version| version.strip_prefix('[')?.strip_suffix(']'))
        .filter(|version| !version.contains(','));
    let version = if ranged { exact.map(str::to_owned) } else { version };
    if version.is_none() {
        let why = match written {
            None => "neither the file nor a parent beside it says one".to_owned(),
            Some(text) if ranged => format!("`{text}` is a range"),
            Some(text) => format!("`{text}` has no value in the file or a parent beside it"),
        };
        inventory.notes.push(unpinned(path, dependency.line, &name, &why));
    }
    let mut package = Package::new(Kind::Maven, name, version, path, dependency.line);
    let scope = dependency.text_of("scope").or_else(|| managed.and_then(|(_, scope)| scope.as_deref()));
    package.scope = match scope {
        Some("test" | "provided") => Scope::Development,
        _ if dependency.text_of("optional") == Some("true") => Scope::Optional,
        _ => Scope::Runtime,
    };
    inventory.packages.push(package);
}

fn load(path: &str, text: &str, beside: Beside<'_>) -> Result<Project, Diagnostic> {
    let mut files = vec![read(path, text)?];
    let mut at = path.to_owned();
    while files.len() <= PARENTS_MAX {
        let Some(parent) = files.last().and_then(|file| file.child("parent")) else { break };
        let named = parent.child("relativePath").map_or("../pom.xml", |path| path.text.trim());
        let named = if named.is_empty() { break } else { named };
        let named = if named.ends_with(".xml") { named.to_owned() } else { format!("{named}/pom.xml") };
        let Some((target, text)) = relative(&at, &named).and_then(|target| Some((target.clone(), beside(&target)?)))
        else {
            break;
        };
        let file = read(&target, &text)?;
        // Another project may stand where the parent would be.
        if file.text_of("artifactId") != parent.text_of("artifactId") {
            break;
        }
        files.push(file);
        at = target;
    }
    let mut project = Project { files: Vec::new(), properties: BTreeMap::new(), managed: BTreeMap::new() };
    for file in files.iter().rev() {
        inherit(file, &mut project);
    }
    let managed = std::mem::take(&mut project.managed);
    for (name, value) in managed {
        let name = project.filled(&name).unwrap_or(name);
        project.managed.insert(name, value);
    }
    project.files = files;
    Ok(project)
}

fn inherit(file: &Element, project: &mut Project) {
    for property in file.child("properties").map(|list| list.children.as_slice()).unwrap_or_default() {
        project.properties.insert(property.name.clone(), property.text.trim().to_owned());
    }
    for field in ["groupId", "artifactId", "version"] {
        let parent = file.child("parent").and_then(|parent| parent.text_of(field));
        if let Some(value) = parent {
            for prefix in ["project.parent", "parent"] {
                project.properties.insert(format!("{prefix}.{field}"), value.to_owned());
            }
        }
        if let Some(value) = file.text_of(field).or(parent) {
            for prefix in ["project", "pom"] {
                project.properties.insert(format!("{prefix}.{field}"), value.to_owned());
            }
        }
    }
    let managed = file.child("dependencyManagement").and_then(|managed| managed.child("dependencies"));
    for dependency in managed.map(|list| list.children.as_slice()).unwrap_or_default() {
        if let (Some(group), Some(artifact)) = (dependency.text_of("groupId"), dependency.text_of("artifactId")) {
            let of = |name: &str| dependency.text_of(name).map(str::to_owned);
            project
                .managed
                .insert(format!("{group}:{artifact}"), (of("version"), of("scope").filter(|scope| scope != "import")));
        }
    }
}

impl Project {
    /// The text with its properties put in; none where one has no value.
    fn filled(&self, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        for _ in 0..REPLACED_MAX {
            let Some((before, rest)) = text.split_once("${") else { return Some(text) };
            let (name, after) = rest.split_once('}')?;
            text = format!("{before}{}{after}", self.properties.get(name.trim())?);
            if text.len() > TEXT_MAX {
                return None;
            }
        }
        None
    }
}

fn read(path: &str, text: &str) -> Result<Element, Diagnostic> {
    let lines = Lines::of(text);
    let mut reader = quick_xml::Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    loop {
        let line = lines.at(usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX));
        let event = reader.read_event().map_err(|error| malformed(path, line, error.to_string(), HINT))?;
        match event {
            Event::Start(tag) => {
                if open.len() >= DEPTH_MAX {
                    let message = format!("elements stand in each other more than {DEPTH_MAX} deep");
                    return Err(Diagnostic::file(codes::TOO_LARGE, path, message, HINT).at(line, 0));
                }
                open.push(Element { name: tag.local_name().as_ref().to_owned(), line, ..Element::default() });
            }
            Event::Empty(tag) => {
                let element = Element { name: tag.local_name().as_ref().to_owned(), line, ..Element::default() };
                if let Some(parent) = open.last_mut() {
                    parent.children.push(element);
                }
            }
            Event::Text(content) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(content.as_ref());
                }
            }
            Event::CData(content) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(content.as_ref());
                }
            }
            Event::End(_) => {
                let Some(element) = open.pop() else { continue };
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None if element.name == "project" => return Ok(element),
                    None => {
                        return Err(malformed(
                            path,
                            element.line,
                            format!("expected `project`, found `{}`", element.name),
                            HINT,
                        ));
                    }
                }
            }
            Event::DocType(_) => return Err(malformed(path, line, "a POM has no DOCTYPE", HINT)),
            Event::Eof => return Err(malformed(path, line, "it ends before `project` does", HINT)),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::GeneralRef(_) => {}
        }
    }
}

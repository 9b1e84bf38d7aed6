//! The Git generator: parameters from the directories of a repository, or from the content of its files.

use std::collections::BTreeSet;

use prograde_kustomize::{Files, documents};
use prograde_model::Diagnostic;
use serde_json::Value as Json;

use super::Generation;
use crate::codes;
use crate::data::{Data, Params, flat};
use crate::glob::Glob;
use crate::repository::content;
use crate::sprig::names::{base, dir, normalized};
use crate::template::Mode;

/// What a repository gives.
pub(super) fn params(generation: &Generation<'_>, body: &Json) -> Result<Vec<Params>, Diagnostic> {
    let url = body.get("repoURL").and_then(Json::as_str).unwrap_or_default();
    let Some(tree) = generation.world.repositories.find(url) else {
        let message =
            format!("the repository `{}` of a Git generator is not known here", crate::schema::shortened(url));
        let hint = format!("say where it is checked out: `--repo {url}=DIR`");
        return Err(generation.wrong(codes::REPOSITORY, message, &hint));
    };
    let paths = tree.paths("").map_err(|why| {
        generation.wrong(codes::REPOSITORY, format!("the files of `{url}` can't be listed: {why}"), "")
    })?;
    let directories = body.get("directories").and_then(Json::as_array).filter(|list| !list.is_empty());
    let files = body.get("files").and_then(Json::as_array).filter(|list| !list.is_empty());
    let prefix = body.get("pathParamPrefix").and_then(Json::as_str).unwrap_or_default();
    let found = match (directories, files) {
        (Some(list), _) => of_directories(generation, list, &paths, prefix)?,
        (None, Some(list)) => of_files(generation, list, (tree, &paths), prefix)?,
        (None, None) => {
            let hint = "set `directories` or `files`";
            return Err(generation.wrong(
                codes::GENERATOR,
                "a Git generator has neither `directories` nor `files`",
                hint,
            ));
        }
    };
    found.into_iter().map(|params| generation.with_values(body, params)).collect()
}

/// Patterns that take in, and patterns that leave out.
struct Patterns {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

impl Patterns {
    fn read(generation: &Generation<'_>, list: &[Json], is_file: bool) -> Result<Self, Diagnostic> {
        let mut patterns = Self { include: Vec::new(), exclude: Vec::new() };
        for entry in list {
            let text = entry.get("path").and_then(Json::as_str).unwrap_or_default();
            if text.starts_with('/') || text.split('/').any(|part| part == "..") {
                let message =
                    format!("the path `{}` of a Git generator leaves the repository", crate::schema::shortened(text));
                return Err(generation.wrong(
                    codes::REPOSITORY,
                    message,
                    "write it as seen from the repository's root",
                ));
            }
            let glob = if is_file { Glob::pathspec(text) } else { Glob::directory(text) };
            let glob = glob.map_err(|why| {
                generation.wrong(codes::GENERATOR, why.to_string(), "close `[`, and end no pattern with `\\`")
            })?;
            let excludes = entry.get("exclude").and_then(Json::as_bool).unwrap_or(false);
            if excludes { &mut patterns.exclude } else { &mut patterns.include }.push(glob);
        }
        Ok(patterns)
    }

    fn hold(&self, matches: impl Fn(&Glob) -> bool) -> bool {
        self.include.iter().any(&matches) && !self.exclude.iter().any(&matches)
    }
}

fn of_directories(
    generation: &Generation<'_>,
    list: &[Json],
    paths: &[String],
    prefix: &str,
) -> Result<Vec<Params>, Diagnostic> {
    let patterns = Patterns::read(generation, list, false)?;
    let mut directories = BTreeSet::new();
    for path in paths {
        let mut above = path.as_str();
        while let Some((directory, _)) = above.rsplit_once('/') {
            if !directories.insert(directory) {
                break;
            }
            above = directory;
        }
    }
    // Argo CD leaves out what is hidden.
    let wanted: Vec<&str> = directories
        .into_iter()
        .filter(|path| !path.split('/').any(|part| part.starts_with('.')))
        .filter(|path| patterns.hold(|glob| glob.is_match(path)))
        .collect();
    generation.count(wanted.len())?;
    Ok(wanted.into_iter().map(|path| place(generation, Params::new(), path, None, prefix)).collect())
}

fn of_files(
    generation: &Generation<'_>,
    list: &[Json],
    (tree, paths): (&dyn Files, &[String]),
    prefix: &str,
) -> Result<Vec<Params>, Diagnostic> {
    let patterns = Patterns::read(generation, list, true)?;
    let wanted: BTreeSet<&str> =
        paths.iter().map(String::as_str).filter(|path| patterns.hold(|glob| glob.is_match_within(path))).collect();
    let mut found = Vec::new();
    for path in wanted {
        let bytes = content(tree, path)
            .map_err(|why| Diagnostic::file(codes::REPOSITORY, path, format!("the file can't be read: {why}"), ""))?;
        generation.spend(bytes.len())?;
        let objects = objects(path, &bytes)?;
        generation.count(objects.len())?;
        for object in objects {
            let params = match generation.filler.mode() {
                Mode::Go(_) => object,
                Mode::Fast => flat(&object).into_iter().map(|(name, text)| (name, Data::Text(text))).collect(),
            };
            found.push(place(generation, params, &dir(path), Some(&base(path)), prefix));
        }
    }
    Ok(found)
}

/// A file's mapping, or the mappings of its list. Nothing is an empty mapping.
fn objects(path: &str, bytes: &[u8]) -> Result<Vec<Params>, Diagnostic> {
    let wrong = |message: &str| {
        Diagnostic::file(codes::GENERATOR, path, message, "a Git generator reads a mapping, or a list of mappings")
    };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("the file is not UTF-8"))?;
    let json = match serde_json::from_str::<Json>(text) {
        Ok(json) if crate::render::is_json(path) => json,
        _ => match documents(path, text)?.first() {
            Some(node) => node.to_json()?,
            None => Json::Object(serde_json::Map::new()),
        },
    };
    match Data::from_json(&json) {
        Data::Map(params) => Ok(vec![params]),
        Data::List(items) => items
            .into_iter()
            .map(|item| match item {
                Data::Map(params) => Ok(params),
                Data::Null => Ok(Params::new()),
                Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Texts(_) => {
                    Err(wrong("the list has an item that is no mapping"))
                }
            })
            .collect(),
        Data::Null => Ok(vec![Params::new()]),
        Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Texts(_) => {
            Err(wrong("the file is neither a mapping nor a list"))
        }
    }
}

/// The parameters that say where a directory or a file is.
fn place(generation: &Generation<'_>, mut params: Params, path: &str, file: Option<&str>, prefix: &str) -> Params {
    let text = |text: &str| Data::Text(text.to_owned());
    let mut parts = vec![
        ("", text(path)),
        ("basename", text(&base(path))),
        ("basenameNormalized", Data::Text(normalized(&base(path)))),
    ];
    if let Some(file) = file {
        parts.push(("filename", text(file)));
        parts.push(("filenameNormalized", Data::Text(normalized(file))));
    }
    match generation.filler.mode() {
        Mode::Fast => {
            let name = if prefix.is_empty() { "path".to_owned() } else { format!("{prefix}.path") };
            for (part, value) in parts {
                params.insert(if part.is_empty() { name.clone() } else { format!("{name}.{part}") }, value);
            }
            for (index, segment) in path.split('/').enumerate().filter(|(_, segment)| !segment.is_empty()) {
                params.insert(format!("{name}[{index}]"), text(segment));
            }
        }
        Mode::Go(_) => {
            let named = |(part, value): (&str, Data)| (if part.is_empty() { "path" } else { part }.to_owned(), value);
            let mut inner: Params = parts.into_iter().map(named).collect();
            inner.insert("segments".to_owned(), Data::List(path.split('/').map(text).collect()));
            if prefix.is_empty() {
                params.insert("path".to_owned(), Data::Map(inner));
            } else {
                params.insert(prefix.to_owned(), Data::Map([("path".to_owned(), Data::Map(inner))].into()));
            }
        }
    }
    params
}

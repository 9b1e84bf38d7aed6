//! Helm charts: what of them a rendering asks for. Helm itself is a program, and behind a port.
//!
//! Source: Kustomize 5.8, `HelmChartInflationGenerator`: where charts and values are looked for, how values are merged, and what
//! `helm template` is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_model::Diagnostic;
use serde_json::{Map, Value as Json};

use crate::codes;
use crate::load::{Dir, Loader, Named};
use crate::node::{Kind, Node};
use crate::patch::objects;
use crate::place::Place;
use crate::reader::Reader;
use crate::resource::Resource;
use crate::stand_in::{CHART, HERE};

/// The most files of a chart, and the most bytes of all of them.
pub const FILES_MAX: usize = 5_000;
/// The most bytes of all files of a chart.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Where charts lie, if nothing else is said.
const HOME: &str = "charts";
/// What a release is called that has no name: Helm would draw one from the clock.
const UNNAMED: &str = "release-name";

/// A chart's files, by their paths in its directory.
pub type ChartFiles = BTreeMap<String, Arc<[u8]>>;

/// Runs Helm.
pub trait Charts {
    /// The files of a chart on another machine, or why they can't be had.
    fn pull(&self, chart: &RemoteChart) -> Result<ChartFiles, String>;
    /// What `helm template` prints, or why it prints nothing.
    fn template(&self, asked: &Template) -> Result<String, String>;
}

impl<C: Charts + ?Sized> Charts for &C {
    fn pull(&self, chart: &RemoteChart) -> Result<ChartFiles, String> {
        (**self).pull(chart)
    }

    fn template(&self, asked: &Template) -> Result<String, String> {
        (**self).template(asked)
    }
}

/// A chart on another machine, in exactly one version. Nothing in it can be taken for an option of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteChart {
    repository: String,
    name: String,
    version: String,
}

impl RemoteChart {
    /// Checks what was written; else says what is wrong, and how it is right.
    pub fn new(repository: &str, name: &str, version: &str) -> Result<Self, (String, &'static str)> {
        let shown = |text: &str| text.chars().take(200).collect::<String>();
        if !is_version(version.trim_start_matches('v')) {
            let message = format!("`{}` names no version of the chart `{}`", shown(version), shown(name));
            return Err((message, "write the whole version, such as `1.2.3`: a range means another chart tomorrow"));
        }
        let is_word = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.chars().any(char::is_whitespace);
        let known = ["https://", "http://", "oci://"].iter().find_map(|scheme| repository.strip_prefix(scheme));
        if !known.is_some_and(is_word) {
            let message = format!("`{}` is no repository of charts", shown(repository));
            return Err((message, "write `https://…`, or `oci://…` for a registry"));
        }
        if !is_word(name) || name.contains("://") || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err((format!("`{}` is no chart's name", shown(name)), "write its name alone"));
        }
        let own = |text: &str| text.to_owned();
        Ok(Self { repository: own(repository.trim_end_matches('/')), name: own(name), version: own(version) })
    }

    /// The repository's address: `https`, `http`, or `oci` for registries; without a slash at the end.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Whether a text is one version, and not a range of them.
fn is_version(text: &str) -> bool {
    let numbers: Vec<&str> = text.split(['-', '+']).next().unwrap_or_default().split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b));
    numbers.len() == 3 && numbers.iter().all(is_number) && is_rest
}

/// What is asked of Helm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The chart.
    pub chart: ChartFiles,
    /// The release's name; none where a template of names is among the flags.
    pub release: Option<String>,
    /// The namespace that the chart is told; empty for Helm's own.
    pub namespace: String,
    /// Files of values, later ones over earlier ones.
    pub values: Vec<Arc<[u8]>>,
    /// Values that are a file's content, by their paths among the values.
    pub files: Vec<(String, Arc<[u8]>)>,
    /// Everything else, as arguments.
    pub flags: Vec<String>,
}

/// One entry of `helmCharts`.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    place: Place,
    name: String,
    version: String,
    repository: String,
    home: String,
    release: String,
    namespace: String,
    name_template: String,
    more_values: Vec<Named>,
    values_file: Option<Named>,
    inline: Map<String, Json>,
    merge: Merge,
    flags: Vec<String>,
}

/// Which values count where a file and the kustomization both have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// Those of the kustomization.
    Above,
    /// Those of the file.
    Below,
    /// Those of the kustomization, and nothing of the file.
    Replace,
}

/// The charts of a kustomization.
pub(crate) fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Chart>, Diagnostic> {
    let mut home = String::new();
    if let Some(globals) = reader.get("helmGlobals") {
        let mut inner = Reader::new(globals, "`helmGlobals`", reader.mode())?;
        home = inner.text_or_empty("chartHome")?;
        // Helm's own settings are not read.
        inner.text_or_empty("configHome")?;
        inner.finish()?;
    }
    if let Some(old) = reader.items("helmChartInflationGenerator")?.first() {
        let hint = "write it as an entry of `helmCharts`";
        return Err(old.place.diagnostic(codes::HELM, "`helmChartInflationGenerator` is not supported", hint));
    }
    let mode = reader.mode();
    let read = |item: &Node| {
        let mut inner = Reader::new(item, "a chart", mode)?;
        let chart = Chart::read(&mut inner, &item.place, &home)?;
        inner.finish()?;
        Ok(chart)
    };
    reader.items("helmCharts")?.iter().map(read).collect()
}

impl Chart {
    /// A chart's fields; of those of a generator's file the home is one.
    pub(crate) fn read(reader: &mut Reader<'_>, place: &Place, home: &str) -> Result<Self, Diagnostic> {
        let wrong = |message: String, hint: &str| Err(place.diagnostic(codes::INVALID_FIELD, message, hint));
        let name = reader.text_or_empty("name")?;
        if name.is_empty() {
            return wrong("a chart needs a name".to_owned(), "write `name`");
        }
        let merge = match reader.text_or_empty("valuesMerge")?.as_str() {
            "" | "override" => Merge::Above,
            "merge" => Merge::Below,
            "replace" => Merge::Replace,
            other => return wrong(format!("`valuesMerge` is `{other}`"), "expected `override`, `merge` or `replace`"),
        };
        let inline = match reader.get("valuesInline").map(Node::to_json).transpose()? {
            None => Map::new(),
            Some(Json::Object(map)) => map,
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_)) => {
                return wrong("`valuesInline` must be a mapping".to_owned(), "");
            }
        };
        let values_file = reader.get("valuesFile").map(|node| node.place.clone());
        let text = reader.text_or_empty("valuesFile")?;
        let values_file = values_file.map(|place| Named { text, place }).filter(|named| !named.text.is_empty());
        let mut flags = Vec::new();
        for version in reader.texts("apiVersions")? {
            flags.extend(["--api-versions".to_owned(), version.text]);
        }
        let version = reader.text_or_empty("kubeVersion")?;
        if !version.is_empty() {
            flags.extend(["--kube-version".to_owned(), version]);
        }
        for (field, flag) in
            [("includeCRDs", "--include-crds"), ("skipTests", "--skip-tests"), ("skipHooks", "--no-hooks")]
        {
            if reader.flag(field)? {
                flags.push(flag.to_owned());
            }
        }
        // What Helm says beside the objects, and versions that are not out: nothing of that is in a rendering.
        reader.flag("debug")?;
        reader.flag("devel")?;
        // A directory that is a chart has no other file that says so.
        let place = if name == HERE { Place::file(beside(&place.file, CHART)) } else { place.clone() };
        Ok(Self {
            place,
            name,
            version: reader.text_or_empty("version")?,
            repository: reader.text_or_empty("repo")?,
            home: if home.is_empty() { HOME.to_owned() } else { home.to_owned() },
            release: reader.text_or_empty("releaseName")?,
            namespace: reader.text_or_empty("namespace")?,
            name_template: reader.text_or_empty("nameTemplate")?,
            more_values: reader.texts("additionalValuesFiles")?,
            values_file,
            inline,
            merge,
            flags,
        })
    }

    /// The chart as a kustomization has it that puts objects into this namespace.
    pub(crate) fn within(mut self, namespace: &str) -> Self {
        if self.namespace.is_empty() {
            namespace.clone_into(&mut self.namespace);
        }
        self
    }

    /// What people know it by.
    fn shown(&self) -> &str {
        if self.name == HERE { &self.release } else { &self.name }
    }

    /// Where it is written.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// What Helm makes of it, and how much that is.
    pub(crate) fn inflate(&self, loader: &Loader, dir: &Dir) -> Result<(Vec<Resource>, usize), Diagnostic> {
        let Some(charts) = loader.charts() else {
            let message = format!("`{}` is a Helm chart, which is rendered by the program helm", self.shown());
            let hint =
                "let Helm run, with `--helm`; or commit what `helm template` prints, and list that under `resources`";
            return Err(self.place.diagnostic(codes::HELM, message, hint));
        };
        let asked = self.template(charts, loader, dir)?;
        let text = charts.template(&asked).map_err(|why| self.failed(&why))?;
        loader.note_program();
        let label = beside(&self.place.file, &format!("(what Helm prints of {})", self.shown()));
        let read = |text: &str| {
            let documents = loader.objects(&label, text)?;
            Ok((objects(&documents)?, documents.iter().map(Node::weight).sum()))
        };
        // Charts may say something before their objects.
        let rest = || text.find("\n---\n").and_then(|at| text.get(at + 1..));
        read(&text).or_else(|problem: Diagnostic| rest().and_then(|rest| read(rest).ok()).ok_or(problem))
    }

    fn failed(&self, why: &str) -> Diagnostic {
        let message = format!("Helm does not render `{}`: {why}", self.shown());
        self.place.diagnostic(codes::HELM, message, "run `helm template` by hand to see more")
    }

    fn template(&self, charts: &dyn Charts, loader: &Loader, dir: &Dir) -> Result<Template, Diagnostic> {
        let named = |text: String| Named { text, place: self.place.clone() };
        let home = match (self.repository.as_str(), self.version.as_str()) {
            ("", _) | (_, "") => self.home.clone(),
            (_, version) => format!("{}/{}-{version}", self.home, self.name),
        };
        let at = named(format!("{home}/{}", self.name));
        let chart = match loader.below(dir, &at)? {
            Some(files) => files,
            None if self.repository.is_empty() => {
                let message = format!("there is no chart in `{}`", at.text);
                let hint = "name where charts lie in `helmGlobals.chartHome`, or where this one comes from in `repo`";
                return Err(self.place.diagnostic(codes::MISSING, message, hint));
            }
            None => {
                let remote = RemoteChart::new(&self.repository, &self.name, &self.version);
                let remote = remote.map_err(|(message, hint)| self.place.diagnostic(codes::HELM, message, hint))?;
                charts.pull(&remote).map_err(|why| {
                    let message = format!("the chart `{}` can't be had: {why}", self.name);
                    self.place.diagnostic(codes::HELM, message, "check its address and version, or commit the chart")
                })?
            }
        };
        let of_file = match &self.values_file {
            Some(file) => loader.file(dir, file)?.1,
            None => chart.get("values.yaml").cloned().unwrap_or_default(),
        };
        let mut values = vec![self.values(of_file)?];
        for file in &self.more_values {
            values.push(loader.file(dir, file)?.1);
        }
        let mut flags = self.flags.clone();
        let release = if self.name_template.is_empty() {
            Some(self.release_name()?)
        } else {
            flags.extend(["--name-template".to_owned(), self.name_template.clone()]);
            None
        };
        Ok(Template { chart, release, namespace: self.namespace.clone(), values, files: Vec::new(), flags })
    }

    fn release_name(&self) -> Result<String, Diagnostic> {
        let name = if self.release.is_empty() { UNNAMED } else { &self.release };
        if is_release(name) {
            return Ok(name.to_owned());
        }
        let message = format!("`{}` is no release's name", name.chars().take(200).collect::<String>());
        Err(self.place.diagnostic(codes::INVALID_FIELD, message, RELEASE_HINT))
    }

    /// A file's values with those that stand in the kustomization.
    fn values(&self, file: Arc<[u8]>) -> Result<Arc<[u8]>, Diagnostic> {
        if self.inline.is_empty() {
            return Ok(file);
        }
        let inline = Json::Object(self.inline.clone());
        let merged = if self.merge == Merge::Replace {
            inline
        } else {
            let text = std::str::from_utf8(&file).map_err(|_| self.failed("its values are no text"))?;
            let label = format!("the values of `{}`", self.shown());
            let first = crate::load::documents(&label, text)?.into_iter().next();
            let of_file = first.filter(|node| node.kind() == Kind::Map).map(|node| node.to_json()).transpose()?;
            let of_file = of_file.unwrap_or_else(|| Json::Object(Map::new()));
            if self.merge == Merge::Above { over(of_file, inline) } else { over(inline, of_file) }
        };
        Ok(crate::yaml(&merged).into_bytes().into())
    }
}

/// How a release's name is right.
pub const RELEASE_HINT: &str = "write lower case letters, digits, `-` and `.`";

/// Whether a text may be a release's name, and is no option of a program.
pub fn is_release(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    !name.starts_with('-') && name.bytes().all(is_part)
}

/// A file in the same directory as another one.
fn beside(file: &str, name: &str) -> String {
    file.rsplit_once('/').map_or_else(|| name.to_owned(), |(directory, _)| [directory, "/", name].concat())
}

/// Puts values over others: mappings are joined, nothing takes a value away, everything else replaces what was there.
fn over(below: Json, above: Json) -> Json {
    match (below, above) {
        (Json::Object(mut below), Json::Object(above)) => {
            for (key, value) in above {
                if value.is_null() {
                    below.shift_remove(&key);
                    continue;
                }
                let merged = match below.shift_remove(&key) {
                    Some(old) => over(old, value),
                    None => value,
                };
                below.insert(key, merged);
            }
            Json::Object(below)
        }
        (_, above) => above,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_joined_and_taken_away() {
        let below = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": {"f": 1}});
        let above = json!({"a": {"c": [3]}, "d": null, "e": "plain", "g": {"h": null}});
        assert_eq!(over(below, above), json!({"a": {"b": 1, "c": [3]}, "e": "plain", "g": {"h": null}}));
    }

    #[test]
    fn a_range_is_no_version_and_an_option_no_name() {
        assert!(["1.2.3", "1.2.3-rc.1+b"].iter().all(|text| is_version(text)));
        assert!(["1.2", "*", "1.x.0", ">=1.2.3", "1.2.3 - 2.0.0", ""].iter().all(|text| !is_version(text)));
        let repository = "https://charts.example.org/";
        assert_eq!(RemoteChart::new(repository, "web", "v1.2.3").unwrap().repository(), "https://charts.example.org");
        for (repository, name) in [
            ("file:///etc", "web"),
            ("--password", "web"),
            ("https://--x", "web"),
            (repository, "--post-renderer=x"),
            (repository, "../web"),
            (repository, "oci://elsewhere/web"),
            (repository, ""),
        ] {
            assert!(RemoteChart::new(repository, name, "1.2.3").is_err(), "{repository} {name}");
        }
        assert!(is_release("web-1.x") && !is_release("-x") && !is_release("Web"));
    }
}

//! A kustomization file, read once: every field that `kustomize build` knows. Invariant: what is not known is an error.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;

use crate::codes;
use crate::fields::FieldSpec;
use crate::helm::{self, Chart};
use crate::load::Named;
use crate::node::{Kind, Node};
use crate::order::{Sorting, sorting};
use crate::place::Place;
use crate::reader::{Mode, Reader};
use crate::replacement::Replacement;
use crate::resource::Behavior;
use crate::selector::Target;
use crate::variables::Variable;

/// A patch with what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    pub(crate) path: Option<Named>,
    pub(crate) inline: Option<Named>,
    pub(crate) target: Option<Target>,
    pub(crate) target_name: bool,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    pub(crate) place: Place,
}

/// Another name, tag or digest of an image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) new_name: String,
    pub(crate) new_tag: String,
    pub(crate) digest: String,
    pub(crate) tag_suffix: String,
}

/// A number of replicas.
#[derive(Debug, Clone)]
pub(crate) struct Replicas {
    pub(crate) name: String,
    pub(crate) count: i64,
    pub(crate) place: Place,
}

/// Labels, and where they go.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) selectors: bool,
    pub(crate) templates: bool,
    pub(crate) claim_templates: bool,
    pub(crate) fields: Vec<FieldSpec>,
    pub(crate) place: Place,
}

/// How generated objects are made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) disable_hash: bool,
    pub(crate) immutable: bool,
}

/// An entry of a generator.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) behavior: Behavior,
    pub(crate) literals: Vec<Named>,
    pub(crate) files: Vec<Named>,
    pub(crate) envs: Vec<Named>,
    pub(crate) options: Options,
    pub(crate) secret_type: String,
    pub(crate) place: Place,
}

/// What a kustomization says.
#[derive(Debug, Clone)]
pub(crate) struct Kustomization {
    pub(crate) place: Place,
    pub(crate) is_component: bool,
    pub(crate) resources: Vec<Named>,
    pub(crate) components: Vec<Named>,
    pub(crate) config_maps: Vec<Generator>,
    pub(crate) secrets: Vec<Generator>,
    pub(crate) charts: Vec<Chart>,
    pub(crate) generators: Vec<Named>,
    pub(crate) transformers: Vec<Named>,
    pub(crate) validators: Vec<Named>,
    pub(crate) configurations: Vec<Named>,
    pub(crate) crds: Vec<Named>,
    pub(crate) open_api: Option<BTreeMap<String, String>>,
    pub(crate) strategic: Vec<Named>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) json_patches: Vec<Patch>,
    pub(crate) namespace: String,
    pub(crate) prefix: String,
    pub(crate) suffix: String,
    pub(crate) labels: Vec<Labels>,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) replicas: Vec<Replicas>,
    pub(crate) images: Vec<Image>,
    pub(crate) replacements: Vec<Replacement>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) sorting: Option<Sorting>,
    pub(crate) metadata: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

const KIND: &str = "Kustomization";
const COMPONENT: &str = "Component";

impl Kustomization {
    /// Reads a file's documents, of which the first counts.
    pub(crate) fn read(place: &Place, documents: &[Node]) -> Result<Self, Diagnostic> {
        let empty =
            || Err(place.diagnostic(codes::MISSING, "the kustomization is empty", "list something under `resources`"));
        let Some(node) = documents.first() else { return empty() };
        let mut reader = Reader::new(node, "a kustomization", Mode::Strict)?;
        let is_component = read_kind(&mut reader)?;
        let says = |entry: &crate::node::Entry| {
            let quiet = entry.value.is_null() || (entry.value.kind() == Kind::Scalar && entry.value.raw().is_empty());
            !quiet && !["apiversion", "kind"].contains(&entry.name.to_ascii_lowercase().as_str())
        };
        if !node.entries().iter().any(says) {
            return empty();
        }
        let warnings = warnings(&reader, documents.len());
        let global = options(&mut reader, "generatorOptions")?;
        let mut resources = reader.texts("resources")?;
        resources.extend(reader.texts("bases")?);
        let mut images = images(&mut reader, "images")?;
        images.extend(self::images(&mut reader, "imageTags")?);
        let found = Self {
            place: place.clone(),
            is_component,
            resources,
            components: reader.texts("components")?,
            config_maps: generators(&mut reader, "configMapGenerator", global.as_ref())?,
            secrets: generators(&mut reader, "secretGenerator", global.as_ref())?,
            charts: helm::read_list(&mut reader)?,
            generators: reader.texts("generators")?,
            transformers: reader.texts("transformers")?,
            validators: reader.texts("validators")?,
            configurations: reader.texts("configurations")?,
            crds: reader.texts("crds")?,
            open_api: if reader.has("openapi") { Some(reader.pairs("openapi")?) } else { None },
            strategic: reader.texts("patchesStrategicMerge")?,
            patches: patches(&mut reader, "patches")?,
            json_patches: patches(&mut reader, "patchesJson6902")?,
            namespace: reader.text_or_empty("namespace")?,
            prefix: reader.text_or_empty("namePrefix")?,
            suffix: reader.text_or_empty("nameSuffix")?,
            labels: labels(&mut reader)?,
            common_labels: reader.pairs("commonLabels")?,
            annotations: reader.pairs("commonAnnotations")?,
            replicas: replicas(&mut reader)?,
            images,
            replacements: Replacement::read_list(&mut reader)?,
            variables: Variable::read_list(&mut reader)?,
            sorting: read_sorting(&mut reader)?,
            metadata: build_metadata(&mut reader)?,
            warnings,
        };
        reader.get("openapi");
        if let Some(metadata) = reader.get("metadata") {
            read_own_metadata(metadata)?;
        }
        reader.finish()?;
        Ok(found)
    }
}

fn read_kind(reader: &mut Reader<'_>) -> Result<bool, Diagnostic> {
    let kind = reader.text_or_empty("kind")?;
    let version = reader.text_or_empty("apiVersion")?;
    let wrong = |name: &str, message: String| {
        let place = reader.node.get(name).map_or(&reader.node.place, |node| &node.place);
        Err(place.diagnostic(codes::INVALID_FIELD, message, ""))
    };
    let component = match kind.as_str() {
        "" | KIND => false,
        COMPONENT => true,
        _ => return wrong("kind", format!("the kind must be `{KIND}` or `{COMPONENT}`")),
    };
    let expected = if component { "kustomize.config.k8s.io/v1alpha1" } else { "kustomize.config.k8s.io/v1beta1" };
    if !version.is_empty() && version != expected {
        return wrong("apiVersion", format!("the version must be `{expected}`"));
    }
    Ok(component)
}

fn read_own_metadata(node: &Node) -> Result<(), Diagnostic> {
    let mut reader = Reader::new(node, "`metadata`", Mode::Strict)?;
    reader.text("name")?;
    reader.text("namespace")?;
    reader.pairs("labels")?;
    reader.pairs("annotations")?;
    reader.finish()
}

fn warnings(reader: &Reader<'_>, documents: usize) -> Vec<String> {
    let mut all = Vec::new();
    let file = &reader.node.place.file;
    for (old, new) in [
        ("bases", "resources"),
        ("commonLabels", "labels"),
        ("imageTags", "images"),
        ("patchesJson6902", "patches"),
        ("patchesStrategicMerge", "patches"),
        ("vars", "replacements"),
    ] {
        if let Some(entry) = reader.node.entries().iter().find(|entry| entry.name == old && !entry.value.is_null()) {
            all.push(format!("{file}:{}: `{old}` is deprecated; write `{new}`", entry.place.line));
        }
    }
    if documents > 1 {
        all.push(format!("{file}: only the first document counts, as in kustomize"));
    }
    all
}

fn read_sorting(reader: &mut Reader<'_>) -> Result<Option<Sorting>, Diagnostic> {
    let Some(node) = reader.get("sortOptions") else { return Ok(None) };
    let mut inner = Reader::new(node, "`sortOptions`", reader.mode())?;
    let order = inner.text_or_empty("order")?;
    let lists = match inner.get("legacySortOptions") {
        None => None,
        Some(lists) => {
            let mut lists = Reader::new(lists, "`legacySortOptions`", inner.mode())?;
            let texts = |list: Vec<Named>| list.into_iter().map(|named| named.text).collect();
            let both = (texts(lists.texts("orderFirst")?), texts(lists.texts("orderLast")?));
            lists.finish()?;
            Some(both)
        }
    };
    inner.finish()?;
    sorting(&order, lists, &node.place).map(Some)
}

fn build_metadata(reader: &mut Reader<'_>) -> Result<Vec<String>, Diagnostic> {
    let found = reader.texts("buildMetadata")?;
    Ok(found.into_iter().map(|named| named.text).collect())
}

/// Reads an image; also a transformer's.
pub(crate) fn image(node: &Node, mode: Mode) -> Result<Image, Diagnostic> {
    let mut reader = Reader::new(node, "an entry of `images`", mode)?;
    let image = Image {
        name: reader.text_or_empty("name")?,
        new_name: reader.text_or_empty("newName")?,
        new_tag: reader.text_or_empty("newTag")?,
        digest: reader.text_or_empty("digest")?,
        tag_suffix: reader.text_or_empty("tagSuffix")?,
    };
    reader.finish()?;
    Ok(image)
}

fn images(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<Image>, Diagnostic> {
    let mode = reader.mode();
    reader.items(field)?.iter().map(|item| image(item, mode)).collect()
}

/// Reads a number of replicas; also a transformer's.
pub(crate) fn replica(node: &Node, mode: Mode) -> Result<Replicas, Diagnostic> {
    let mut reader = Reader::new(node, "an entry of `replicas`", mode)?;
    let found = Replicas {
        name: reader.text_or_empty("name")?,
        count: reader.integer("count")?.unwrap_or(0),
        place: node.place.clone(),
    };
    reader.finish()?;
    Ok(found)
}

fn replicas(reader: &mut Reader<'_>) -> Result<Vec<Replicas>, Diagnostic> {
    let mode = reader.mode();
    reader.items("replicas")?.iter().map(|item| replica(item, mode)).collect()
}

fn labels(reader: &mut Reader<'_>) -> Result<Vec<Labels>, Diagnostic> {
    let mode = reader.mode();
    reader
        .items("labels")?
        .iter()
        .map(|item| {
            let mut inner = Reader::new(item, "an entry of `labels`", mode)?;
            let found = Labels {
                pairs: inner.pairs("pairs")?,
                selectors: inner.flag("includeSelectors")?,
                templates: inner.flag("includeTemplates")?,
                claim_templates: inner.flag("includeVolumeClaimTemplates")?,
                fields: inner.field_specs("fields")?,
                place: item.place.clone(),
            };
            inner.finish()?;
            Ok(found)
        })
        .collect()
}

fn options(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<Options>, Diagnostic> {
    let Some(node) = reader.get(field) else { return Ok(None) };
    let mut inner = Reader::new(node, "the options of a generator", reader.mode())?;
    let found = Options {
        labels: inner.pairs("labels")?,
        annotations: inner.pairs("annotations")?,
        disable_hash: inner.flag("disableNameSuffixHash")?,
        immutable: inner.flag("immutable")?,
    };
    inner.finish()?;
    Ok(Some(found))
}

fn generators(
    reader: &mut Reader<'_>,
    field: &'static str,
    global: Option<&Options>,
) -> Result<Vec<Generator>, Diagnostic> {
    let mode = reader.mode();
    reader
        .items(field)?
        .iter()
        .map(|item| {
            let mut inner = Reader::new(item, "a generator's entry", mode)?;
            let found = generator(&mut inner, field == "secretGenerator", global)?;
            inner.finish()?;
            Ok(found)
        })
        .collect()
}

/// Reads an entry of a generator.
pub(crate) fn generator(
    reader: &mut Reader<'_>,
    secret: bool,
    global: Option<&Options>,
) -> Result<Generator, Diagnostic> {
    let behavior = match reader.text_or_empty("behavior")?.as_str() {
        "replace" => Behavior::Replace,
        "merge" => Behavior::Merge,
        _ => Behavior::Create,
    };
    let mut envs = reader.texts("envs")?;
    if let Some(node) = reader.get("env") {
        envs.push(Named { text: reader.text_or_empty("env")?, place: node.place.clone() });
    }
    let mut own = options(reader, "options")?.unwrap_or_default();
    if let Some(global) = global {
        for (mine, theirs) in [(&mut own.labels, &global.labels), (&mut own.annotations, &global.annotations)] {
            for (key, value) in theirs {
                mine.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        own.disable_hash |= global.disable_hash;
        own.immutable |= global.immutable;
    }
    Ok(Generator {
        name: reader.text_or_empty("name")?,
        namespace: reader.text_or_empty("namespace")?,
        behavior,
        literals: reader.texts("literals")?,
        files: reader.texts("files")?,
        envs,
        options: own,
        secret_type: if secret { reader.text_or_empty("type")? } else { String::new() },
        place: reader.node.place.clone(),
    })
}

fn patches(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<Patch>, Diagnostic> {
    let mode = reader.mode();
    reader
        .items(field)?
        .iter()
        .map(|item| {
            let mut inner = Reader::new(item, "a patch", mode)?;
            let found = patch(&mut inner, "patch")?;
            inner.finish()?;
            Ok(found)
        })
        .collect()
}

/// Reads a patch, whose text stands in a field of this name.
pub(crate) fn patch(reader: &mut Reader<'_>, inline: &'static str) -> Result<Patch, Diagnostic> {
    let mut named = |field: &'static str| -> Result<Option<Named>, Diagnostic> {
        let text = reader.text(field)?.filter(|text| !text.is_empty());
        let place = reader.get(field).map(|node| node.place.clone());
        Ok(text.zip(place).map(|(text, place)| Named { text, place }))
    };
    let (path, text) = (named("path")?, named(inline)?);
    let target = match reader.get("target") {
        None => None,
        Some(node) => Some((Target::read(node, Reader::new(node, "a target", reader.mode())?)?, node)),
    };
    let (mut name_change, mut kind_change) = (false, false);
    if let Some(options) = reader.get("options") {
        let mut inner = Reader::new(options, "the options of a patch", reader.mode())?;
        name_change = inner.flag("allowNameChange")?;
        kind_change = inner.flag("allowKindChange")?;
        inner.finish()?;
    }
    Ok(Patch {
        path,
        inline: text,
        target_name: target.as_ref().is_some_and(|(_, node)| !node.text_at(&["name"]).is_empty()),
        target: target.map(|(target, _)| target),
        allow_name_change: name_change,
        allow_kind_change: kind_change,
        place: reader.node.place.clone(),
    })
}

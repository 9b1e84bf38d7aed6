//! A kustomization file as a value. Every field that is not supported is refused with the way out, because a field that
//! is passed over in silence deploys something else than what was written.
//!
//! The format is that of `kustomize.config.k8s.io/v1beta1`.

use prograde_model::Diagnostic;

use super::reader::{Fields, text};
use super::selector::Target;
use crate::codes;
use crate::located::{Located, Place, Value};

/// What a kustomization asks for, in the order in which it is carried out.
pub(super) struct Kustomization {
    pub(super) place: Place,
    pub(super) resources: Vec<Named>,
    pub(super) config_maps: Vec<Generator>,
    pub(super) secrets: Vec<Generator>,
    pub(super) patches: Vec<Patch>,
    pub(super) namespace: Option<Named>,
    pub(super) name_prefix: Option<Named>,
    pub(super) name_suffix: Option<Named>,
    pub(super) labels: Vec<Labels>,
    pub(super) annotations: Vec<(String, Located)>,
    pub(super) replicas: Vec<Replicas>,
    pub(super) images: Vec<Image>,
}

/// A text with its place.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) text: String,
    pub(super) place: Place,
}

/// One entry of `labels`, or `commonLabels`.
pub(super) struct Labels {
    pub(super) pairs: Vec<(String, Located)>,
    pub(super) selectors: bool,
    pub(super) templates: bool,
}

/// One entry of `replicas`.
pub(super) struct Replicas {
    pub(super) name: Named,
    pub(super) count: Located,
}

/// One entry of `images`.
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new_name: Option<String>,
    pub(super) new_tag: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) place: Place,
}

/// Where a patch's text is.
pub(super) enum PatchSource {
    /// In a file.
    File(Named),
    /// In the kustomization itself.
    Inline(Named),
    /// In `patchesStrategicMerge`: a file's name, or the patch itself.
    Either(Named),
}

/// One entry of `patches` or `patchesStrategicMerge`.
pub(super) struct Patch {
    pub(super) source: PatchSource,
    pub(super) target: Option<Target>,
    pub(super) place: Place,
}

/// One entry of `configMapGenerator` or `secretGenerator`.
pub(super) struct Generator {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) behavior: Behavior,
    pub(super) literals: Vec<Named>,
    pub(super) files: Vec<Named>,
    pub(super) envs: Vec<Named>,
    /// `type` of a `Secret`.
    pub(super) secret_type: Option<String>,
    pub(super) options: GeneratorOptions,
    pub(super) place: Place,
}

/// What a generator does where the object exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Behavior {
    /// That is an error.
    Create,
    /// Takes its place.
    Replace,
    /// Adds to its data.
    Merge,
}

/// `generatorOptions`, or `options` of one generator.
#[derive(Default, Clone)]
pub(super) struct GeneratorOptions {
    pub(super) labels: Vec<(String, Located)>,
    pub(super) annotations: Vec<(String, Located)>,
    pub(super) disable_hash: bool,
    pub(super) immutable: bool,
}

/// Fields that are refused, each with what to do instead.
const REFUSED: [(&str, &str); 17] = [
    ("bases", "list the directories under `resources`"),
    ("buildMetadata", "remove it; where an object comes from is recorded by the deployment's commit"),
    ("components", "list what the component changes under `patches` of each overlay"),
    ("configurations", "use `patches` to change the fields of custom resources"),
    ("crds", "use `patches` to change the fields of custom resources"),
    ("generators", "use `configMapGenerator` or `secretGenerator`, or commit what the generator writes"),
    ("helmChartInflationGenerator", "commit the output of `helm template` and list it under `resources`"),
    ("helmCharts", "commit the output of `helm template` and list it under `resources`"),
    ("helmGlobals", "commit the output of `helm template` and list it under `resources`"),
    ("imageTags", "use `images`"),
    ("openapi", "use JSON 6902 patches for lists of custom resources"),
    ("patchesJson6902", "use `patches` with the same `target`"),
    ("replacements", "use `patches`, or generate the value with `configMapGenerator`"),
    ("sortOptions", "remove it; objects are always ordered so that what others need comes first"),
    ("transformers", "use `patches`"),
    ("validators", "use policies, which are checked before a release enters an environment"),
    ("vars", "use `patches`, or `$(NAME)` in a container's `env`, which Kubernetes itself expands"),
];

impl Kustomization {
    /// Reads a kustomization file's one document.
    pub(super) fn read(tree: &Located) -> Result<Self, Diagnostic> {
        for entry in tree.entries() {
            if let Some((name, way_out)) = REFUSED.iter().find(|(name, _)| *name == entry.name) {
                let message = format!("`{name}` is not supported yet");
                return Err(entry.place.diagnostic(codes::UNSUPPORTED_FIELD, message, *way_out));
            }
        }
        let mut fields = Fields::new(tree, "the kustomization")?;
        header(&mut fields)?;
        let options = fields.get("generatorOptions").map(generator_options).transpose()?.unwrap_or_default();
        let found = Self {
            place: fields.place().clone(),
            resources: named(fields.texts("resources")?),
            config_maps: generators(fields.list("configMapGenerator")?, false, &options)?,
            secrets: generators(fields.list("secretGenerator")?, true, &options)?,
            patches: patches(&mut fields)?,
            namespace: one(&mut fields, "namespace")?,
            name_prefix: one(&mut fields, "namePrefix")?,
            name_suffix: one(&mut fields, "nameSuffix")?,
            labels: labels(&mut fields)?,
            annotations: fields.pairs("commonAnnotations")?,
            replicas: fields.list("replicas")?.iter().map(replicas).collect::<Result<_, _>>()?,
            images: fields.list("images")?.iter().map(image).collect::<Result<_, _>>()?,
        };
        fields.finish()?;
        Ok(found)
    }
}

/// `apiVersion`, `kind` and `metadata`: what they may be. `metadata` only names the file; it changes nothing.
fn header(fields: &mut Fields) -> Result<(), Diagnostic> {
    fields.get("metadata");
    let place = fields.place();
    let version = fields.text("apiVersion")?.unwrap_or("kustomize.config.k8s.io/v1beta1");
    let kind = fields.text("kind")?.unwrap_or("Kustomization");
    if kind == "Kustomization" && matches!(version, "kustomize.config.k8s.io/v1beta1" | "kustomize.config.k8s.io/v1") {
        return Ok(());
    }
    let message = format!("`{kind}` of `{version}` is not a kustomization that can be rendered");
    let hint = "use `apiVersion: kustomize.config.k8s.io/v1beta1` and `kind: Kustomization`";
    Err(place.diagnostic(codes::UNSUPPORTED_FIELD, message, hint))
}

fn named(texts: Vec<(&str, &Place)>) -> Vec<Named> {
    texts.into_iter().map(|(text, place)| Named { text: text.to_owned(), place: place.clone() }).collect()
}

fn one(fields: &mut Fields, name: &'static str) -> Result<Option<Named>, Diagnostic> {
    let Some(found) = fields.get(name) else { return Ok(None) };
    let text = text(found, name)?.to_owned();
    // An object's name has at most 253 characters (RFC 1123 subdomain).
    if text.len() > 253 {
        return Err(found.place.diagnostic(
            codes::INVALID_FIELD,
            format!("`{name}` is longer than 253 characters"),
            "",
        ));
    }
    Ok((!text.is_empty()).then(|| Named { text, place: found.place.clone() }))
}

fn required(fields: &mut Fields, name: &'static str) -> Result<Named, Diagnostic> {
    match one(fields, name)? {
        Some(found) => Ok(found),
        None => Err(fields.place().diagnostic(codes::INVALID_FIELD, format!("`{name}` is missing"), "")),
    }
}

/// `labels` come before `commonLabels`, which also enter selectors and templates.
fn labels(fields: &mut Fields) -> Result<Vec<Labels>, Diagnostic> {
    let mut found = Vec::new();
    for item in fields.list("labels")? {
        let mut entry = Fields::new(item, "an entry of `labels`")?;
        let pairs = entry.pairs("pairs")?;
        let selectors = entry.flag("includeSelectors")?;
        found.push(Labels { pairs, selectors, templates: entry.flag("includeTemplates")? });
        entry.finish()?;
    }
    let pairs = fields.pairs("commonLabels")?;
    if !pairs.is_empty() {
        found.push(Labels { pairs, selectors: true, templates: true });
    }
    Ok(found)
}

fn replicas(item: &Located) -> Result<Replicas, Diagnostic> {
    let mut fields = Fields::new(item, "an entry of `replicas`")?;
    let name = required(&mut fields, "name")?;
    let count = fields.get("count").filter(|count| match &count.value {
        Value::Number(number) => number.as_u64().is_some_and(|count| i32::try_from(count).is_ok()),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => false,
    });
    let Some(count) = count else {
        let message = "`count` must be a whole number, 0 or more";
        return Err(item.place.diagnostic(codes::INVALID_FIELD, message, "write `count: 3`"));
    };
    fields.finish()?;
    Ok(Replicas { name, count: count.clone() })
}

fn image(item: &Located) -> Result<Image, Diagnostic> {
    let mut fields = Fields::new(item, "an entry of `images`")?;
    let name = required(&mut fields, "name")?.text;
    if let Some(symbol) = name.chars().find(|c| "\\^$|?*+()[]{}".contains(*c)) {
        let message = format!("the image's name has `{symbol}`: patterns are not supported");
        return Err(item.place.diagnostic(
            codes::INVALID_FIELD,
            message,
            "write one entry per image, with its plain name",
        ));
    }
    let (new_name, new_tag) = (fields.text("newName")?, fields.text("newTag")?);
    let digest = fields.text("digest")?;
    fields.finish()?;
    let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Image {
        name,
        new_name: owned(new_name),
        new_tag: owned(new_tag),
        digest: owned(digest),
        place: item.place.clone(),
    })
}

/// `patchesStrategicMerge` come before `patches`.
fn patches(fields: &mut Fields) -> Result<Vec<Patch>, Diagnostic> {
    let mut found: Vec<Patch> = named(fields.texts("patchesStrategicMerge")?)
        .into_iter()
        .map(|source| Patch { place: source.place.clone(), source: PatchSource::Either(source), target: None })
        .collect();
    for item in fields.list("patches")? {
        let mut entry = Fields::new(item, "an entry of `patches`")?;
        let (path, inline) = (entry.get("path"), entry.get("patch"));
        let source = match (path, inline) {
            (Some(path), None) => {
                PatchSource::File(Named { text: text(path, "path")?.into(), place: path.place.clone() })
            }
            (None, Some(inline)) => {
                PatchSource::Inline(Named { text: text(inline, "patch")?.into(), place: inline.place.clone() })
            }
            (Some(_), Some(_)) | (None, None) => {
                let message = "a patch needs either `path` or `patch`";
                return Err(item.place.diagnostic(codes::PATCH, message, "give the file's name, or the patch itself"));
            }
        };
        let target = entry.get("target").map(target).transpose()?;
        entry.finish()?;
        found.push(Patch { source, target, place: item.place.clone() });
    }
    Ok(found)
}

fn target(tree: &Located) -> Result<Target, Diagnostic> {
    let mut fields = Fields::new(tree, "`target`")?;
    let mut pattern = |name| fields.text(name);
    let found = Target::new(
        [pattern("group")?, pattern("version")?, pattern("kind")?, pattern("name")?, pattern("namespace")?],
        pattern("labelSelector")?,
        pattern("annotationSelector")?,
    );
    fields.finish()?;
    found.map_err(|error| {
        tree.place.diagnostic(codes::PATCH, error.to_string(), "see `patches` in Kustomize's reference")
    })
}

fn generators(items: &[Located], secret: bool, global: &GeneratorOptions) -> Result<Vec<Generator>, Diagnostic> {
    items.iter().map(|item| generator(item, secret, global)).collect()
}

fn generator(item: &Located, secret: bool, global: &GeneratorOptions) -> Result<Generator, Diagnostic> {
    let mut fields = Fields::new(item, "a generator")?;
    let name = required(&mut fields, "name")?.text;
    let behavior = match fields.text("behavior")? {
        None | Some("" | "create" | "unspecified") => Behavior::Create,
        Some("merge") => Behavior::Merge,
        Some("replace") => Behavior::Replace,
        Some(_) => {
            let message = "`behavior` must be `create`, `merge` or `replace`";
            return Err(item.place.diagnostic(codes::GENERATOR, message, "leave it out to create an object"));
        }
    };
    let mut envs = named(fields.texts("envs")?);
    envs.extend(one(&mut fields, "env")?);
    let secret_type = if secret { fields.text("type")?.map(str::to_owned) } else { None };
    let own = fields.get("options").map(generator_options).transpose()?.unwrap_or_default();
    let found = Generator {
        name,
        behavior,
        secret_type,
        envs,
        namespace: fields.text("namespace")?.filter(|namespace| !namespace.is_empty()).map(str::to_owned),
        literals: named(fields.texts("literals")?),
        files: named(fields.texts("files")?),
        options: own.over(global),
        place: item.place.clone(),
    };
    fields.finish()?;
    Ok(found)
}

fn generator_options(tree: &Located) -> Result<GeneratorOptions, Diagnostic> {
    let mut fields = Fields::new(tree, "the generator's options")?;
    let found = GeneratorOptions {
        labels: fields.pairs("labels")?,
        annotations: fields.pairs("annotations")?,
        disable_hash: fields.flag("disableNameSuffixHash")?,
        immutable: fields.flag("immutable")?,
    };
    fields.finish()?;
    Ok(found)
}

impl GeneratorOptions {
    /// These where they say something, else the kustomization's own.
    fn over(self, global: &Self) -> Self {
        let merged = |own: Vec<(String, Located)>, global: &[(String, Located)]| {
            let mut all: Vec<_> =
                global.iter().filter(|(name, _)| own.iter().all(|(own, _)| own != name)).cloned().collect();
            all.extend(own);
            all
        };
        Self {
            labels: merged(self.labels, &global.labels),
            annotations: merged(self.annotations, &global.annotations),
            disable_hash: self.disable_hash || global.disable_hash,
            immutable: self.immutable || global.immutable,
        }
    }
}

//! Puts layers together to an image. The same files, settings and base give the same digest; a layer that is in the
//! layout already is not packed again.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use jiff::Timestamp;
use prograde_model::Digest;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::base::Base;
use super::compress::{self, FORMAT};
use super::entries::Layer;
use crate::blob::Hashing;
use crate::document::{CONFIG, Descriptor, INDEX, LAYER_GZIP, MANIFEST, Platform, annotation};
use crate::error::{SupplyError, io};
use crate::index;
use crate::layout::Layout;

/// How a container of the image starts, and what is said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The command; none leaves the base's.
    pub entrypoint: Vec<String>,
    /// Arguments that a workload may replace; none leaves the base's, unless there is an entrypoint.
    pub cmd: Vec<String>,
    /// Environment variables, added to the base's.
    pub env: BTreeMap<String, String>,
    /// User and group; none leaves the base's.
    pub user: Option<String>,
    /// The working directory; none leaves the base's.
    pub working_dir: Option<String>,
    /// Labels, added to the base's. Those whose key is one of [`annotation`] become annotations of the manifest too.
    pub labels: BTreeMap<String, String>,
    /// When the image is said to be made.
    pub created: Timestamp,
}

/// One image for one platform.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What it runs on.
    pub platform: Platform,
    /// What it is laid on; nothing is the empty image.
    pub base: Option<Base>,
    /// The layers, that which changes most seldom first.
    pub layers: Vec<Layer>,
    /// The rest.
    pub settings: Settings,
}

/// A layer of an image that was put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerUse {
    /// What it is called, such as `program`.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Whether it was there already.
    pub reused: bool,
}

/// What was put together: an image, or an index of one for each platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The image or the index.
    pub descriptor: Descriptor,
    /// The images, each with its layers.
    pub images: Vec<(Descriptor, Vec<LayerUse>)>,
}

/// Puts images together and stores them. Blocks; without a tag nothing names them yet, see [`Layout::tag_descriptor`].
pub fn assemble(layout: &Layout, recipes: &[Recipe]) -> Result<Assembled, SupplyError> {
    let images = recipes.iter().map(|recipe| one(layout, recipe)).collect::<Result<Vec<_>, _>>()?;
    let descriptor = match images.as_slice() {
        [] => return Err(SupplyError::InvalidSpec { field: "the image".to_owned(), why: "has no platform" }),
        [(only, _)] => only.clone(),
        _ => {
            let manifests: Vec<&Descriptor> = images.iter().map(|(image, _)| image).collect();
            let document = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
            let (digest, size) = put(layout, &document)?;
            Descriptor::new(INDEX, digest, size)
        }
    };
    Ok(Assembled { descriptor, images })
}

fn one(layout: &Layout, recipe: &Recipe) -> Result<(Descriptor, Vec<LayerUse>), SupplyError> {
    check_start(recipe)?;
    let (mut uses, mut diff_ids) = (Vec::new(), Vec::new());
    let mut layers: Vec<Descriptor> = recipe.base.as_ref().map(|base| base.layers.clone()).unwrap_or_default();
    for layer in &layers {
        uses.push(LayerUse { name: "base".to_owned(), digest: layer.digest.clone(), size: layer.size, reused: true });
    }
    for layer in recipe.layers.iter().filter(|layer| !layer.is_empty()) {
        let (diff_id, descriptor, reused) = pack(layout, layer)?;
        let Descriptor { digest, size, .. } = descriptor.clone();
        uses.push(LayerUse { name: layer.name().to_owned(), digest, size, reused });
        layers.push(descriptor);
        diff_ids.push(diff_id);
    }
    if layers.len() > layout.limits().layers_max {
        let limit = format!("{} layers", layout.limits().layers_max);
        return Err(SupplyError::TooLarge { what: "the image".to_owned(), limit });
    }
    let (digest, size) = put(layout, &config(recipe, &diff_ids)?)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor::new(CONFIG, digest, size),
        "layers": layers,
        "annotations": annotations(recipe),
    });
    let (digest, size) = put(layout, &manifest)?;
    let mut descriptor = Descriptor::new(MANIFEST, digest, size);
    descriptor.platform = Some(recipe.platform.clone());
    Ok((descriptor, uses))
}

fn put(layout: &Layout, document: &Value) -> Result<(Digest, u64), SupplyError> {
    layout.blobs().put_bytes(document.to_string().as_bytes())
}

/// An image of nothing but these files must have what it starts.
fn check_start(recipe: &Recipe) -> Result<(), SupplyError> {
    let invalid = |field: String, why| Err(SupplyError::InvalidSpec { field, why });
    for (name, value) in &recipe.settings.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return invalid(format!("the environment variable {name}"), "can't be set");
        }
    }
    if recipe.base.is_some() {
        return Ok(());
    }
    match recipe.settings.entrypoint.first().or(recipe.settings.cmd.first()) {
        None => Ok(()),
        Some(program) if recipe.layers.iter().any(|layer| layer.is_program(program)) => Ok(()),
        Some(program) => invalid(format!("what it starts, {program},"), "is not one of its executable files"),
    }
}

/// The layer's digest uncompressed, and the blob: the one that is there, or a new one.
fn pack(layout: &Layout, layer: &Layer) -> Result<(Digest, Descriptor, bool), SupplyError> {
    let blobs = layout.blobs();
    let mut hashing = Hashing::new(io::sink());
    layer.write(&mut hashing)?;
    let (diff_id, bytes, _) = hashing.finish()?;
    if bytes > layout.limits().bytes_max {
        let limit = format!("{} bytes", layout.limits().bytes_max);
        return Err(SupplyError::TooLarge { what: format!("the layer of {}", layer.name()), limit });
    }
    let cache = layout.dir().join("cache");
    let entry = cache.join(format!("{}.{FORMAT}", diff_id.hex()));
    // An entry that can't be read is one that is not there.
    let known = fs::read(&entry).ok().and_then(|text| serde_json::from_slice::<Descriptor>(&text).ok());
    if let Some(known) = known.filter(|known| known.media_type == LAYER_GZIP && blobs.has(known)) {
        return Ok((diff_id, known, true));
    }
    let (digest, size, again) = blobs.put(|out| {
        compress::compress(out, layout.dir(), |pieces| {
            let mut hashing = Hashing::new(pieces);
            layer.write(&mut hashing)?;
            Ok(hashing.finish()?.0)
        })
    })?;
    if again != diff_id {
        return Err(SupplyError::Changed { path: layer.name().into() });
    }
    let descriptor = Descriptor::new(LAYER_GZIP, digest, size);
    fs::create_dir_all(&cache).map_err(io("create", &cache))?;
    let text = serde_json::to_vec(&descriptor)
        .map_err(|error| SupplyError::InvalidLayout { path: entry.clone(), why: error.to_string() })?;
    index::replace(&entry, &text, blobs.scratch())?;
    Ok((diff_id, descriptor, false))
}

fn annotations(recipe: &Recipe) -> BTreeMap<String, String> {
    let labels = recipe.settings.labels.iter().filter(|(key, _)| key.starts_with(annotation::PREFIX));
    let mut all: BTreeMap<String, String> = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
    all.insert(annotation::CREATED.to_owned(), recipe.settings.created.to_string());
    if let Some(base) = &recipe.base {
        all.insert(annotation::BASE_NAME.to_owned(), base.name.clone());
        all.insert(annotation::BASE_DIGEST.to_owned(), base.digest.to_string());
    }
    all
}

/// The configuration: the base's with ours over it. What we do not know of it is kept.
fn config(recipe: &Recipe, diff_ids: &[Digest]) -> Result<Value, SupplyError> {
    let (settings, base) = (&recipe.settings, recipe.base.as_ref());
    let wrong = |why: &str| SupplyError::InvalidDocument {
        digest: base.map_or_else(|| Digest::from_sha256([0; 32]), |base| base.digest.clone()),
        what: "image configuration",
        why: why.to_owned(),
    };
    let mut config = match base.map(|base| base.config.clone()) {
        None => Map::new(),
        Some(Value::Object(config)) => config,
        Some(_) => return Err(wrong("it is not an object")),
    };
    let mut all_ids = match config.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")) {
        None => Vec::new(),
        Some(Value::Array(ids)) => ids.clone(),
        Some(_) => return Err(wrong("its diff ids are not a list")),
    };
    if all_ids.len() != base.map_or(0, |base| base.layers.len()) {
        return Err(wrong("its diff ids are not as many as its layers"));
    }
    all_ids.extend(diff_ids.iter().map(|id| json!(id)));
    let mut history = match config.remove("history") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(history)) => history,
        Some(_) => return Err(wrong("its history is not a list")),
    };
    let ours = recipe.layers.iter().filter(|layer| !layer.is_empty());
    history.extend(ours.map(
        |layer| json!({ "created": settings.created, "created_by": "prograde image build", "comment": layer.name() }),
    ));
    let mut execution = match config.remove("config") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(execution)) => execution,
        Some(_) => return Err(wrong("its `config` is not an object")),
    };
    overlay(&mut execution, settings);
    config.insert("created".to_owned(), json!(settings.created));
    config.insert("architecture".to_owned(), json!(recipe.platform.architecture));
    config.insert("os".to_owned(), json!(recipe.platform.os));
    if let Some(variant) = recipe.platform.others.get("variant") {
        config.insert("variant".to_owned(), variant.clone());
    }
    config.insert("config".to_owned(), Value::Object(execution));
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": all_ids }));
    config.insert("history".to_owned(), Value::Array(history));
    // Docker's own, of the container in which the base was built.
    for old in ["container", "container_config", "docker_version"] {
        config.remove(old);
    }
    Ok(Value::Object(config))
}

fn overlay(execution: &mut Map<String, Value>, settings: &Settings) {
    if let Some(user) = settings.user.as_ref().filter(|user| !user.is_empty()) {
        execution.insert("User".to_owned(), json!(user));
    }
    let before = execution.get("Env").and_then(Value::as_array).cloned().unwrap_or_default();
    let name_of = |entry: &Value| entry.as_str().and_then(|text| text.split_once('=')).map(|(name, _)| name.to_owned());
    let mut env: Vec<Value> = before
        .into_iter()
        .filter(|entry| name_of(entry).is_none_or(|name| !settings.env.contains_key(&name)))
        .collect();
    env.extend(settings.env.iter().map(|(name, value)| json!(format!("{name}={value}"))));
    if !env.is_empty() {
        execution.insert("Env".to_owned(), Value::Array(env));
    }
    if !settings.entrypoint.is_empty() {
        execution.insert("Entrypoint".to_owned(), json!(settings.entrypoint));
        // The base's are arguments of another program (as in a Dockerfile: ENTRYPOINT resets CMD).
        execution.remove("Cmd");
    }
    if !settings.cmd.is_empty() {
        execution.insert("Cmd".to_owned(), json!(settings.cmd));
    }
    if let Some(dir) = settings.working_dir.as_ref().filter(|dir| !dir.is_empty()) {
        execution.insert("WorkingDir".to_owned(), json!(dir));
    }
    if !settings.labels.is_empty() {
        let mut labels = match execution.remove("Labels") {
            Some(Value::Object(labels)) => labels,
            _ => Map::new(),
        };
        labels.extend(settings.labels.iter().map(|(key, value)| (key.clone(), json!(value))));
        execution.insert("Labels".to_owned(), Value::Object(labels));
    }
}

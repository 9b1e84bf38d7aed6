//! What two images differ in: files, settings and layers.
//!
//! Invariant: nothing is written to the disk; layers are read within the limits that unpacking has.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use prograde_model::Digest;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use super::view::{ImageError, Source, View};
use crate::document::{DOCKER_LAYER_GZIP, Descriptor, LAYER, LAYER_GZIP, LAYER_ZSTD};
use crate::error::{SupplyError, cut};
use crate::limits::{Bounded, Limits, Spent};

/// Fields of a document.
type Fields = serde_json::Map<String, Value>;

/// The longest path that is kept.
const PATH_BYTES_MAX: usize = 4096;

/// A file, directory or link of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// `file`, `directory`, `link`, or `special`.
    pub kind: &'static str,
    /// Its permission bits, also setuid, setgid and sticky.
    pub mode: u32,
    /// Its bytes.
    pub size: u64,
    /// Owner and group, as numbers.
    pub owner: (u64, u64),
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The digest of a file's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The path, absolute.
    pub path: String,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Node>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Node>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Its name, such as `config.Env` or `annotations.org.opencontainers.image.revision`.
    pub name: String,
    /// What it was.
    pub before: Value,
    /// What it is.
    pub after: Value,
}

/// What two images differ in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Paths that differ, sorted.
    pub files: Vec<Change>,
    /// Settings that differ.
    pub settings: Vec<Setting>,
    /// Layers of both.
    pub layers_shared: Vec<Digest>,
    /// Layers of the first alone.
    pub layers_removed: Vec<Digest>,
    /// Layers of the second alone.
    pub layers_added: Vec<Digest>,
    /// Bytes of the second that someone who has the first must fetch.
    pub bytes_to_fetch: u64,
}

impl Difference {
    /// Whether the images hold and say the same.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
            && self.settings.is_empty()
            && self.layers_removed.is_empty()
            && self.layers_added.is_empty()
    }
}

/// Compares two images of one platform.
pub fn differences(
    (before_source, before): (&Source, &View),
    (after_source, after): (&Source, &View),
    limits: &Limits,
) -> Result<Difference, ImageError> {
    let digests = |view: &View| view.layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>();
    let (old, new) = (digests(before), digests(after));
    let files = if old == new {
        Vec::new()
    } else {
        let old = tree(before_source, &before.layers, limits)?;
        changes(old, tree(after_source, &after.layers, limits)?)
    };
    let fetched = after.layers.iter().chain([&after.config_descriptor]);
    let has = |blob: &Descriptor| old.contains(&blob.digest) || before.config_descriptor.digest == blob.digest;
    Ok(Difference {
        files,
        settings: settings(before, after),
        layers_shared: new.iter().filter(|digest| old.contains(digest)).cloned().collect(),
        layers_removed: old.iter().filter(|digest| !new.contains(digest)).cloned().collect(),
        layers_added: new.iter().filter(|digest| !old.contains(digest)).cloned().collect(),
        bytes_to_fetch: fetched.filter(|blob| !has(blob)).fold(0, |sum: u64, blob| sum.saturating_add(blob.size)),
    })
}

fn changes(mut old: BTreeMap<String, Node>, new: BTreeMap<String, Node>) -> Vec<Change> {
    let mut found = Vec::new();
    for (path, after) in new {
        let before = old.remove(&path);
        if before.as_ref() != Some(&after) {
            found.push(Change { path: format!("/{path}"), before, after: Some(after) });
        }
    }
    found.extend(old.into_iter().map(|(path, before)| Change {
        path: format!("/{path}"),
        before: Some(before),
        after: None,
    }));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Settings but those that follow from the files, such as digests.
fn settings(before: &View, after: &View) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut compare = |name: String, before: Value, after: Value| {
        if before != after {
            found.push(Setting { name, before, after });
        }
    };
    for key in ["created", "author", "architecture", "os", "variant", "os.version"] {
        let of = |view: &View| view.config.get(key).cloned().unwrap_or_default();
        compare(key.to_owned(), of(before), of(after));
    }
    let execution = |view: &View| view.config.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    let annotations =
        |view: &View| view.annotations.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let pairs: [(&str, Fields, Fields); 2] =
        [("config", execution(before), execution(after)), ("annotations", annotations(before), annotations(after))];
    for (group, old, new) in pairs {
        let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let of = |map: &Fields| map.get(key).cloned().unwrap_or_default();
            compare(format!("{group}.{key}"), of(&old), of(&new));
        }
    }
    found
}

/// All paths of an image, as its layers leave them (OCI image specification, layer.md).
fn tree(source: &Source, layers: &[Descriptor], limits: &Limits) -> Result<BTreeMap<String, Node>, ImageError> {
    let (mut tree, mut spent) = (BTreeMap::new(), Spent::default());
    for layer in layers {
        apply(&mut tree, source, layer, limits, &mut spent)?;
    }
    Ok(tree)
}

fn apply(
    tree: &mut BTreeMap<String, Node>,
    source: &Source,
    layer: &Descriptor,
    limits: &Limits,
    spent: &mut Spent,
) -> Result<(), ImageError> {
    let packed = BufReader::new(source.open(layer)?);
    let broken = |source: io::Error| SupplyError::BrokenLayer { digest: layer.digest.clone(), source };
    let content: Box<dyn Read> = match layer.media_type.as_str() {
        LAYER_GZIP | DOCKER_LAYER_GZIP => Box::new(MultiGzDecoder::new(packed)),
        LAYER_ZSTD => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(packed);
            Box::new(decoder.map_err(|error| broken(io::Error::other(error.to_string())))?)
        }
        LAYER => Box::new(packed),
        other => {
            let (digest, media_type) = (layer.digest.clone(), cut(other, 100));
            return Err(SupplyError::UnsupportedMediaType { digest, media_type }.into());
        }
    };
    let bounded = Bounded::new(content, *limits, layer.size, *spent);
    let progress = bounded.progress();
    let told = |source| progress.error().unwrap_or_else(|| broken(source));
    let mut archive = tar::Archive::new(bounded);
    let mut added = BTreeMap::new();
    for entry in archive.entries().map_err(told)? {
        let mut entry = entry.map_err(told)?;
        spent.entries += 1;
        if spent.entries > limits.entries_max {
            let limit = format!("{} entries", limits.entries_max);
            return Err(SupplyError::TooLarge { what: "the image".to_owned(), limit }.into());
        }
        let path = clean(&String::from_utf8_lossy(&entry.path_bytes()));
        let Some(path) = path.filter(|path| path.len() <= PATH_BYTES_MAX) else { continue };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            if hidden == ".wh..opq" {
                hide(tree, &below);
            } else {
                let gone = format!("{below}{hidden}");
                tree.remove(&gone);
                hide(tree, &format!("{gone}/"));
            }
            continue;
        }
        let linked = |path: &str| added.get(path).or_else(|| tree.get(path)).cloned();
        if let Some(node) = node(&mut entry, &linked).map_err(told)? {
            added.insert(path, node);
        }
    }
    spent.bytes += progress.read();
    for (path, node) in added {
        // A file in a directory's place takes all that was in it away.
        if node.kind != "directory" && tree.get(&path).is_some_and(|before| before.kind == "directory") {
            hide(tree, &format!("{path}/"));
        }
        tree.insert(path, node);
    }
    Ok(())
}

fn hide(tree: &mut BTreeMap<String, Node>, below: &str) {
    let gone: Vec<String> = tree
        .range(below.to_owned()..)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(below))
        .cloned()
        .collect();
    for path in gone {
        tree.remove(&path);
    }
}

/// A path without `.`, `/` at the ends and what can't be in an image.
fn clean(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's list of every kind there is")]
fn node<R: Read>(entry: &mut tar::Entry<'_, R>, linked: &dyn Fn(&str) -> Option<Node>) -> io::Result<Option<Node>> {
    let header = entry.header();
    // A number that is left out is nought.
    let (mode, uid, gid) = (header.mode(), header.uid(), header.gid());
    let (mode, owner) = (mode.unwrap_or_default() & 0o7777, (uid.unwrap_or_default(), gid.unwrap_or_default()));
    let target = entry.link_name_bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let plain = |kind, target| Node { kind, mode, size: 0, owner, target, digest: None };
    Ok(Some(match header.entry_type() {
        EntryType::Directory => plain("directory", None),
        EntryType::Symlink => plain("link", target),
        EntryType::Link => {
            // Another name of the same file.
            let same = target.as_deref().and_then(clean).and_then(|path| linked(&path));
            return Ok(Some(same.unwrap_or_else(|| plain("link", target))));
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut hasher = Sha256::new();
            let mut buffer = vec![0; 64 << 10];
            let mut size = 0;
            loop {
                let read = entry.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                hasher.update(buffer.get(..read).unwrap_or_default());
                size += read as u64;
            }
            let digest = Some(Digest::from_sha256(hasher.finalize().into()));
            Node { kind: "file", mode, size, owner, target: None, digest }
        }
        EntryType::Block | EntryType::Char | EntryType::Fifo => plain("special", None),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_same_however_they_are_written() {
        for (written, path) in
            [("./a/b", Some("a/b")), ("/a/b/", Some("a/b")), ("a//b", Some("a/b")), ("../a", None), (".", None)]
        {
            assert_eq!(clean(written).as_deref(), path, "{written}");
        }
    }

    #[test]
    fn what_is_hidden_is_hidden_with_all_that_is_below() {
        let node = Node { kind: "file", mode: 0, size: 0, owner: (0, 0), target: None, digest: None };
        let mut tree: BTreeMap<String, Node> =
            ["a", "a/b", "a/b/c", "a-b", "b"].map(|path| (path.to_owned(), node.clone())).into();
        hide(&mut tree, "a/");
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["a", "a-b", "b"]);
        hide(&mut tree, "");
        assert!(tree.is_empty());
    }
}

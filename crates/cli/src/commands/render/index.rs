//! What was rendered into a directory before, and from which files, so that only what depends on a change is rendered
//! again. Invariant: a rendering counts as fresh only if every file that it read has the content that it had then, and no
//! file has come that it looked for in vain.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io::{self, BufWriter, IntoInnerError};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prograde_kustomize::{Options, Reads};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Where it is kept, in the directory that is rendered into.
pub(super) const FILE: &str = ".prograde-render.json";
/// A file that was changed so shortly before the index was written may have been changed again in the same instant of the
/// file system's clock.
const RACY_NS: u128 = 2_000_000_000;

/// How a file looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Look {
    size: u64,
    changed_ns: u128,
}

impl Look {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Self { size: metadata.len(), changed_ns: metadata.modified().map_or(0, since) }
    }

    /// None where there is no plain file.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| Self::of(&metadata))
    }
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) look: Look,
    pub(super) sha256: String,
}

impl Seen {
    pub(super) fn new(metadata: &Metadata, content: &[u8]) -> Self {
        Self { look: Look::of(metadata), sha256: hex::encode(Sha256::digest(content)) }
    }
}

/// One kustomization that was rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rendered {
    /// The files that it was made from, by their place in the list of all.
    files: Vec<usize>,
    /// What was looked for and not there, likewise.
    missing: Vec<usize>,
    /// How many objects it has.
    pub(super) objects: usize,
    /// What should be written otherwise.
    pub(super) warnings: Vec<String>,
    /// Whether a program made a part of it: then it is rendered each time.
    #[serde(default)]
    program: bool,
    /// The file that was written; none where another kustomization includes it.
    pub(super) output: Option<Look>,
}

impl Rendered {
    pub(super) fn new(objects: usize, warnings: Vec<String>, program: bool) -> Self {
        Self { objects, warnings, program, ..Self::default() }
    }
}

/// All that was rendered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// By which version, told what: another one may print something else.
    version: String,
    written_ns: u128,
    paths: Vec<String>,
    /// By the place of their paths.
    seen: BTreeMap<usize, Seen>,
    /// By directory.
    pub(super) rendered: BTreeMap<String, Rendered>,
    /// Directories that are gone, and whose files may still be there.
    pub(super) gone: BTreeSet<String>,
    #[serde(skip)]
    places: BTreeMap<String, usize>,
    /// Whether it is other than what the directory has.
    #[serde(skip)]
    is_other: bool,
}

impl Index {
    /// What a directory has; nothing where it has none that this version can use, or what was rendered with other options.
    pub(super) fn read(dir: &Path, options: Options) -> Self {
        let mut version = env!("CARGO_PKG_VERSION").to_owned();
        if options != Options::default() {
            version = format!("{version} {options:?}");
        }
        let read = fs::read(dir.join(FILE)).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let own = read.filter(|index| index.version == version).unwrap_or_default();
        let places = own.paths.iter().enumerate().map(|(at, path)| (path.clone(), at)).collect();
        Self { version, places, ..own }
    }

    /// Replaces what the directory has, if it is other.
    #[expect(clippy::disallowed_methods, reason = "compared with the times of files, which the system's clock gives")]
    pub(super) fn write(mut self, dir: &Path) -> io::Result<()> {
        if !self.is_other {
            return Ok(());
        }
        self.written_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mut file = BufWriter::new(tempfile::NamedTempFile::new_in(dir)?);
        serde_json::to_writer(&mut file, &self)?;
        let file = file.into_inner().map_err(IntoInnerError::into_error)?;
        file.persist(dir.join(FILE))?;
        Ok(())
    }

    /// Forgets what is not a directory of a kustomization any more.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        let left: Vec<_> = self.rendered.extract_if(.., |dir, _| !is_there(dir)).collect();
        self.is_other |= !left.is_empty() || !self.gone.is_empty();
        self.gone.extend(left.into_iter().filter(|(_, one)| one.output.is_some()).map(|(dir, _)| dir));
        self.gone.retain(|dir| !is_there(dir));
    }

    /// Forgets a rendering that is not as it would be now.
    pub(super) fn forget(&mut self, dir: &str) {
        self.is_other |= self.rendered.remove(dir).is_some();
    }

    /// What was written of a rendering.
    pub(super) fn written(&mut self, dir: &str, output: Option<Look>) {
        if let Some(one) = self.rendered.get_mut(dir) {
            one.output = output;
            self.is_other = true;
        }
    }

    fn place(&mut self, path: &str) -> usize {
        if let Some(place) = self.places.get(path) {
            return *place;
        }
        self.paths.push(path.to_owned());
        self.places.insert(path.to_owned(), self.paths.len() - 1);
        self.paths.len() - 1
    }

    /// Takes in a rendering and the files that it read.
    pub(super) fn add(&mut self, dir: &str, reads: &Reads, seen: &BTreeMap<String, Seen>, rendered: Rendered) {
        let files = reads.files.iter().map(|path| self.place(path)).collect();
        let missing = reads.missing.iter().map(|path| self.place(path)).collect();
        for path in &reads.files {
            if let Some(seen) = seen.get(path) {
                let place = self.place(path);
                self.seen.insert(place, seen.clone());
            }
        }
        self.rendered.insert(dir.to_owned(), Rendered { files, missing, ..rendered });
        self.is_other = true;
    }

    /// The directories whose rendering read nothing that has changed since. `root` is where paths begin.
    pub(super) fn unchanged(&mut self, root: &Path) -> BTreeSet<String> {
        let read: Vec<usize> = self.seen.keys().copied().collect();
        let changed: HashSet<usize> = read.into_iter().filter(|place| !self.is_same(*place, root)).collect();
        let is_unchanged = |one: &Rendered| !one.program && !one.files.iter().any(|place| changed.contains(place));
        self.rendered.iter().filter(|(_, one)| is_unchanged(one)).map(|(dir, _)| dir.clone()).collect()
    }

    /// Keeps the directories whose rendering looked for nothing in vain that is there now.
    pub(super) fn retain_without(&self, dirs: &mut BTreeSet<String>, is_there: impl Fn(&str) -> bool) {
        let missing: BTreeSet<usize> = self.rendered.values().flat_map(|one| one.missing.iter().copied()).collect();
        let path = |place: &usize| self.paths.get(*place);
        let came: HashSet<usize> =
            missing.into_iter().filter(|place| path(place).is_none_or(|path| is_there(path))).collect();
        dirs.retain(|dir| {
            self.rendered.get(dir).is_some_and(|one| !one.missing.iter().any(|place| came.contains(place)))
        });
    }

    fn is_same(&mut self, place: usize, root: &Path) -> bool {
        let (Some(path), Some(seen)) = (self.paths.get(place), self.seen.get_mut(&place)) else { return false };
        let path = root.join(path);
        let Some(look) = Look::at(&path) else { return false };
        let is_racy = seen.look.changed_ns.saturating_add(RACY_NS) > self.written_ns;
        if look == seen.look && !is_racy {
            return true;
        }
        let same = fs::read(&path).is_ok_and(|content| hex::encode(Sha256::digest(content)) == seen.sha256);
        if same {
            // The next time its look is enough.
            seen.look = look;
            self.is_other = true;
        }
        same
    }

    /// The directories that are read by renderings of others.
    pub(super) fn included<'a>(&self, dirs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeSet<&'a str> {
        let mut readers: BTreeMap<usize, usize> = BTreeMap::new();
        for one in self.rendered.values() {
            for place in &one.files {
                *readers.entry(*place).or_default() += 1;
            }
        }
        let of_others = |dir: &str, file: &str| {
            let Some(place) = self.places.get(file) else { return false };
            let own = self.rendered.get(dir).is_some_and(|own| own.files.contains(place));
            readers.get(place).copied().unwrap_or(0) > usize::from(own)
        };
        dirs.filter(|(dir, file)| of_others(dir, file)).map(|(dir, _)| dir).collect()
    }
}

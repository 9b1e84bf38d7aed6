//! What a person names: an image of a registry, of a layout, or in an archive.

use std::path::{Path, PathBuf};

use prograde_supply::client::{Client, Reference};
use prograde_supply::image::{Source, is_layout, read_archive};
use prograde_supply::{Descriptor, Layout};
use tempfile::TempDir;

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::image::tell;
use crate::report::Report;

/// What a text means.
pub(crate) enum Place {
    /// At a registry.
    Remote(Box<Reference>),
    /// A directory, and which image there.
    Layout(PathBuf, Option<String>),
    /// A file.
    Archive(PathBuf),
}

/// Where an image is, open.
pub(crate) struct Opened {
    /// Where it is read from.
    pub(crate) source: Source,
    /// What was named there.
    pub(crate) root: Descriptor,
    /// What it was unpacked into, if it was; removed with this.
    _unpacked: Option<TempDir>,
}

impl Place {
    /// Finds out what is meant: what is on the disk goes before what may be at a registry.
    pub(crate) fn of(text: &str) -> Result<Self, Report> {
        let path = Path::new(text);
        if path.is_file() {
            return Ok(Self::Archive(path.to_owned()));
        }
        if path.is_dir() {
            if is_layout(path) {
                return Ok(Self::Layout(path.to_owned(), None));
            }
            return Err(Report::new(tell::NO_IMAGE, format!("{text} is a directory, and no OCI layout"))
                .hint("an OCI layout has a file `oci-layout`"));
        }
        // `DIR:TAG` and `DIR@DIGEST`; a tag may hold `:` and `/` itself.
        for (at, mark) in text.match_indices([':', '@']) {
            let (dir, name) = (text.get(..at).unwrap_or_default(), text.get(at + mark.len()..).unwrap_or_default());
            if !dir.is_empty() && is_layout(Path::new(dir)) {
                return Ok(Self::Layout(dir.into(), Some(name.to_owned())));
            }
        }
        text.parse()
            .map(|reference| Self::Remote(Box::new(reference)))
            .map_err(|error| tell::registry(&error).hint("a file or directory of that name does not exist either"))
    }

    /// The reference, where it is one.
    pub(crate) fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Remote(reference) => Some(reference),
            Self::Layout(..) | Self::Archive(_) => None,
        }
    }

    /// Opens it.
    pub(crate) fn open(&self, client: &Client) -> Result<Opened, Report> {
        match self {
            Self::Remote(reference) => {
                let (source, root, _) = Source::remote(client, reference).map_err(|error| tell::image(&error))?;
                Ok(Opened { source, root, _unpacked: None })
            }
            Self::Layout(dir, name) => {
                let layout = Layout::open(dir).map_err(|error| tell::supply(&error))?;
                let root = Source::find(&layout, name.as_deref()).map_err(|error| tell::image(&error))?;
                Ok(Opened { source: Source::Layout(layout), root, _unpacked: None })
            }
            Self::Archive(file) => {
                let dir = TempDir::new().map_err(|error| Report::file("unpack", file, &error))?;
                let layout = Layout::open(&dir.path().join("layout")).map_err(|error| tell::supply(&error))?;
                let found = read_archive(file, &layout).map_err(|error| tell::supply(&error))?;
                let [root] = found.as_slice() else {
                    let what = format!("{} holds {} images, expected one", file.display(), found.len());
                    return Err(Report::new(tell::NO_IMAGE, what).hint("unpack it and name one as `DIR:TAG`"));
                };
                let root = root.clone();
                Ok(Opened { source: Source::Layout(layout), root, _unpacked: Some(dir) })
            }
        }
    }
}

/// Opens what is named.
pub(crate) fn open(app: &App, access: &Access, text: &str) -> Result<Opened, Report> {
    let place = Place::of(text)?;
    let client = access.client(app, &place.reference().into_iter().collect::<Vec<_>>())?;
    place.open(&client)
}

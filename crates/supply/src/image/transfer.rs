//! Moves images between registries and layouts: several blobs at a time, each checked, none twice, and those that broke
//! off continued.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::sync::{Mutex, PoisonError};

use prograde_model::Digest;

use super::view::{Document, ImageError, Source};
use crate::client::{Client, Pushed, Reference, Repository, Source as Bytes};
use crate::document::{Descriptor, Platform};
use crate::error::{SupplyError, io};
use crate::layout::Layout;

/// Blobs that move at the same time.
const LANES: usize = 4;

/// What happens to one blob or manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// It begins to move.
    Begun(&'a Descriptor),
    /// So many more bytes of something have moved.
    Moved(u64),
    /// It was there already.
    Present(&'a Descriptor),
    /// The registry took it from another repository.
    Mounted(&'a Descriptor),
    /// It has moved.
    Done(&'a Descriptor),
}

/// Who wants to know how far it is.
pub type Told<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// What moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// The image or index.
    pub descriptor: Descriptor,
    /// How many blobs were there already.
    pub present: u64,
    /// How many moved.
    pub moved: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Fetches an image into a layout: all its platforms, or one. What it is tagged with is the caller's to say.
pub fn pull(
    client: &Client,
    reference: &Reference,
    platform: Option<&Platform>,
    layout: &Layout,
    told: Told<'_>,
) -> Result<Transferred, ImageError> {
    let (source, root, bytes) = Source::remote(client, reference)?;
    let found = source.manifests(&root, platform)?;
    let (mut blobs, mut seen) = (Vec::new(), BTreeSet::new());
    for (_, document) in &found {
        for blob in document.config.iter().chain(&document.layers) {
            if seen.insert(blob.digest.clone()) {
                blobs.push(blob.clone());
            }
        }
    }
    let counts = fetch_all(client, reference.repository(), layout, &blobs, told)?;
    // A manifest comes after what it names, and the list last: whoever finds one finds all.
    for (descriptor, _) in &found {
        store(layout, descriptor, &source.manifest(descriptor)?)?;
    }
    let descriptor = if let (Some(_), [(only, _)]) = (platform, found.as_slice()) {
        only.clone()
    } else {
        store_lists(&source, layout, &root, bytes)?;
        root
    };
    Ok(Transferred { descriptor, present: counts.0, moved: counts.1, bytes: counts.2 })
}

fn store(layout: &Layout, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), SupplyError> {
    let (digest, _) = layout.blobs().put_bytes(bytes)?;
    crate::blob::check(&descriptor.digest, digest)
}

/// The lists from a root down, as deep as they were followed.
fn store_lists(source: &Source, layout: &Layout, root: &Descriptor, bytes: Vec<u8>) -> Result<(), ImageError> {
    let mut waiting = vec![(root.clone(), bytes)];
    while let Some((descriptor, bytes)) = waiting.pop() {
        for child in Document::parse(&descriptor, &bytes)?.manifests.into_iter().flatten() {
            let is_here = layout.blobs().has(&child) || child.digest == descriptor.digest;
            if !is_here {
                let bytes = source.manifest(&child)?;
                waiting.push((child, bytes));
            }
        }
        store(layout, &descriptor, &bytes)?;
    }
    Ok(())
}

/// Fetches blobs that the layout has not; gives how many were there, how many moved, and the bytes of these.
pub(super) fn fetch_all(
    client: &Client,
    repository: &Repository,
    layout: &Layout,
    blobs: &[Descriptor],
    told: Told<'_>,
) -> Result<(u64, u64, u64), ImageError> {
    let limit = layout.limits().bytes_max.saturating_mul(4);
    if blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size)) > limit {
        let what = format!("the image in {repository}");
        return Err(SupplyError::TooLarge { what, limit: format!("{limit} bytes") }.into());
    }
    let counts = Mutex::new((0, 0, 0));
    in_lanes(blobs, &|blob| {
        let counted = |moved: bool| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            if moved {
                counts.1 += 1;
                counts.2 += blob.size;
            } else {
                counts.0 += 1;
            }
        };
        if layout.blobs().has(blob) {
            counted(false);
            told(Progress::Present(blob));
            return Ok(());
        }
        told(Progress::Begun(blob));
        fetch_one(client, repository, layout, blob, told)?;
        counted(true);
        told(Progress::Done(blob));
        Ok(())
    })?;
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Fetches one into `partial/`, where a later attempt finds what an earlier one got.
fn fetch_one(
    client: &Client,
    repository: &Repository,
    layout: &Layout,
    blob: &Descriptor,
    told: Told<'_>,
) -> Result<(), ImageError> {
    let folder = layout.dir().join("partial");
    fs::create_dir_all(&folder).map_err(io("create", &folder))?;
    let mut path = folder.join(blob.digest.hex());
    let open = |path: &std::path::Path| {
        File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(io("open", path))
    };
    let mut file = open(&path)?;
    let mut own = None;
    match file.try_lock() {
        Ok(()) => {}
        // Another process fetches the same: both do, as neither knows how the other will end.
        Err(TryLockError::WouldBlock) => {
            let temporary = tempfile::NamedTempFile::new_in(&folder).map_err(io("create a file in", &folder))?;
            temporary.path().clone_into(&mut path);
            file = open(&path)?;
            own = Some(temporary);
        }
        Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error).into()),
    }
    let mut before = 0;
    client.fetch_blob_into(repository, &blob.digest, blob.size, &mut file, &mut |at| {
        told(Progress::Moved(at.saturating_sub(before)));
        before = at;
    })?;
    if path.exists() {
        layout.blobs().adopt(&file, &path, &blob.digest)?;
    }
    if let Some(temporary) = own {
        // It has its name now, or another was faster.
        let _moved = temporary.keep();
    }
    Ok(())
}

/// Sends an image from a layout: what it names first, the tag last. Blobs that the registry has in one of the
/// repositories in `mount` are taken from there.
pub fn push(
    client: &Client,
    layout: &Layout,
    root: &Descriptor,
    reference: &Reference,
    mount: &[Repository],
    told: Told<'_>,
) -> Result<Transferred, ImageError> {
    let source = Source::Layout(layout.clone());
    let found = source.manifests(root, None)?;
    let (mut blobs, mut seen) = (Vec::new(), BTreeSet::new());
    for (_, document) in &found {
        for blob in document.config.iter().chain(&document.layers) {
            if seen.insert(blob.digest.clone()) {
                blobs.push(blob.clone());
            }
        }
    }
    let repository = reference.repository();
    let counts = Mutex::new((0, 0, 0));
    in_lanes(&blobs, &|blob| {
        if !layout.blobs().has(blob) {
            return Err(SupplyError::MissingBlob { digest: blob.digest.clone() }.into());
        }
        told(Progress::Begun(blob));
        let path = layout.blobs().path(&blob.digest);
        let mut before = 0;
        let pushed = client.push_blob(repository, &blob.digest, Bytes::File(&path), mount, &mut |at| {
            told(Progress::Moved(at.saturating_sub(before)));
            before = at;
        })?;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        match pushed {
            Pushed::Present | Pushed::Mounted => counts.0 += 1,
            Pushed::Sent => {
                counts.1 += 1;
                counts.2 += blob.size;
            }
        }
        told(match pushed {
            Pushed::Present => Progress::Present(blob),
            Pushed::Mounted => Progress::Mounted(blob),
            Pushed::Sent => Progress::Done(blob),
        });
        Ok(())
    })?;
    let (present, moved, bytes) = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    push_manifests(client, &source, root, reference)?;
    Ok(Transferred { descriptor: root.clone(), present, moved, bytes })
}

/// The manifests by their digests, lists after what they name, and the root under its tag.
fn push_manifests(
    client: &Client,
    source: &Source,
    root: &Descriptor,
    reference: &Reference,
) -> Result<(), ImageError> {
    let (mut order, mut at) = (vec![(root.clone(), source.manifest(root)?)], 0);
    let mut known: BTreeSet<Digest> = [root.digest.clone()].into();
    while let Some((descriptor, bytes)) = order.get(at).cloned() {
        for child in Document::parse(&descriptor, &bytes)?.manifests.into_iter().flatten() {
            if known.insert(child.digest.clone()) {
                let bytes = source.manifest(&child)?;
                order.push((child, bytes));
            }
        }
        at += 1;
    }
    for (descriptor, bytes) in order.iter().rev() {
        let place = if descriptor.digest == root.digest {
            reference.clone()
        } else {
            reference.repository().at(&descriptor.digest)
        };
        client.push_manifest(&place, &descriptor.media_type, bytes)?;
    }
    Ok(())
}

/// Does the same to each, a few at a time; the first failure ends all.
fn in_lanes(
    blobs: &[Descriptor],
    each: &(dyn Fn(&Descriptor) -> Result<(), ImageError> + Sync),
) -> Result<(), ImageError> {
    let (next, failed) = (Mutex::new(blobs.iter()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..LANES.min(blobs.len()) {
            scope.spawn(|| {
                loop {
                    if failed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                        return;
                    }
                    let Some(blob) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
                    if let Err(error) = each(blob) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

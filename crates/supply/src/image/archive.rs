//! A layout as one file: what `skopeo` calls an OCI archive. Beside `index.json` it has Docker's `manifest.json`, so that
//! `docker load` of every version reads it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use prograde_model::Digest;
use serde::Deserialize;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::view::{ImageError, Source};
use crate::blob::check;
use crate::document::{Descriptor, INDEX, annotation};
use crate::error::{SupplyError, cut, io};
use crate::layout::Layout;
use crate::limits::{Bounded, Spent};

const DOCUMENT_BYTES_MAX: u64 = 64 << 20;
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes an image with all that it names. The same image gives the same bytes.
pub fn write_archive(layout: &Layout, root: &Descriptor, name: &str, file: &Path) -> Result<(), ImageError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(io("create a file in", folder))?;
    let source = Source::Layout(layout.clone());
    let images = source.manifests(root, None)?;
    let mut archive = Builder::new(io::BufWriter::with_capacity(1 << 20, temporary.as_file_mut()));
    let told = || io("write", file);
    let mut named = root.clone();
    // containerd reads the first, skopeo and others the second.
    named.annotations.insert("io.containerd.image.name".to_owned(), name.to_owned());
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    named.annotations.insert(annotation::REF_NAME.to_owned(), tag.to_owned());
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [named] });
    add(&mut archive, "oci-layout", LAYOUT).map_err(told())?;
    add(&mut archive, "index.json", index.to_string().as_bytes()).map_err(told())?;
    if let [(_, image)] = images.as_slice() {
        let place = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest.hex());
        let config = image.config.as_ref().map(place);
        let layers: Vec<String> = image.layers.iter().map(place).collect();
        let docker = json!([{ "Config": config, "RepoTags": [name], "Layers": layers }]);
        add(&mut archive, "manifest.json", docker.to_string().as_bytes()).map_err(told())?;
    }
    let mut blobs = vec![root.clone()];
    for (descriptor, document) in images {
        blobs.extend([descriptor].into_iter().chain(document.config).chain(document.layers));
    }
    blobs.extend(lists(&source, root)?);
    blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    blobs.dedup_by(|one, other| one.digest == other.digest);
    for blob in blobs {
        let mut content = layout.blobs().open_verified(&blob)?;
        let mut header = plain(blob.size);
        let path = format!("blobs/sha256/{}", blob.digest.hex());
        archive.append_data(&mut header, path, &mut content).map_err(told())?;
    }
    let mut out = archive.into_inner().map_err(told())?;
    out.flush().map_err(told())?;
    drop(out);
    let readable = std::fs::Permissions::from_mode(0o644);
    temporary.as_file().set_permissions(readable).map_err(io("set the mode of", file))?;
    temporary.persist(file).map_err(|error| io("create", file)(error.error))?;
    Ok(())
}

/// The lists below a root, itself left out.
fn lists(source: &Source, root: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
    let (mut found, mut waiting) = (Vec::new(), vec![root.clone()]);
    while let Some(descriptor) = waiting.pop() {
        let bytes = source.manifest(&descriptor)?;
        for child in super::view::Document::parse(&descriptor, &bytes)?.manifests.into_iter().flatten() {
            if !found.contains(&child) {
                waiting.push(child.clone());
                found.push(child);
            }
        }
    }
    Ok(found)
}

fn plain(size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn add(archive: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(&mut plain(bytes.len() as u64), path, bytes)
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// Takes the blobs of an OCI archive, packed or not, into a layout, each under the digest that it has; gives what its
/// index names.
pub fn read_archive(file: &Path, layout: &Layout) -> Result<Vec<Descriptor>, SupplyError> {
    let invalid = |why: String| SupplyError::InvalidLayout { path: file.to_owned(), why: cut(&why, 300) };
    let mut opened = File::open(file).map_err(io("open", file))?;
    let size = opened.metadata().map_err(io("examine", file))?.len();
    let mut magic = [0; 2];
    let is_packed = opened.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    opened.rewind().map_err(io("read", file))?;
    let reader = BufReader::with_capacity(1 << 20, opened);
    let content: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    let mut limits = *layout.limits();
    limits.bytes_max = limits.bytes_max.saturating_mul(4);
    let bounded = Bounded::new(content, limits, size, Spent::default());
    let progress = bounded.progress();
    let told = |error: io::Error| progress.error().unwrap_or_else(|| invalid(format!("it is no archive: {error}")));
    let mut archive = tar::Archive::new(bounded);
    let (mut index, mut has_layout, mut is_docker, mut count) = (None, false, false, 0_u64);
    for entry in archive.entries().map_err(told)? {
        let mut entry = entry.map_err(told)?;
        count += 1;
        if count > limits.entries_max {
            return Err(invalid(format!("it has more than {} entries", limits.entries_max)));
        }
        if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous) {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        match path.as_str() {
            "oci-layout" => has_layout = true,
            "index.json" => {
                let mut text = Vec::new();
                entry.by_ref().take(DOCUMENT_BYTES_MAX).read_to_end(&mut text).map_err(told)?;
                index = Some(serde_json::from_slice::<Listed>(&text).map_err(|error| invalid(error.to_string()))?);
            }
            "manifest.json" => is_docker = true,
            other => {
                let Some(hex) = other.strip_prefix("blobs/sha256/") else { continue };
                let promised: Digest =
                    format!("sha256:{hex}").parse().map_err(|_| invalid(format!("{other} is no blob")))?;
                let (found, _, ()) = layout.blobs().put(|out| io::copy(&mut entry, out).map(drop).map_err(told))?;
                check(&promised, found)?;
            }
        }
    }
    match index {
        Some(index) if has_layout && !index.manifests.is_empty() => Ok(index.manifests),
        Some(_) => Err(invalid("its index names no image".to_owned())),
        None if is_docker => {
            let hint = "it is what `docker save` wrote before version 25: \
                convert it with `skopeo copy docker-archive:OLD.tar oci-archive:NEW.tar`";
            Err(invalid(hint.to_owned()))
        }
        None => Err(invalid("it has no `index.json`".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(&dir.path().join("layout")).unwrap();
        let file = dir.path().join("x.tar");
        let read = |entries: &[(&str, &[u8])]| {
            let mut archive = Builder::new(Vec::new());
            for (path, bytes) in entries {
                add(&mut archive, path, bytes).unwrap();
            }
            std::fs::write(&file, archive.into_inner().unwrap()).unwrap();
            read_archive(&file, &layout).unwrap_err().to_string()
        };
        assert!(read(&[]).contains("no `index.json`"));
        assert!(read(&[("manifest.json", b"[]")]).contains("skopeo copy docker-archive"));
        assert!(read(&[("oci-layout", LAYOUT), ("index.json", b"{}")]).contains("names no image"));
        assert!(read(&[("index.json", b"[")]).contains("line 1"));
        assert!(read(&[("blobs/sha256/x/y", b"x")]).contains("no blob"));
        let lie = format!("blobs/sha256/{}", "0".repeat(64));
        assert!(read(&[(&lie, b"x")]).contains("corrupt"));
        std::fs::write(&file, "text").unwrap();
        assert!(read_archive(&file, &layout).is_err());
    }
}

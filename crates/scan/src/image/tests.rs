use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::layers::digest_of;
use super::read;
use crate::package::Package;

/// A layer with these files; a directory's name ends with a slash.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

fn blob(root: &Path, bytes: &[u8]) -> String {
    let digest = digest_of(bytes);
    let folder = root.join("blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(digest.trim_start_matches("sha256:")), bytes).unwrap();
    digest
}

fn layout(root: &Path, layers: &[Vec<u8>]) {
    let layers: Vec<_> = layers.iter().map(|layer| json!({"digest": blob(root, layer), "size": layer.len()})).collect();
    let manifest = blob(root, json!({"schemaVersion": 2, "layers": layers}).to_string().as_bytes());
    fs::write(root.join("oci-layout"), "{\"imageLayoutVersion\": \"1.0.0\"}").unwrap();
    fs::write(root.join("index.json"), json!({"manifests": [{"digest": manifest}]}).to_string()).unwrap();
}

const RELEASE: (&str, &str) = ("etc/os-release", "ID=debian\nVERSION_ID=12\n");
const STATUS: &str = "Package: a\nStatus: install ok installed\nVersion: 1.0-1\n";

fn purls(path: &Path) -> Vec<String> {
    read(path).unwrap().packages.iter().map(Package::purl).collect()
}

#[test]
fn later_layers_hide_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let first = layer(&[
        RELEASE,
        ("./var/lib/dpkg/status", STATUS),
        ("app/go.mod", "module m\nrequire e.org/x v1.0.0\n"),
        ("b/go.mod", "module m\nrequire e.org/y v1.0.0\n"),
    ]);
    let second = layer(&[
        ("var/lib/dpkg/status", &STATUS.replace("1.0-1", "2.0-1")),
        ("app/.wh.go.mod", ""),
        ("b/.wh..wh..opq", ""),
    ]);
    layout(dir.path(), &[first.clone(), second]);
    assert_eq!(purls(dir.path()), ["pkg:deb/debian/a@2.0-1?distro=debian-12"]);
    let other = tempfile::tempdir().unwrap();
    layout(other.path(), &[first]);
    assert_eq!(purls(other.path()).len(), 3);
}

#[test]
fn archives_are_read_as_directories_are() {
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &[layer(&[RELEASE, ("var/lib/dpkg/status", STATUS)])]);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", dir.path()).unwrap();
    let bytes = tar.into_inner().unwrap();
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("image.tar");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(purls(&path), ["pkg:deb/debian/a@1.0-1?distro=debian-12"]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    fs::write(&path, gzip.finish().unwrap()).unwrap();
    assert_eq!(purls(&path).len(), 1);
    // As `docker save` writes it, without an index.
    let saved = layer(&[RELEASE, ("var/lib/dpkg/status", STATUS)]);
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in
        [("x/layer.tar", saved.as_slice()), ("manifest.json", br#"[{"Layers": ["x/layer.tar"]}]"#.as_slice())]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, content).unwrap();
    }
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    assert_eq!(purls(&path).len(), 1);
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &[layer(&[RELEASE])]);
    for entry in fs::read_dir(dir.path().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(read(dir.path()).unwrap_err().code, "PG1206");
        fs::write(&path, good).unwrap();
    }
    fs::write(dir.path().join("index.json"), "{\"manifests\": [{\"digest\": \"sha256:../../x\"}]}").unwrap();
    assert_eq!(read(dir.path()).unwrap_err().code, "PG1206");
    fs::write(dir.path().join("index.json"), "{\"manifests\": []}").unwrap();
    assert_eq!(read(dir.path()).unwrap_err().code, "PG1206");
}

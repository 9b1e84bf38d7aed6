//! The same against Debian's `docker-registry`, with skopeo on the other side.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prograde_supply::Descriptor;
use prograde_supply::client::{Artifact, Credentials, Pushed, Reference, RegistryError, Source};
use serde_json::json;
use tempfile::TempDir;

use super::{basic, impatient};
use crate::digest_of;
use crate::peers::has;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// bcrypt of `pa:ss-s3cret`, as `htpasswd -B` makes it.
const PASSWORD: &str = "me:$2b$04$HFwN21pQ76LpybgsrhevneyKLH0YW.v1f/Fb/5LLOT6lM6jtuhzqm\n";

/// A registry that other people wrote; it is stopped with the test.
pub(crate) struct Registry {
    child: Child,
    _dir: TempDir,
    pub(crate) address: String,
}

impl Registry {
    /// Starts it, where it is installed.
    pub(crate) fn start(test: &str, with_password: bool) -> Option<Self> {
        if !has("docker-registry", test) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", prograde_ports::free());
        fs::write(dir.path().join("htpasswd"), PASSWORD).unwrap();
        let auth = json!({ "htpasswd": { "realm": "test", "path": dir.path().join("htpasswd") } });
        let mut config = json!({
            "version": 0.1,
            "log": { "level": "error" },
            "storage": {
                "filesystem": { "rootdirectory": dir.path().join("data") },
                "delete": { "enabled": true }
            },
            "http": { "addr": address }
        });
        if with_password {
            config["auth"] = auth;
        }
        // JSON is YAML.
        let file = dir.path().join("config.yml");
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        let child = command.arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { child, _dir: dir, address };
        for _ in 0..600 {
            if TcpStream::connect(&registry.address).is_ok() {
                return Some(registry);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen");
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.address).parse().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_registry_takes_and_gives_back_what_it_is_sent() {
    let Some(registry) = Registry::start("a_registry_takes_and_gives_back_what_it_is_sent", true) else { return };
    let client = impatient(Credentials::none().with(&registry.address, basic("me", "pa:ss-s3cret")));
    let reference = registry.reference("team/app:v1");
    let repository = reference.repository();
    let (config, layer) = (b"{}".to_vec(), (0..100_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    for blob in [&config, &layer] {
        let push = || client.push_blob(repository, &digest_of(blob), Source::Bytes(blob), &[], &mut |_| {}).unwrap();
        assert_eq!((push(), push()), (Pushed::Sent, Pushed::Present));
    }
    let descriptor = |media_type: &str, blob: &[u8]| Descriptor::new(media_type, digest_of(blob), blob.len() as u64);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)]
    })
    .to_string()
    .into_bytes();
    let digest = client.push_manifest(&reference, MANIFEST, &manifest).unwrap();
    assert_eq!(client.head_manifest(&reference).unwrap(), Some(digest.clone()));
    let fetched = client.fetch_manifest(&reference).unwrap();
    assert_eq!((&fetched.bytes, &fetched.digest, fetched.media_type.as_str()), (&manifest, &digest, MANIFEST));
    assert_eq!(client.fetch_blob(repository, &digest_of(&layer), 1 << 20).unwrap(), layer);
    assert_eq!(client.blob_size(repository, &digest_of(&layer)).unwrap(), Some(layer.len() as u64));
    assert_eq!(client.tags(repository).unwrap(), ["v1"]);

    // Another repository of the same registry gets its blobs without sending them.
    let other = registry.reference("team/other:v1");
    let mount = [repository.clone()];
    let pushed = client.push_blob(other.repository(), &digest_of(&layer), Source::Bytes(&layer), &mount, &mut |_| {});
    assert_eq!(pushed.unwrap(), Pushed::Mounted);

    // This version keeps no lists of referrers: the tag does.
    let subject = Descriptor::new(MANIFEST, digest.clone(), manifest.len() as u64);
    let artifact = |kind: &str| Artifact {
        artifact_type: kind.to_owned(),
        parts: vec![("application/json".to_owned(), br#"{"a":1}"#.to_vec())],
        annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
    };
    let one = client.push_referrer(repository, &subject, &artifact("x/one")).unwrap();
    let two = client.push_referrer(repository, &subject, &artifact("x/two")).unwrap();
    client.push_referrer(repository, &subject, &artifact("x/two")).unwrap();
    let all = client.referrers(repository, &digest, None).unwrap();
    assert_eq!(all, [one.clone(), two.clone()]);
    assert_eq!(client.referrers(repository, &digest, Some("x/two")).unwrap(), std::slice::from_ref(&two));
    assert_eq!(client.referrers(repository, &one.digest, None).unwrap(), []);
    client.delete(&repository.at(&one.digest)).unwrap();
    assert_eq!(client.referrers(repository, &digest, None).unwrap(), [two]);
    client.delete(&repository.at(&digest)).unwrap();
    let gone = client.fetch_manifest(&reference).unwrap_err();
    assert!(matches!(gone, RegistryError::NotFound { .. }), "{gone}");
    assert_eq!(client.head_manifest(&reference).unwrap(), None);

    let nobody = impatient(Credentials::none());
    let error = nobody.fetch_manifest(&reference).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorised { .. }), "{error}");
    let wrong = impatient(Credentials::none().with(&registry.address, basic("me", "wr0ng")));
    let error = wrong.fetch_manifest(&reference).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorised { .. }) && !error.to_string().contains("wr0ng"), "{error}");
}

//! A repository in memory, which lets others write between any two of our calls.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use prograde_model::Digest;
use prograde_sign::key::{PrivateKey, Signer as _};
use prograde_sign::{Asked, Cause, Image, Store, StoredManifest, Terms, Trust, Verified, digest_of};
use serde_json::{Map, Value, json};

/// What another writer does between two steps.
pub(crate) type Meanwhile = Box<dyn FnOnce(&Memory) + Send>;

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    pub(crate) manifests: Mutex<BTreeMap<String, (String, Vec<u8>)>>,

    /// What others do right after our next write.
    pub(crate) meanwhile: Mutex<Vec<Meanwhile>>,
}

impl Memory {
    pub(crate) fn with_image() -> (Self, Image) {
        let memory = Self::default();
        let bytes = br#"{"schemaVersion":2}"#.to_vec();
        let digest = digest_of(&bytes);
        memory.manifests.lock().unwrap().insert(digest.to_string(), (MANIFEST.to_owned(), bytes));
        (memory, Image { repository: "registry.example.com/team/app".parse().unwrap(), digest })
    }

    /// Puts a layer where signatures or attestations are, in place of what is there.
    pub(crate) fn plant(&self, tag: &str, layers: &[(&str, &[u8], Value)]) {
        let layers: Vec<Value> = layers
            .iter()
            .map(|(kind, bytes, annotations)| {
                self.blobs.lock().unwrap().insert(digest_of(bytes), bytes.to_vec());
                json!({"mediaType": kind, "size": bytes.len(), "digest": digest_of(bytes), "annotations": annotations})
            })
            .collect();
        let config =
            json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": digest_of(b"{}")});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let bytes = serde_json::to_vec(&manifest).unwrap();
        self.manifests.lock().unwrap().insert(tag.to_owned(), (MANIFEST.to_owned(), bytes));
    }

    /// Puts a bundle that refers to an image.
    pub(crate) fn plant_bundle(&self, image: &Image, bundle: &[u8]) {
        let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
        self.blobs.lock().unwrap().insert(digest_of(bundle), bundle.to_vec());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": digest_of(b"{}")},
            "layers": [{"mediaType": kind, "size": bundle.len(), "digest": digest_of(bundle)}],
            "subject": {"mediaType": MANIFEST, "size": 1, "digest": image.digest},
        });
        self.put_manifest(None, MANIFEST, &serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    /// The layers under a tag.
    pub(crate) fn layers(&self, tag: &str) -> Vec<Value> {
        let manifests = self.manifests.lock().unwrap();
        let Some((_, bytes)) = manifests.get(tag) else { return Vec::new() };
        serde_json::from_slice::<Value>(bytes).unwrap()["layers"].as_array().unwrap().clone()
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

impl Store for Memory {
    fn manifest(&self, name: &str) -> Result<Option<StoredManifest>, Cause> {
        let found = self.manifests.lock().unwrap().get(name).cloned();
        Ok(found.map(|(media_type, bytes)| StoredManifest { media_type, bytes }))
    }

    fn blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Cause> {
        let found = self.blobs.lock().unwrap().get(digest).cloned().ok_or("there is no such blob")?;
        if found.len() as u64 > bytes_max { Err("it is too large".into()) } else { Ok(found) }
    }

    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Cause> {
        assert_eq!(digest_of(bytes), *digest);
        self.blobs.lock().unwrap().insert(digest.clone(), bytes.to_vec());
        Ok(())
    }

    fn put_manifest(&self, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<(), Cause> {
        let stored = (media_type.to_owned(), bytes.to_vec());
        if let Some(tag) = tag {
            self.manifests.lock().unwrap().insert(tag.to_owned(), stored.clone());
        }
        self.manifests.lock().unwrap().insert(digest_of(bytes).to_string(), stored);
        let meanwhile = self.meanwhile.lock().unwrap().pop();
        if let Some(meanwhile) = meanwhile {
            meanwhile(self);
        }
        Ok(())
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<(Digest, String)>, Cause> {
        let manifests = self.manifests.lock().unwrap();
        let all = manifests.iter().filter_map(|(name, (_, bytes))| {
            let manifest: Value = serde_json::from_slice(bytes).ok()?;
            let fits = manifest["subject"]["digest"] == subject.as_str();
            let digest = name.parse().ok()?;
            fits.then(|| (digest, manifest["artifactType"].as_str().unwrap_or_default().to_owned()))
        });
        Ok(all.collect())
    }

    fn pause(&self, _attempt: u32) {
        std::thread::yield_now();
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn trust(key: &PrivateKey) -> Trust {
    Trust::of("release", key.public_key().clone())
}

pub(crate) fn signatures() -> Asked {
    Asked::Signatures(Map::new())
}

pub(crate) fn verified(memory: &Memory, image: &Image, asked: &Asked, key: &PrivateKey) -> Verified {
    let trust = trust(key);
    prograde_sign::verify(memory, image, asked, Terms { trust: &trust, at: now() }).unwrap()
}

/// The words of what was found: `good`, or why it does not count.
pub(crate) fn words(verified: &Verified) -> Vec<&'static str> {
    verified
        .found
        .iter()
        .map(|found| found.verdict.as_ref().map_or_else(prograde_sign::Refusal::word, |_| "good"))
        .collect()
}

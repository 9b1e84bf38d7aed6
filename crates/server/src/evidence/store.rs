//! A repository of the embedded registry as the place where signatures are kept.

use std::time::Duration;

use prograde_model::ids::Digest;
use prograde_sign::{Store, StoredManifest};
use prograde_supply::registry::Direct;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Beside a service's images.
pub(super) struct Beside(pub(super) Direct);

impl Store for Beside {
    fn manifest(&self, name: &str) -> Result<Option<StoredManifest>, Cause> {
        let found = self.0.manifest(name)?;
        Ok(found.map(|(media_type, bytes)| StoredManifest { media_type, bytes }))
    }

    fn blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Cause> {
        Ok(self.0.blob(digest, bytes_max)?)
    }

    fn put_blob(&self, _: &Digest, bytes: &[u8]) -> Result<(), Cause> {
        Ok(self.0.put_blob(bytes)?)
    }

    fn put_manifest(&self, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<(), Cause> {
        Ok(self.0.put_manifest(tag, media_type, bytes)?)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<(Digest, String)>, Cause> {
        Ok(self.0.referrers(subject)?)
    }

    fn pause(&self, attempt: u32) {
        // Only people who push signatures of their own to the same image at the same moment write here as well.
        std::thread::park_timeout(Duration::from_millis(5 * u64::from(attempt)));
    }
}

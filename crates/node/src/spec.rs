//! What a replica of one version is made from, and a fingerprint that tells whether a running one still is.

use std::fmt::{self, Write as _};

use prograde_model::workload::{EnvValue, Workload};
use prograde_model::{Digest, FlightId};
use sha2::{Digest as _, Sha256};

use crate::image::ImageRoot;

/// One version's workload with its image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) revision: FlightId,
    pub(crate) digest: Digest,
    pub(crate) workload: Workload,
    pub(crate) image: ImageRoot,
    pub(crate) fingerprint: String,
}

impl Spec {
    pub(crate) fn new(revision: FlightId, digest: Digest, workload: Workload, image: ImageRoot) -> Self {
        let fingerprint = fingerprint(&digest, &workload);
        Self { revision, digest, workload, image, fingerprint }
    }
}

/// Differs when a process would have to be started anew: the same parts as Kubernetes' pod template hash, less the
/// labels, which no process sees.
fn fingerprint(digest: &Digest, workload: &Workload) -> String {
    let mut hash = Hashed(Sha256::new());
    let grace = workload.termination_grace_s;
    // Hashing can't fail. The image's reference is left out: the digest says which image it is.
    let Hashed(sha) = &mut hash;
    sha.update(digest.as_str());
    sha.update(grace.to_le_bytes());
    let mut container = workload.container.clone();
    container.image.clear();
    let _infallible = write!(hash, "{container:?}");
    if let Some(mut confinement) = workload.confinement.clone() {
        // Who asks makes no difference to the process.
        confinement.asked.clear();
        let _infallible = write!(hash, "{confinement:?}{:?}", workload.unconfined);
    }
    let Hashed(mut sha) = hash;
    // The text above shows no secrets.
    for (_, value) in &workload.container.env {
        if let EnvValue::Secret(secret) = value {
            sha.update(secret.len().to_le_bytes());
            sha.update(secret);
        }
    }
    sha.finalize().iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

struct Hashed(Sha256);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload;

    #[test]
    fn the_fingerprint_tells_what_matters_to_a_process() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let first = workload();
        let of = |workload: &Workload| fingerprint(&digest, workload);
        assert_eq!(of(&first), of(&first.clone()));
        let mut scaled = first.clone();
        scaled.replicas = 7;
        scaled.labels.insert("a".into(), "b".into());
        scaled.container.image = "elsewhere/pad".into();
        assert_eq!(of(&first), of(&scaled));
        let with = |value| {
            let mut changed = first.clone();
            changed.container.env.push(("A".into(), value));
            of(&changed)
        };
        let prints = [
            of(&first),
            with(EnvValue::Plain("1".into())),
            with(EnvValue::Plain("2".into())),
            with(EnvValue::Secret("1".into())),
            with(EnvValue::Secret("2".into())),
            fingerprint(&format!("sha256:{}", "b".repeat(64)).parse().unwrap(), &first),
        ];
        let distinct: std::collections::BTreeSet<&String> = prints.iter().collect();
        assert_eq!(distinct.len(), prints.len());
    }
}

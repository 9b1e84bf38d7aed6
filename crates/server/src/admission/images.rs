//! Signatures of images, looked up where the images are: in the server's own registry or in another.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prograde_model::ids::Digest;
use prograde_policy::{Signature, SignedBy};
use serde_json::Value;
use tokio::time::Instant;

use super::judge::Images;
use crate::applications::images;
use crate::evidence::Vouching;
use crate::policies::pod;

/// For how long a signature that holds is not looked up again. What has a digest does not change.
const KEPT_MAX: Duration = Duration::from_mins(5);
/// How many are kept.
const SIGNATURES_MAX: usize = 4_096;

/// Who looks.
pub(super) struct Lookup {
    vouching: Vouching,
    good: Mutex<BTreeMap<SignedBy, Instant>>,
}

impl Lookup {
    pub(super) fn new(vouching: Vouching) -> Self {
        Self { vouching, good: Mutex::default() }
    }

    /// Puts into an object's pods what the server itself vouches for, whatever they say there themselves.
    pub(super) fn note(&self, object: &mut Value) {
        if let Some(spec) = pod(object).and_then(|pod| pod.get("spec")) {
            self.vouching.vouched(images(spec)).note(object);
        }
    }

    fn is_known(&self, asked: &SignedBy) -> bool {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(asked).is_some_and(|at| at.elapsed() < KEPT_MAX)
    }

    fn keep(&self, asked: &SignedBy) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= SIGNATURES_MAX {
            good.clear();
        }
        good.insert(asked.clone(), Instant::now());
    }
}

impl Images for Lookup {
    fn signed(&self, asked: &SignedBy) -> Signature {
        if self.is_known(asked) {
            return Signature::Good;
        }
        let found = self.vouching.signed_anywhere(asked);
        if found == Signature::Good && asked.image.contains('@') {
            self.keep(asked);
        }
        found
    }

    fn digest(&self, image: &str) -> Result<Digest, String> {
        self.vouching.digest(image)
    }
}

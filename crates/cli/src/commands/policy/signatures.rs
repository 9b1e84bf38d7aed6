//! Signatures that policies demand, looked up in the registries of the images.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prograde_policy::{Signature, SignedBy};
use prograde_sign::key::PublicKey;
use prograde_sign::{Asked, Terms, Trust};
use serde_json::Value;

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::sign::registry::Place;

/// Looks signatures up, each once.
pub(super) struct Lookup<'a> {
    app: &'a App,
    access: &'a Access,
    known: Mutex<BTreeMap<SignedBy, Signature>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(app: &'a App, access: &'a Access) -> Self {
        Self { app, access, known: Mutex::default() }
    }

    /// Whether a key signed an image. What can't be found out is never taken for a signature.
    pub(super) fn ask(&self, asked: &SignedBy) -> Signature {
        if let Some(known) = self.known().get(asked).cloned() {
            return known;
        }
        let found = self.look(asked).unwrap_or_else(Signature::Unreachable);
        self.known().insert(asked.clone(), found.clone());
        found
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<SignedBy, Signature>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, asked: &SignedBy) -> Result<Signature, String> {
        let key = PublicKey::from_pem("the policy's key", &asked.key).map_err(|error| error.to_string())?;
        let trust = Trust::of("the policy's key", key);
        let place = Place::of(self.app, self.access, None, &asked.image).map_err(|report| {
            std::iter::once(report.summary).chain(report.causes).collect::<Vec<String>>().join(": ")
        })?;
        let annotations = asked.annotations.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let terms = Terms { trust: &trust, at: self.app.printer.now() };
        let wanted = Asked::Signatures(annotations.collect());
        let verified =
            prograde_sign::verify(&place.store, &place.image, &wanted, terms).map_err(|error| error.to_string())?;
        if verified.holds() {
            return Ok(Signature::Good);
        }
        let mut why: Vec<String> =
            verified.found.iter().filter_map(|found| found.verdict.as_ref().err()).map(ToString::to_string).collect();
        why.dedup();
        Ok(Signature::Refused(if why.is_empty() { "there is no signature".to_owned() } else { why.join("; ") }))
    }
}

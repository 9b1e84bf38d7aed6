//! Signatures and attestations that policies demand, looked up in the registries of the images.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::Args;
use prograde_policy::{Signature, SignedBy};
use prograde_server::policies::signatures;
use prograde_sign::keyless::TrustedRoot;

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::sign::keyless::keyless_report;
use crate::commands::sign::registry::Place;
use crate::report::Report;

/// How many bytes of what is attested are kept for the next resource that asks.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Whether signatures are looked up, and how.
#[derive(Debug, Args)]
pub(super) struct SignatureArgs {
    /// Ask the registries of images for the signatures and attestations that rules demand
    #[arg(long)]
    signatures: bool,
    /// Whom to believe about identities that rules name without keys: a Sigstore `trusted_root.json`
    #[arg(long, value_name = "FILE", requires = "signatures")]
    trusted_root: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

impl SignatureArgs {
    /// Who looks them up, if anybody does.
    pub(super) fn lookup<'a>(&'a self, app: &'a App) -> Result<Option<Lookup<'a>>, Report> {
        if !self.signatures {
            return Ok(None);
        }
        let root = self.trusted_root.as_deref().map(TrustedRoot::read).transpose().map_err(keyless_report)?;
        Ok(Some(Lookup { app, access: &self.access, root, known: Mutex::default() }))
    }
}

/// Looks signatures up, each once unless much is attested.
pub(super) struct Lookup<'a> {
    app: &'a App,
    access: &'a Access,
    root: Option<TrustedRoot>,
    known: Mutex<Known>,
}

/// What was found out.
#[derive(Default)]
struct Known {
    all: BTreeMap<SignedBy, Signature>,
    bytes: usize,
}

impl Known {
    fn keep(&mut self, asked: &SignedBy, found: &Signature) {
        let bytes = match found {
            Signature::Attested(attested) => attested.bytes(),
            Signature::Good | Signature::Promised | Signature::Refused(_) | Signature::Unreachable(_) => 0,
        };
        if self.bytes.saturating_add(bytes) <= KEPT_BYTES_MAX && self.all.insert(asked.clone(), found.clone()).is_none()
        {
            self.bytes += bytes;
        }
    }
}

impl Lookup<'_> {
    /// Whether somebody vouches for an image. What can't be found out is never taken for a signature.
    pub(super) fn ask(&self, asked: &SignedBy) -> Signature {
        if let Some(known) = self.known().all.get(asked).cloned() {
            return known;
        }
        let found = self.look(asked).unwrap_or_else(Signature::Unreachable);
        self.known().keep(asked, &found);
        found
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, asked: &SignedBy) -> Result<Signature, String> {
        let root = self.root.as_ref().ok_or("give --trusted-root FILE");
        let trust = signatures::trust(&asked.signer, root)?;
        let place = Place::of(self.app, self.access, None, &asked.image).map_err(|report| {
            std::iter::once(report.summary).chain(report.causes).collect::<Vec<String>>().join(": ")
        })?;
        signatures::look(&place.store, &place.image, &asked.demand, &trust, self.app.printer.now())
    }
}

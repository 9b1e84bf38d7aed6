//! Who vouches for images that no flight of this server has to have made: in its own registry or in any other.

use std::sync::PoisonError;

use prograde_control::{Clock as _, SystemClock};
use prograde_model::ids::Digest;
use prograde_policy::{Signature, SignedBy};
use prograde_sign::Image;
use prograde_sign::key::Signer as _;
use prograde_supply::client::{Beside as Remote, Reference};
use prograde_supply::registry::RepositoryName;

use super::store::Beside;
use super::{Known, Vouching};
use crate::events::chain;
use crate::policies::{Vouched, signatures};

impl Vouching {
    /// Whether somebody signed or attested an image as a policy asks for it, wherever the image is. What can't be found out
    /// is never taken for a signature. Blocks, as long as a registry takes to answer.
    pub(crate) fn signed_anywhere(&self, asked: &SignedBy) -> Signature {
        self.look(asked).unwrap_or_else(Signature::Unreachable)
    }

    /// The digest that a name of an image has now, in its registry. Blocks.
    pub(crate) fn digest(&self, image: &str) -> Result<Digest, String> {
        let reference: Reference = image.parse().map_err(|error| chain(&error))?;
        if let Some(digest) = reference.digest() {
            return Ok(digest.clone());
        }
        let remote = reference.repository();
        if remote.registry() != self.0.host {
            return Ok(self.0.client.fetch_manifest(&reference).map_err(|error| chain(&error))?.digest);
        }
        let name = RepositoryName::new(remote.name()).map_err(|error| chain(&error))?;
        self.own_digest(&name, &reference)
    }

    /// The same of one in the server's own registry.
    fn own_digest(&self, name: &RepositoryName, reference: &Reference) -> Result<Digest, String> {
        let found = self.0.registry.direct(name.clone()).digest(reference.tag().unwrap_or("latest"));
        let found = found.map_err(|error| chain(&error))?.ok_or_else(|| format!("there is no image {reference}"))?;
        found.as_str().parse::<Digest>().map_err(|error| error.to_string())
    }

    fn look(&self, asked: &SignedBy) -> Result<Signature, String> {
        let root = self.0.trust.root().ok_or("name a `trusted_root` in the file of `serve --trust`");
        let trust = signatures::trust(&asked.signer, root)?;
        let reference: Reference = asked.image.parse().map_err(|error| chain(&error))?;
        let (remote, now) = (reference.repository(), SystemClock.now());
        if remote.registry() == self.0.host {
            let name = RepositoryName::new(remote.name()).map_err(|error| chain(&error))?;
            let direct = self.0.registry.direct(name.clone());
            let digest = match reference.digest() {
                Some(digest) => digest.clone(),
                None => self.own_digest(&name, &reference)?,
            };
            let repository = self.repository(&name, &digest).parse().map_err(|error| chain(&error))?;
            return signatures::look(&Beside(direct), &Image { repository, digest }, &asked.demand, &trust, now);
        }
        let digest = match reference.digest() {
            Some(digest) => digest.clone(),
            None => self.0.client.fetch_manifest(&reference).map_err(|error| chain(&error))?.digest,
        };
        let repository = remote.to_string().parse().map_err(|error| chain(&error))?;
        let beside = Remote::new(self.0.client.clone(), remote.clone());
        signatures::look(&beside, &Image { repository, digest }, &asked.demand, &trust, now)
    }

    /// What is known of images by their digests: whether this server signed each of them, which it does to what it has looked
    /// through, and the signatures hold. Blocks.
    pub(crate) fn vouched<'i>(&self, images: impl Iterator<Item = &'i str>) -> Vouched {
        let (mut some, mut all) = (false, true);
        for image in images {
            let digest = image.rsplit_once('@').and_then(|(_, digest)| digest.parse::<Digest>().ok());
            some = true;
            all = all && digest.is_some_and(|digest| self.is_own(&digest));
        }
        let vouched = some && all;
        Vouched { signed_by: vouched.then(|| self.0.key.public_key().id()), scanned: vouched }
    }

    fn is_own(&self, digest: &Digest) -> bool {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).all.get(digest).cloned();
        match known {
            Some(Known::Signed { checked: true, .. }) => true,
            Some(Known::Signed { service, repository, checked: false }) => {
                let held = self.check_signature(&service, digest, &repository, SystemClock.now()).is_ok();
                if held {
                    self.take_checked(digest);
                }
                held
            }
            Some(Known::Unsigned) | None => false,
        }
    }
}

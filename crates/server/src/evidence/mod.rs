//! What vouches for releases. The server signs every image that it builds, and says in signed attestations where it comes
//! from, what it is made of, how its tests ended and what it was looked through for; all of it as cosign does, beside the
//! image in the registry. It checks that again before a release is deployed and before an image runs.
//!
//! Invariant: no image runs that no release of this server has, or whose signature does not hold.

mod anywhere;
mod elsewhere;
mod key;
mod statements;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use prograde_control::ports::PortError;
use prograde_control::{Clock as _, SystemClock};
use prograde_model::fleet::Fleet;
use prograde_model::flight::Flight;
use prograde_model::group::Member;
use prograde_model::ids::{Digest, ServiceName};
use prograde_model::release::{Evidence, Release};
use prograde_policy::{Demand, Signature, SignedBy, Signer};
use prograde_sign::key::PublicKey;
use prograde_sign::key::{PrivateKey, Signer as _};
use prograde_sign::predicate::{COSIGN_VULN, CYCLONEDX, SLSA_PROVENANCE_V1};
use prograde_sign::{Asked, Form, Image, Statement, Store, Terms, Trust, verify};
use prograde_supply::client::Client;
use prograde_supply::registry::{ContentDigest, Registry, RegistryError, RepositoryName};
use serde_json::Value;

use crate::api::types::FoundView;
use crate::data_dir::DataDir;
use crate::error::ServerError;
use crate::events::chain;
use crate::options::ServerOptions;
use crate::policies::images::Vouchers;
use crate::policies::signatures;
use elsewhere::Elsewhere;
use store::Beside;

/// The name of the server's own key.
const OWN: &str = "this server";
/// Indexes that are looked at for a signature that covers an image in them.
const INDEXES_MAX: u32 = 100;
/// What every release has to have attested.
const NEEDED: [&str; 3] = [SLSA_PROVENANCE_V1, CYCLONEDX, COSIGN_VULN];

/// Signs, and checks what was signed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Vouching(Arc<Inner>);

struct Inner {
    registry: Registry,
    key: PrivateKey,
    trust: Trust,
    /// Where the registry is found, as it stands in images' names.
    host: String,
    /// Asks other registries.
    client: Client,
    /// Another registry, into which images go as well.
    elsewhere: Option<Elsewhere>,
    known: RwLock<Images>,
}

/// The images of all releases.
#[derive(Debug, Default)]
struct Images {
    /// Whether those are among them that the journal knows from before the server started.
    learned: bool,
    all: BTreeMap<Digest, Known>,
}

/// An image of a release.
#[derive(Debug, Clone)]
enum Known {
    /// It was made before images were signed: the journal alone vouches for it.
    Unsigned,
    /// It is signed.
    Signed {
        /// The service whose image it is.
        service: ServiceName,
        /// The repository that the signature names.
        repository: String,
        /// Whether that was checked since the server started.
        checked: bool,
    },
}

impl Known {
    fn signed(service: &ServiceName, repository: &str) -> Self {
        Self::Signed { service: service.clone(), repository: repository.to_owned(), checked: false }
    }
}

impl Vouching {
    /// Opens the server's key, or makes one, and reads whose signatures count besides.
    pub(crate) fn open(
        options: &ServerOptions,
        data: &DataDir,
        registry: Registry,
        url: &str,
    ) -> Result<Self, ServerError> {
        let key =
            key::open(&data.signing(), options.signing_password_file.as_deref()).map_err(ServerError::SigningKey)?;
        // Only now: the file may name the key that was just made.
        let trust = match &options.trust {
            Some(path) => Trust::read(path).map_err(ServerError::Trust)?,
            None => Trust::of(OWN, key.public_key().clone()),
        };
        let host = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or(host).to_owned();
        let client = Client::new(options.registries.clone());
        let below = options.push_to.as_ref();
        let elsewhere = below.map(|below| Elsewhere::below(client.clone(), below).map_err(ServerError::PushTo));
        let elsewhere = elsewhere.transpose()?;
        Ok(Self(Arc::new(Inner { registry, key, trust, host, client, elsewhere, known: RwLock::default() })))
    }

    /// Whether there is a root that proves identities.
    pub(crate) fn is_rooted(&self) -> bool {
        self.0.trust.root().is_some()
    }

    /// Learns which images the journal vouches for.
    pub(crate) fn learn(&self, fleet: &Fleet) {
        let mut known = BTreeMap::new();
        for flight in fleet.flights() {
            for (service, release) in &flight.releases {
                // The same image may have been made before and after there were signatures: then it has one.
                let Some(evidence) = &release.evidence else {
                    known.entry(release.digest.clone()).or_insert(Known::Unsigned);
                    continue;
                };
                known.insert(release.digest.clone(), Known::signed(service, &evidence.repository));
            }
        }
        let mut images = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        // What was signed since is known already.
        known.append(&mut images.all);
        *images = Images { learned: true, all: known };
    }

    /// Signs an image that a flight has made and attests what is known of it, here and in the other registry, if there is
    /// one. Blocks.
    pub(crate) fn vouch(
        &self,
        flight: &Flight,
        member: &Member,
        digest: &Digest,
        bill: &Value,
    ) -> Result<Evidence, PortError> {
        let (inner, service) = (&self.0, &member.name);
        // The time of the record, so that a repetition after a crash writes the same.
        let at = flight.stage_times.get("built").copied().unwrap_or(flight.opened_at);
        let statements = statements::of(flight, member, bill, at);
        let name = format!("{}/{service}", inner.host);
        self.say(&self.beside(service)?, &image(&name, digest)?, &statements, at)?;
        let mut also = None;
        if let Some(elsewhere) = &inner.elsewhere {
            let beside = elsewhere.take(inner.registry.layout(), service, flight.commit().short(), digest)?;
            let repository = beside.repository().to_string();
            self.say(&beside, &image(&repository, digest)?, &statements, at)?;
            also = Some(repository);
        }
        let how = Known::signed(service, &name);
        inner.known.write().unwrap_or_else(PoisonError::into_inner).all.insert(digest.clone(), how);
        let attestations = statements.into_iter().map(|(predicate_type, _)| predicate_type.to_owned()).collect();
        Ok(Evidence { repository: name, also, key_id: inner.key.public_key().id(), attestations })
    }

    /// Signs an image and attests what is to be said of it, beside it in its repository.
    fn say(
        &self,
        beside: &dyn Store,
        image: &Image,
        statements: &[(&'static str, Value)],
        at: Timestamp,
    ) -> Result<(), PortError> {
        let key = &self.0.key;
        let passing = |error: prograde_sign::StoreError| PortError::Passing(chain(&error));
        prograde_sign::sign(beside, image, &serde_json::Map::new(), key, Form::Both, at).map_err(passing)?;
        for (predicate_type, predicate) in statements {
            let statement = Statement::about(&image.repository, &image.digest, predicate_type, predicate.clone());
            prograde_sign::attest(beside, image, &statement, key, Form::Both, at).map_err(passing)?;
        }
        Ok(())
    }

    /// Whether all is there that a release needs, and holds. What was made before images were signed has nothing.
    pub(crate) async fn check_release(&self, service: &ServiceName, release: &Release) -> Result<(), PortError> {
        let Some(evidence) = release.evidence.clone() else { return Ok(()) };
        let (vouching, service, digest) = (self.clone(), service.clone(), release.digest.clone());
        off(move || {
            let terms = Terms { trust: &vouching.0.trust, at: SystemClock.now() };
            vouching.check_signature(&service, &digest, &evidence.repository, terms.at)?;
            let image = image(&evidence.repository, &digest)?;
            let beside = vouching.beside(&service)?;
            for needed in NEEDED {
                let asked = Asked::Attestations(Some(needed.to_owned()));
                let found =
                    verify(&beside, &image, &asked, terms).map_err(|error| PortError::Passing(chain(&error)))?;
                if !found.holds() {
                    let what = format!("no attestation of the type {needed} holds for {service}@{digest}");
                    return Err(PortError::Final(format!("{what}: {}", refusals(&found))));
                }
            }
            Ok(())
        })
        .await
    }

    /// Whether an image may run: a release has it, and its signature holds.
    pub(crate) async fn check_image(&self, digest: &Digest) -> Result<(), PortError> {
        let known = {
            let images = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
            if !images.learned {
                return Err(PortError::Passing("the journal is still being read".into()));
            }
            images.all.get(digest).cloned()
        };
        match known {
            None => Err(PortError::Final(format!("no release of this server has the image {digest}"))),
            Some(Known::Unsigned | Known::Signed { checked: true, .. }) => Ok(()),
            Some(Known::Signed { service, repository, checked: false }) => {
                let (vouching, of) = (self.clone(), digest.clone());
                off(move || vouching.check_signature(&service, &of, &repository, SystemClock.now())).await?;
                self.take_checked(digest);
                Ok(())
            }
        }
    }

    fn take_checked(&self, digest: &Digest) {
        let mut images = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(Known::Signed { checked, .. }) = images.all.get_mut(digest) {
            *checked = true;
        }
    }

    /// Everything that is found beside a release's image, and whether it holds.
    pub(crate) async fn show(&self, service: &ServiceName, release: &Release) -> Result<Vec<FoundView>, PortError> {
        let Some(evidence) = release.evidence.clone() else { return Ok(Vec::new()) };
        let (vouching, service, digest) = (self.clone(), service.clone(), release.digest.clone());
        off(move || {
            let terms = Terms { trust: &vouching.0.trust, at: SystemClock.now() };
            let (image, beside) = (image(&evidence.repository, &digest)?, vouching.beside(&service)?);
            let mut all = Vec::new();
            for asked in [Asked::Signatures(serde_json::Map::new()), Asked::Attestations(None)] {
                let found =
                    verify(&beside, &image, &asked, terms).map_err(|error| PortError::Passing(chain(&error)))?;
                all.extend(found.found.into_iter().map(FoundView::of));
            }
            Ok(all)
        })
        .await
    }

    /// Whether this server will sign and attest, of an image that it has not built yet, what a policy asks for. What it will
    /// attest is known when that is there: before the image is deployed [`Self::signed`] is asked.
    pub(crate) fn will_sign(&self, asked: &SignedBy) -> Signature {
        let key = match &asked.signer {
            Signer::Key(key) => PublicKey::from_pem("the policy's key", key).map_err(|error| chain(&error)),
            Signer::Identity(_) => Err("the server signs with a key, and not as an identity".to_owned()),
        };
        match (key, &asked.demand) {
            (Err(why), _) => Signature::Refused(why),
            (Ok(key), _) if key.id() != self.0.key.public_key().id() => {
                Signature::Refused("the server signs with another key".to_owned())
            }
            (Ok(_), Demand::Signature(annotations)) if annotations.is_empty() => Signature::Good,
            (Ok(_), Demand::Signature(_)) => Signature::Refused("the server signs without annotations".to_owned()),
            (Ok(_), Demand::Attestation { kind, .. }) if statements::TYPES.contains(&kind.as_str()) => {
                Signature::Promised
            }
            (Ok(_), Demand::Attestation { kind, .. }) => {
                Signature::Refused(format!("the server attests nothing of the type {kind}"))
            }
        }
    }

    /// Whether somebody signed or attested a release's image as a policy asks for it. The image is in `repository` if it is
    /// signed at all. Blocks.
    pub(crate) fn signed(
        &self,
        service: &ServiceName,
        digest: &Digest,
        repository: Option<&str>,
        asked: &SignedBy,
    ) -> Signature {
        let Some(repository) = repository else {
            return Signature::Refused("it was made before images were signed".to_owned());
        };
        let root = self.0.trust.root().ok_or("name a `trusted_root` in the file of `serve --trust`");
        let found = signatures::trust(&asked.signer, root).and_then(|trust| {
            let unreachable = |error: PortError| error.to_string();
            let (image, beside) =
                (image(repository, digest).map_err(unreachable)?, self.beside(service).map_err(unreachable)?);
            signatures::look(&beside, &image, &asked.demand, &trust, SystemClock.now())
        });
        found.unwrap_or_else(Signature::Unreachable)
    }

    /// Whose signatures and attestations hold of an image in a repository of the registry, or of an index that lists it.
    /// Blocks.
    pub(crate) fn vouchers(&self, name: &RepositoryName, digest: &ContentDigest) -> Result<Vouchers, PortError> {
        let passing = |error: RegistryError| PortError::Passing(chain(&error));
        let direct = self.0.registry.direct(name.clone());
        let mut digests = direct.indexes_of(digest, INDEXES_MAX).map_err(passing)?;
        digests.push(digest.clone());
        let beside = Beside(direct);
        let terms = Terms { trust: &self.0.trust, at: SystemClock.now() };
        let (mut signed_by, mut attested) = (BTreeSet::new(), BTreeSet::new());
        for digest in digests {
            // Nobody signs what is named by another hash than sha256.
            let Ok(digest) = digest.as_str().parse::<Digest>() else { continue };
            let image = image(&self.repository(name, &digest), &digest)?;
            for asked in [Asked::Signatures(serde_json::Map::new()), Asked::Attestations(None)] {
                let found =
                    verify(&beside, &image, &asked, terms).map_err(|error| PortError::Passing(chain(&error)))?;
                for evidence in found.evidence() {
                    match &evidence.predicate {
                        Some((predicate_type, _)) => attested.insert(predicate_type.clone()),
                        None => signed_by.insert(evidence.key.clone()),
                    };
                }
            }
        }
        Ok(Vouchers { signed_by: signed_by.into_iter().collect(), attested: attested.into_iter().collect() })
    }

    /// The repository that signatures of an image have to name: what the server called it when it signed it, or calls it.
    fn repository(&self, name: &RepositoryName, digest: &Digest) -> String {
        let images = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        match images.all.get(digest) {
            Some(Known::Signed { service, repository, .. }) if service.as_str() == name.as_str() => repository.clone(),
            Some(Known::Signed { .. } | Known::Unsigned) | None => format!("{}/{name}", self.0.host),
        }
    }

    fn check_signature(
        &self,
        service: &ServiceName,
        digest: &Digest,
        repository: &str,
        at: Timestamp,
    ) -> Result<(), PortError> {
        let (image, beside) = (image(repository, digest)?, self.beside(service)?);
        let terms = Terms { trust: &self.0.trust, at };
        let asked = Asked::Signatures(serde_json::Map::new());
        let found = verify(&beside, &image, &asked, terms).map_err(|error| PortError::Passing(chain(&error)))?;
        if found.evidence().any(|evidence| evidence.bound) {
            return Ok(());
        }
        Err(PortError::Final(format!("no trusted signature holds for {service}@{digest}: {}", refusals(&found))))
    }

    fn beside(&self, service: &ServiceName) -> Result<Beside, PortError> {
        let name = RepositoryName::new(service.as_str()).map_err(|error| PortError::Final(chain(&error)))?;
        Ok(Beside(self.0.registry.direct(name)))
    }
}

impl FoundView {
    fn of(found: prograde_sign::Found) -> Self {
        let form = if found.bundle { "bundle" } else { "tag" }.to_owned();
        let mut view =
            Self { place: found.place, form, key: None, refused: None, predicate_type: None, predicate: Value::Null };
        match found.verdict {
            Ok(evidence) => {
                view.key = Some(evidence.key);
                if let Some((predicate_type, predicate)) = evidence.predicate {
                    (view.predicate_type, view.predicate) = (Some(predicate_type), predicate);
                }
            }
            Err(refusal) => view.refused = Some(refusal.to_string()),
        }
        view
    }
}

fn image(repository: &str, digest: &Digest) -> Result<Image, PortError> {
    let repository = repository.parse().map_err(|error| PortError::Final(chain(&error)))?;
    Ok(Image { repository, digest: digest.clone() })
}

fn refusals(found: &prograde_sign::Verified) -> String {
    let why: Vec<String> =
        found.found.iter().filter_map(|one| one.verdict.as_ref().err().map(ToString::to_string)).collect();
    if why.is_empty() { "there is none".to_owned() } else { why.join("; ") }
}

/// Does what blocks outside of the asynchronous runtime.
pub(crate) async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| PortError::Passing(error.to_string()))?
}

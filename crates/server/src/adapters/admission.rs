//! What the registry takes and gives out: what policies let past, and nothing that is in quarantine.

use async_trait::async_trait;
use prograde_control::{Clock as _, Control, SystemClock};
use prograde_supply::registry::{
    Admission, ContentDigest, Pulled, Pushed, Reference, Refusal, Registry, RegistryError, RepositoryName,
};
use serde_json::Value;

use crate::events::chain;
use crate::evidence::Vouching;
use crate::policies::InForce;
use crate::policies::images::{CONFIG_BYTES_MAX, Moved, Vouchers, Way, config_of};

/// Asks the policies in force of what is pushed and pulled, and refuses to give out images that failed where they ran.
pub(crate) struct AsPoliciesSay {
    pub(crate) control: Control,
    pub(crate) policies: InForce,
    pub(crate) vouching: Vouching,
    pub(crate) registry: Registry,
}

/// A manifest as it goes one way or the other.
struct Going {
    way: Way,
    repository: RepositoryName,
    tag: Option<String>,
    digest: ContentDigest,
    media_type: String,
    /// Whether nobody knows who moves it.
    anonymous: bool,
    /// Its bytes, where they are not in the registry yet.
    content: Option<Vec<u8>>,
}

#[async_trait]
impl Admission for AsPoliciesSay {
    async fn push(&self, manifest: &Pushed<'_>) -> Result<(), Refusal> {
        self.ask(Way::Push, || Going {
            way: Way::Push,
            repository: manifest.repository.clone(),
            tag: tag(manifest.reference),
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.to_owned(),
            anonymous: false,
            content: Some(manifest.content.to_owned()),
        })
        .await
    }

    async fn pull(&self, manifest: &Pulled<'_>) -> Result<(), Refusal> {
        let why = self.control.with_fleet(|fleet| {
            let held = fleet.quarantines().find(|q| q.digest.as_str() == manifest.digest.as_str());
            held.map(|q| format!("it is in quarantine in {}: {}", q.target.environment, q.reason))
        });
        if let Some(why) = why {
            return Err(Refusal::new(format!("{why}; `prograde quarantine lift` lets it out with a reason")));
        }
        self.ask(Way::Pull, || Going {
            way: Way::Pull,
            repository: manifest.repository.clone(),
            tag: tag(manifest.reference),
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.to_owned(),
            anonymous: manifest.anonymous,
            content: None,
        })
        .await
    }
}

fn tag(reference: &Reference) -> Option<String> {
    match reference {
        Reference::Tag(tag) => Some(tag.to_string()),
        Reference::Digest(_) => None,
    }
}

impl AsPoliciesSay {
    /// Asks those policies that are about it. What can't be looked up is refused.
    async fn ask(&self, way: Way, going: impl FnOnce() -> Going) -> Result<(), Refusal> {
        let policies = self.policies.now();
        if !policies.ask_of_images(way) {
            return Ok(());
        }
        let (registry, vouching, going) = (self.registry.clone(), self.vouching.clone(), going());
        let judged = tokio::task::spawn_blocking(move || {
            let mut moved = going.look(&registry, &vouching)?;
            let now = SystemClock.now();
            let Some(why) = policies.refusal(&moved, now) else { return Ok(None) };
            let known_may = std::mem::take(&mut moved.anonymous) && policies.refusal(&moved, now).is_none();
            Ok::<_, String>(Some(Refusal { why, known_may }))
        });
        match judged.await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(refusal))) => Err(refusal),
            Ok(Err(why)) => Err(Refusal::new(format!("policies could not be asked of it: {why}"))),
            Err(error) => Err(Refusal::new(format!("policies could not be asked of it: {error}"))),
        }
    }
}

impl Going {
    /// Looks up what policies may ask. Blocks.
    fn look(self, registry: &Registry, vouching: &Vouching) -> Result<Moved, String> {
        let words = |error: RegistryError| chain(&error);
        let direct = registry.direct(self.repository.clone());
        let content = match self.content {
            Some(content) => content,
            None => direct.manifest(self.digest.as_str()).map_err(words)?.ok_or("it is gone")?.1,
        };
        let manifest: Value = serde_json::from_slice(&content).map_err(|error| error.to_string())?;
        let config = config_of(&manifest).map(|digest| {
            let digest = digest.parse().map_err(|error| format!("its configuration: {error}"))?;
            let bytes = direct.blob(&digest, CONFIG_BYTES_MAX).map_err(words)?;
            serde_json::from_slice(&bytes).map_err(|error| format!("its configuration: {error}"))
        });
        let vouched = match self.way {
            Way::Push => Vouchers::default(),
            Way::Pull => vouching.vouchers(&self.repository, &self.digest).map_err(|error| error.to_string())?,
        };
        Ok(Moved {
            way: self.way,
            repository: self.repository.to_string(),
            tag: self.tag,
            digest: self.digest.to_string(),
            media_type: self.media_type,
            manifest,
            config: config.transpose()?,
            vouched,
            anonymous: self.anonymous,
        })
    }
}

//! Registries, asked for the tags of images. Invariant: a registry that does not answer keeps a few questions waiting, and none to
//! another one.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prograde_apps::codes;
use prograde_apps::image::choice::{self, Chosen, NotKnown, Terms};
use prograde_apps::image::objects::{ImagePolicy, ImageRepository};
use prograde_apps::image::policy::{TAGS_MAX, Tag};
use prograde_control::{Clock as _, SystemClock};
use prograde_model::Diagnostic;
use prograde_supply::client::{Client, ClientOptions, Patience, Reference};
use prograde_supply::registry::{Direct, Registry, RepositoryName};
use tokio::sync::Semaphore;

use super::keeper::Key;
use crate::events::chain;

/// How many questions are asked at once, of one registry and of all.
const HOST_MAX: usize = 4;
const ALL_MAX: usize = 64;
/// After how long an answer is not waited for any more.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How long a registry may take for single steps.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(20),
    answer: Duration::from_secs(30),
    busy: Duration::from_secs(20),
};
/// What can be done where a registry does not tell.
const HINT: &str = "see that the server reaches the registry, and that its user has logged in there (`docker login`)";

/// What is asked of an image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) repository: ImageRepository,
    /// The policies that choose from its tags.
    pub(super) policies: Vec<ImagePolicy>,
    pub(super) quarantined: Arc<BTreeSet<String>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) at: Timestamp,
    /// How many tags there are, where that is known.
    pub(super) tags: Option<usize>,
    /// What policies choose.
    pub(super) chosen: BTreeMap<Key, Result<Chosen, Diagnostic>>,
}

/// The registries that are asked.
pub(super) struct Registries {
    options: ClientOptions,
    own: Registry,
    /// What the server's own registry is called.
    hosts: BTreeSet<String>,
    all: Arc<Semaphore>,
    by_host: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

impl Registries {
    pub(super) fn new(options: ClientOptions, own: Registry, hosts: BTreeSet<String>) -> Self {
        let options = ClientOptions { patience: PATIENCE, ..options };
        Self { options, own, hosts, all: Arc::new(Semaphore::new(ALL_MAX)), by_host: Mutex::default() }
    }

    /// The repository of the server's own registry that an image lies in, if it does.
    pub(super) fn own(&self, image: &str) -> Option<RepositoryName> {
        let reference = reference(image, "latest").ok()?;
        let repository = reference.repository();
        self.hosts.contains(repository.registry()).then(|| RepositoryName::new(repository.name()).ok())?
    }

    /// Asks.
    pub(super) async fn scan(self: Arc<Self>, wanted: Arc<Wanted>) -> Found {
        let host = reference(&wanted.repository.image, "latest").map(|found| found.repository().registry().to_owned());
        let of_host = self.permits(&host.unwrap_or_default());
        let of = Arc::clone(&wanted);
        let asked = async {
            let one = of_host.acquire_owned().await;
            let other = Arc::clone(&self.all).acquire_owned().await;
            let scan = move || {
                // Kept until the registry has answered, whether that is waited for or not.
                let _permits = (one, other);
                self.ask(&wanted)
            };
            tokio::task::spawn_blocking(scan).await
        };
        let failed = |why: String| {
            let told = |policy: &ImagePolicy| {
                let message = format!("the tags of `{}` are not known: {why}", of.repository.image);
                (Key::of_policy(policy), Err(policy.place.diagnostic(codes::TAGS, message, HINT)))
            };
            Found { at: SystemClock.now(), tags: None, chosen: of.policies.iter().map(told).collect() }
        };
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => failed(format!("the question ended badly: {error}")),
            Err(_) => failed(format!("the registry did not answer within {} s", TIMEOUT.as_secs())),
        }
    }

    fn permits(&self, host: &str) -> Arc<Semaphore> {
        let mut by_host = self.by_host.lock().unwrap_or_else(PoisonError::into_inner);
        by_host.retain(|_, permits| Arc::strong_count(permits) > 1 || permits.available_permits() < HOST_MAX);
        Arc::clone(by_host.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(HOST_MAX))))
    }

    /// Blocks.
    fn ask(&self, wanted: &Wanted) -> Found {
        let source = match self.own(&wanted.repository.image) {
            Some(name) => Source::Own(self.own.direct(name)),
            None => Source::Remote(self.client(&wanted.repository)),
        };
        let asked = Asked { source, tags: OnceCell::new(), digests: RefCell::default() };
        let terms = Terms { quarantined: &wanted.quarantined, pin: false };
        let choose =
            |policy: &ImagePolicy| (Key::of_policy(policy), choice::chosen(policy, &wanted.repository, &asked, terms));
        let chosen = wanted.policies.iter().map(choose).collect();
        let tags = asked.tags.into_inner().and_then(Result::ok).map(|tags| tags.len());
        Found { at: SystemClock.now(), tags, chosen }
    }

    /// A client of its own for each scan, so that a later login counts.
    fn client(&self, repository: &ImageRepository) -> Client {
        let mut options = self.options.clone();
        if repository.insecure
            && let Ok(reference) = reference(&repository.image, "latest")
        {
            options.insecure.insert(reference.repository().registry().to_owned());
        }
        Client::new(options)
    }
}

enum Source {
    Own(Direct),
    Remote(Client),
}

/// One image, of which the same is asked once.
struct Asked {
    source: Source,
    tags: OnceCell<Result<Vec<Tag>, NotKnown>>,
    digests: RefCell<BTreeMap<String, Result<String, NotKnown>>>,
}

impl choice::Registry for Asked {
    fn tags(&self, repository: &ImageRepository) -> Result<Vec<Tag>, NotKnown> {
        self.tags.get_or_init(|| self.source.tags(repository).map_err(not_known)).clone()
    }

    fn digest(&self, repository: &ImageRepository, tag: &str) -> Result<String, NotKnown> {
        let mut digests = self.digests.borrow_mut();
        let asked = || self.source.digest(repository, tag).map_err(not_known);
        digests.entry(tag.to_owned()).or_insert_with(asked).clone()
    }
}

fn not_known(why: String) -> NotKnown {
    NotKnown { why, hint: HINT.to_owned() }
}

impl Source {
    fn tags(&self, repository: &ImageRepository) -> Result<Vec<Tag>, String> {
        let names = match self {
            Self::Own(direct) => direct.tags(TAGS_MAX).map_err(|error| chain(&error))?,
            Self::Remote(client) => {
                let reference = reference(&repository.image, "latest")?;
                client.tags(reference.repository()).map_err(|error| chain(&error))?
            }
        };
        Ok(names.into_iter().map(|name| Tag { name, digest: None }).collect())
    }

    fn digest(&self, repository: &ImageRepository, tag: &str) -> Result<String, String> {
        let digest = match self {
            Self::Own(direct) => {
                direct.digest(tag).map_err(|error| chain(&error))?.map(|digest| digest.as_str().to_owned())
            }
            Self::Remote(client) => {
                let reference = reference(&repository.image, tag)?;
                client.head_manifest(&reference).map_err(|error| chain(&error))?.map(|digest| digest.to_string())
            }
        };
        digest.ok_or_else(|| "the registry does not have it".to_owned())
    }
}

fn reference(image: &str, tag: &str) -> Result<Reference, String> {
    format!("{image}:{tag}").parse::<Reference>().map_err(|error| chain(&error))
}

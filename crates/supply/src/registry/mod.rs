//! The embedded registry (OCI distribution specification 1.1): what is pushed and what flights built, in one store.
//!
//! Content lies in the image layout's `blobs/`, one file a digest, whoever brought it. Which repository has what is in
//! `registry.db` beside it, and what is being uploaded in `uploads/`. A flight's image is `SERVICE:COMMIT` here and
//! `SERVICE-COMMIT` in the layout's `index.json`.
//!
//! Invariants: nothing has a name before it is complete, hashed and on the disk, so a crash at any point leaves a valid
//! store. No blob passes through memory as a whole. What a manifest needs is there when it is accepted, and stays.

mod access;
mod database;
mod direct;
mod error;
mod files;
mod flights;
mod garbage;
mod hash;
mod http;
mod lists;
mod manifest;
mod manifests;
mod name;
mod uploads;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use tokio::sync::broadcast;

pub use access::{Access, Action, Admission, AdmitAll, Anonymous, Authorize, OneToken, Pulled, Pushed, Refusal, Shown};
pub use direct::Direct;
pub use error::RegistryError;
pub use flights::Adopted;
pub use garbage::{Collect, Collected};
pub use http::{Hooks, router};
pub use name::{Algorithm, ContentDigest, Reference, RepositoryName, Tag};

use crate::error::{SupplyError, io};
use crate::layout::Layout;
use crate::scratch::lock_file;
use database::Database;
use files::Files;
use uploads::{Turn, Upload, Uploads};

/// How old a blob's last sighting may be before it is written anew: what a client has seen is not collected soon after.
const SIGHTING_AGE_MS: i64 = 60_000;
/// How long an upload may rest when others wait for its place.
const IDLE_MAX: Duration = Duration::from_mins(15);
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How many news of tags wait for whoever listens; who is slower than that is told so.
const NEWS_MAX: usize = 256;
/// Largest regular expression for immutable tags, compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How the registry works. Start from [`Settings::new`].
#[derive(Clone)]
pub struct Settings {
    /// What tells the time.
    pub clock: Clock,
    /// The largest blob, in bytes; default 64 GiB.
    pub blob_bytes_max: u64,
    /// How many uploads may be under way; default 256.
    pub uploads_max: usize,
    /// After how long an upload that nobody went on with is removed; default a day.
    pub upload_age_max: Duration,
    /// How long a client may send nothing, or next to nothing; default 30 seconds.
    pub silence_max: Duration,
    /// A regular expression: tags that it matches can't be moved or deleted once they are set. None by default; the tags
    /// of flights' images never can.
    pub immutable_tags: Option<String>,
}

impl Settings {
    /// The defaults.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            blob_bytes_max: 64 << 30,
            uploads_max: 256,
            upload_age_max: Duration::from_hours(24),
            silence_max: Duration::from_secs(30),
            immutable_tags: None,
        }
    }
}

/// A registry that is open. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    layout: Layout,
    settings: Settings,
    immutable: Option<Regex>,
    database: Database,
    files: Files,
    uploads: Uploads,
    /// Repositories in which a tag was set, moved or deleted.
    news: broadcast::Sender<RepositoryName>,
    /// One process at a time collects garbage here.
    _lock: File,
}

/// A blob that a repository has.
#[derive(Debug)]
struct Blob {
    file: File,
    size: u64,
}

impl Registry {
    /// Opens the registry of a layout, and takes in what flights have built before there was one. Blocks while it reads.
    pub fn open(layout: Layout, settings: Settings) -> Result<Self, RegistryError> {
        let dir = layout.dir().to_owned();
        let lock = lock(&dir)?;
        let pattern = |text: &String| {
            let anchored = format!("^(?:{text})$");
            let built = regex::RegexBuilder::new(&anchored).size_limit(PATTERN_BYTES_MAX).build();
            built.map_err(|source| RegistryError::Setting { setting: "immutable tags", source })
        };
        let immutable = settings.immutable_tags.as_ref().map(pattern).transpose()?;
        let database = Database::open(&dir.join("registry.db"))?;
        let uploads = Uploads::open(dir.join("uploads"), settings.uploads_max)?;
        let files = Files::open(&dir)?;
        let news = broadcast::Sender::new(NEWS_MAX);
        let inner = Inner { layout, settings, immutable, database, files, uploads, news, _lock: lock };
        inner.adopt_all()?;
        inner.expire()?;
        Ok(Self(Arc::new(inner)))
    }

    /// The layout that it keeps its content in.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The repositories in which a tag is set, moved or deleted from now on, each once that is on the disk.
    pub fn news(&self) -> broadcast::Receiver<RepositoryName> {
        self.0.news.subscribe()
    }

    /// Does what blocks outside of the asynchronous runtime.
    async fn off<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let inner = Arc::clone(&self.0);
        off(move || work(&inner)).await
    }

    /// A blob's size, to somebody who may rely on it for a while.
    async fn blob_size(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<u64, RegistryError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.off(move |inner| inner.sighted(&repository, &digest)).await
    }

    /// A blob, open.
    async fn blob(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<Blob, RegistryError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.off(move |inner| {
            let unknown = || RegistryError::BlobUnknown { digest: digest.clone() };
            let linked = inner.database.read(|db| {
                let repository = database::known(db, &repository)?;
                Ok(database::blob(db, repository, &digest)?.is_some())
            })?;
            let (file, size) = if linked { inner.files.find(&digest)? } else { None }.ok_or_else(unknown)?;
            Ok(Blob { file, size })
        })
        .await
    }

    /// Takes a blob from a repository. The content goes with the next collection, if nobody else has it.
    async fn delete_blob(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<(), RegistryError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.off(move |inner| {
            inner.database.write(|db| {
                let repository = database::known(db, &repository)?;
                if let Some(by) = database::needed_by(db, repository, &digest)? {
                    return Err(RegistryError::InUse { what: format!("blob {digest}"), by }.into());
                }
                let sql = "DELETE FROM blob WHERE repository = ?1 AND digest = ?2";
                match db.execute(sql, rusqlite::params![repository, digest.as_str()])? {
                    0 => Err(RegistryError::BlobUnknown { digest }.into()),
                    _ => Ok(()),
                }
            })
        })
        .await
    }

    /// Gives a blob of one repository to another one; says whether it had it.
    async fn mount(
        &self,
        repository: &RepositoryName,
        digest: &ContentDigest,
        from: RepositoryName,
    ) -> Result<bool, RegistryError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.off(move |inner| {
            let _naming = inner.files.naming();
            if inner.files.find(&digest)?.is_none() {
                return Ok(false);
            }
            inner.database.write(|db| {
                let Some(from) = database::repository(db, &from)? else { return Ok(false) };
                let Some((size, _)) = database::blob(db, from, &digest)? else { return Ok(false) };
                let to = database::ensure(db, &repository)?;
                database::link(db, to, &digest, size, inner.now_ms())?;
                Ok(true)
            })
        })
        .await
    }

    /// Repositories that have a blob, some at most.
    async fn holders(&self, digest: &ContentDigest) -> Result<Vec<RepositoryName>, RegistryError> {
        let digest = digest.clone();
        self.off(move |inner| {
            let names: Vec<String> = inner.database.read(|db| {
                let sql = "SELECT name FROM blob JOIN repository ON id = repository WHERE digest = ?1 LIMIT 100";
                let mut statement = db.prepare(sql)?;
                let names = statement.query_map([digest.as_str()], |row| row.get(0))?;
                Ok(names.collect::<Result<_, _>>()?)
            })?;
            names.iter().map(|name| RepositoryName::new(name)).collect()
        })
        .await
    }

    /// Begins an upload.
    async fn begin(&self, repository: &RepositoryName, algorithm: Algorithm) -> Result<Upload, RegistryError> {
        let repository = repository.clone();
        self.off(move |inner| match inner.uploads.begin(&repository, algorithm) {
            // Those give way that seem to be given up.
            Err(RegistryError::TooManyRequests { .. }) if inner.uploads.expire(inner.ago(IDLE_MAX))? > 0 => {
                inner.uploads.begin(&repository, algorithm)
            }
            begun => begun,
        })
        .await
    }

    fn upload(&self, repository: &RepositoryName, id: &str) -> Result<Upload, RegistryError> {
        self.0.uploads.find(repository, id)
    }

    /// Ends an upload without a blob.
    async fn cancel(&self, mut turn: Turn) -> Result<(), RegistryError> {
        self.off(move |inner| Ok(inner.uploads.end(&mut turn)?)).await
    }

    /// Makes a blob of an upload, if it is what the digest says. The upload ends either way.
    async fn finish(
        &self,
        repository: &RepositoryName,
        mut turn: Turn,
        digest: &ContentDigest,
    ) -> Result<(), RegistryError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.off(move |inner| {
            let finished = inner.finish(&repository, &mut turn, &digest);
            let ended = inner.uploads.end(&mut turn);
            finished.and(ended.map_err(RegistryError::Store))
        })
        .await
    }
}

impl Inner {
    fn now_ms(&self) -> i64 {
        (self.settings.clock)().as_millisecond()
    }

    /// Tells whoever listens; nobody has to.
    fn tell(&self, repository: &RepositoryName) {
        drop(self.news.send(repository.clone()));
    }

    /// The time so long ago.
    fn ago(&self, age: Duration) -> Timestamp {
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        (self.settings.clock)().checked_sub(age).unwrap_or(Timestamp::MIN)
    }

    fn expire(&self) -> Result<u64, SupplyError> {
        self.uploads.expire(self.ago(self.settings.upload_age_max))
    }

    fn sighted(&self, repository: &RepositoryName, digest: &ContentDigest) -> Result<u64, RegistryError> {
        let unknown = || RegistryError::BlobUnknown { digest: digest.clone() };
        let found = self.database.read(|db| {
            let id = database::known(db, repository)?;
            Ok(database::blob(db, id, digest)?.map(|blob| (id, blob)))
        })?;
        let (id, (size, seen)) = found.ok_or_else(unknown)?;
        let now = self.now_ms();
        if now.saturating_sub(seen) > SIGHTING_AGE_MS {
            let sql = "UPDATE blob SET seen = ?3 WHERE repository = ?1 AND digest = ?2";
            let kept = self.database.write(|db| Ok(db.execute(sql, rusqlite::params![id, digest.as_str(), now])?))?;
            if kept == 0 {
                return Err(unknown());
            }
        }
        Ok(size)
    }

    fn finish(
        &self,
        repository: &RepositoryName,
        turn: &mut Turn,
        digest: &ContentDigest,
    ) -> Result<(), RegistryError> {
        let size = turn.received();
        let (found, file, path) = turn.complete(digest.algorithm())?;
        if found != *digest {
            let why = format!("what was sent is {found} and not {digest}");
            return Err(RegistryError::DigestInvalid { why });
        }
        // Before the lock, as it takes long.
        file.sync_all().map_err(io("sync", path))?;
        let _naming = self.files.naming();
        self.files.name(file, path, digest)?;
        let now = self.now_ms();
        self.database.write(|db| {
            let repository = database::ensure(db, repository)?;
            Ok(database::link(db, repository, digest, size, now)?)
        })
    }
}

async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    crate::error::blocking(move || Ok(work())).await?
}

fn lock(dir: &Path) -> Result<File, RegistryError> {
    let path = dir.join("registry.lock");
    let file = lock_file(&path)?;
    // Who had it open before may still be answering its last requests.
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error).into()),
        }
    }
    Err(RegistryError::Locked { dir: dir.to_owned() })
}

//! Blobs (OCI distribution specification, "Pulling blobs", "Pushing blobs"): continued where they broke off, mounted
//! where the registry has them already.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use http::{Method, StatusCode, Uri, header};
use prograde_model::Digest;
use sha2::{Digest as _, Sha256};

use super::error::RegistryError;
use super::http::{Answer, Ask, Payload, broken, target};
use super::reference::Repository;
use super::{Client, Wish};

/// How often a transfer is continued without a byte in between.
const TRIES: u32 = 4;
/// How often a transfer is continued at all.
const CONTINUED_MAX: u32 = 100;
const BUFFER_BYTES: usize = 128 << 10;
const OCTETS: &str = "application/octet-stream";

/// Where a blob's bytes are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Here.
    Bytes(&'a [u8]),
    /// In a file, which must not change.
    File(&'a Path),
}

impl<'a> Source<'a> {
    fn len(self) -> Result<u64, RegistryError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => {
                let told = |source| RegistryError::File { action: "examine", path: path.to_owned(), source };
                path.metadata().map(|metadata| metadata.len()).map_err(told)
            }
        }
    }

    fn part(self, from: u64, length: u64) -> Payload<'a> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(from).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
                Payload::Bytes(bytes.get(start..end).unwrap_or_default())
            }
            Self::File(file) => Payload::Part { file, from, length },
        }
    }
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Present,
    /// The registry has taken it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

impl Client {
    /// The size of a blob, if the repository has it; 0 where the registry does not say.
    pub fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>, RegistryError> {
        self.has(repository, digest, Wish::Pull)
    }

    fn has(&self, repository: &Repository, digest: &Digest, wish: Wish<'_>) -> Result<Option<u64>, RegistryError> {
        let ask = Ask::new(Method::HEAD, self.uri(repository, &format!("blobs/{digest}"))?);
        let answer = self.call(repository, wish, ask)?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.length().unwrap_or_default())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.refused(&format!("look for {digest}"))),
        }
    }

    /// A whole small blob, its digest checked.
    pub fn fetch_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        let mut download = Download { hasher: Sha256::new(), received: 0, promised: None, bytes_max };
        self.download(repository, digest, &mut download, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Writes a blob of this size to a file, which is open for reading and writing. What the file holds already is taken
    /// for the blob's beginning, so that a transfer that broke off is continued; `progress` is told how far it is.
    /// The digest is checked; where it is wrong the file is emptied.
    pub fn fetch_blob_into(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        file: &mut File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let told = |source| RegistryError::File { action: "write a blob to", path: digest.as_str().into(), source };
        let mut resumed = file.metadata().map_err(told)?.len() > 0;
        loop {
            let (hasher, received) = begin(file, size).map_err(told)?;
            resumed &= received > 0;
            progress(received);
            let mut download = Download { hasher, received, promised: Some(size), bytes_max: size };
            let mut at = received;
            let result = self.download(repository, digest, &mut download, &mut |part| {
                file.write_all(part)?;
                at += part.len() as u64;
                progress(at);
                Ok(())
            });
            match result {
                Err(error @ RegistryError::Corrupt { .. }) => {
                    file.set_len(0).map_err(told)?;
                    // Perhaps only what was there before is wrong.
                    if !std::mem::take(&mut resumed) {
                        return Err(error);
                    }
                }
                ended => return ended,
            }
        }
    }

    fn download(
        &self,
        repository: &Repository,
        digest: &Digest,
        download: &mut Download,
        write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), RegistryError> {
        let mut in_vain = 0;
        for _ in 0..CONTINUED_MAX {
            if download.promised == Some(download.received) && download.received > 0 {
                break;
            }
            let before = download.received;
            match self.download_once(repository, digest, download, write) {
                Ok(()) => break,
                Err(error) if error.is_passing() => {
                    in_vain = if download.received > before { 0 } else { in_vain + 1 };
                    if in_vain >= TRIES
                        || !matches!(error, RegistryError::Unreachable { .. } | RegistryError::Timeout { .. })
                    {
                        return Err(error);
                    }
                    // A question that got no answer at all has been asked often enough.
                    if matches!(error, RegistryError::Timeout { .. }) && download.received == before {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let found = Digest::from_sha256(std::mem::take(&mut download.hasher).finalize().into());
        if found == *digest {
            return Ok(());
        }
        let host = repository.registry().to_owned();
        Err(RegistryError::Corrupt { host, promised: digest.to_string(), found: found.into() })
    }

    /// One request for what is missing.
    fn download_once(
        &self,
        repository: &Repository,
        digest: &Digest,
        download: &mut Download,
        write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), RegistryError> {
        let left = download.promised.map_or(download.bytes_max, |size| size.saturating_sub(download.received));
        let mut ask = Ask::new(Method::GET, self.uri(repository, &format!("blobs/{digest}"))?);
        ask = ask.expecting(left).header(header::ACCEPT_ENCODING, "identity")?;
        if download.received > 0 {
            ask = ask.header(header::RANGE, &format!("bytes={}-", download.received))?;
        }
        let answer = self.call(repository, Wish::Pull, ask)?;
        let skip = match answer.status {
            StatusCode::OK => download.received,
            StatusCode::PARTIAL_CONTENT if starts_at(&answer, download.received) => 0,
            _ if answer.status.is_success() || answer.status == StatusCode::RANGE_NOT_SATISFIABLE => {
                let (host, promised) = (answer.host(), digest.to_string());
                return Err(RegistryError::Corrupt { host, promised, found: "another part than was asked for".into() });
            }
            _ => return Err(answer.refused(&format!("read {digest}"))),
        };
        download.take(answer, skip, digest, write)
    }

    /// Stores a blob, unless it is there; taken from one of the repositories in `mount` where the registry can do that.
    /// `progress` is told how many bytes have been sent.
    pub fn push_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: Source<'_>,
        mount: &[Repository],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Pushed, RegistryError> {
        let size = source.len()?;
        if self.has(repository, digest, Wish::Push)?.is_some() {
            progress(size);
            return Ok(Pushed::Present);
        }
        let mut session = None;
        for other in mount.iter().filter(|other| other.registry() == repository.registry() && *other != repository) {
            match self.open_upload(repository, Wish::Mount(other), &format!("?mount={digest}&from={}", other.name())) {
                Ok(None) => {
                    progress(size);
                    return Ok(Pushed::Mounted);
                }
                Ok(opened) => {
                    session = opened;
                    break;
                }
                // The other repository may not be ours to read.
                Err(RegistryError::Unauthorised { .. } | RegistryError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let session = match session {
            Some(session) => session,
            None => match self.open_upload(repository, Wish::Push, "")? {
                Some(session) => session,
                None => return Err(no_session(repository)),
            },
        };
        self.upload(repository, digest, source, size, session, progress)?;
        progress(size);
        Ok(Pushed::Sent)
    }

    /// Begins an upload: the session, or nothing where the blob has been mounted.
    fn open_upload(
        &self,
        repository: &Repository,
        wish: Wish<'_>,
        query: &str,
    ) -> Result<Option<Session>, RegistryError> {
        let uri = self.uri(repository, &format!("blobs/uploads/{query}"))?;
        let answer = self.call(repository, wish, Ask::new(Method::POST, uri))?;
        match answer.status {
            StatusCode::CREATED if !query.is_empty() => {
                answer.finish();
                Ok(None)
            }
            StatusCode::ACCEPTED => {
                let location = location(&answer)?;
                let minimum = answer.text("oci-chunk-min-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                answer.finish();
                Ok(Some(Session { location, minimum }))
            }
            _ => Err(answer.refused(&format!("store a blob in {repository}"))),
        }
    }

    fn upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: Source<'_>,
        size: u64,
        mut session: Session,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let mut piece = self.0.options.piece_bytes.max(1);
        let mut tries = 0;
        loop {
            tries += 1;
            let whole = size <= piece;
            let result = if whole {
                self.close_upload(repository, digest, &session.location, source.part(0, size))
            } else {
                self.upload_pieces(repository, digest, source, size, &session, piece, progress)
            };
            let may_go_on = tries < TRIES;
            match result {
                // A proxy on the way takes only smaller ones.
                Err(RegistryError::Refused { status: 413, .. }) if may_go_on && piece > 1 << 20 => {
                    piece = (piece.min(size) / 8).max(1 << 20);
                }
                // Whether it arrived or not, a second upload of the same is the same.
                Err(error) if may_go_on && is_broken(&error) => {
                    if self.has(repository, digest, Wish::Push)?.is_some() {
                        return Ok(());
                    }
                }
                ended => return ended,
            }
            session = self.open_upload(repository, Wish::Push, "")?.ok_or_else(|| no_session(repository))?;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one transfer, which stay together here")]
    fn upload_pieces(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: Source<'_>,
        size: u64,
        session: &Session,
        piece: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let piece = piece.max(session.minimum);
        let (mut at, mut place, mut in_vain) = (0, session.location.clone(), 0);
        while at < size {
            let length = piece.min(size - at);
            let ask = Ask::new(Method::PATCH, place.clone()).payload(OCTETS, source.part(at, length))?;
            let ask = ask.header(header::CONTENT_RANGE, &format!("{at}-{}", at + length - 1))?;
            let sent = self.call(repository, Wish::Push, ask);
            (at, place) = match sent {
                Ok(answer) if answer.status == StatusCode::ACCEPTED || answer.status == StatusCode::NO_CONTENT => {
                    in_vain = 0;
                    let next = (at + length, location(&answer)?);
                    answer.finish();
                    next
                }
                Ok(answer) if answer.status == StatusCode::RANGE_NOT_SATISFIABLE && in_vain < TRIES => {
                    answer.finish();
                    in_vain += 1;
                    self.upload_state(repository, &place, size)?
                }
                Ok(answer) => return Err(answer.refused(&format!("store {digest}"))),
                Err(error) if is_broken(&error) && in_vain < TRIES => {
                    in_vain += 1;
                    self.upload_state(repository, &place, size)?
                }
                Err(error) => return Err(error),
            };
            progress(at);
        }
        self.close_upload(repository, digest, &place, Payload::Nothing)
    }

    /// How much of an upload has arrived, and where it goes on.
    fn upload_state(&self, repository: &Repository, place: &Uri, size: u64) -> Result<(u64, Uri), RegistryError> {
        let answer = self.call(repository, Wish::Push, Ask::new(Method::GET, place.clone()))?;
        if answer.status != StatusCode::NO_CONTENT && answer.status != StatusCode::ACCEPTED {
            return Err(answer.refused("continue an upload"));
        }
        let end = answer.text(header::RANGE).and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
        // `0-0` stands for nothing and for one byte; nothing is the safe one.
        let at = end.filter(|end| *end > 0).map_or(0, |end| end + 1).min(size);
        let next = if answer.headers.contains_key(header::LOCATION) { location(&answer)? } else { place.clone() };
        answer.finish();
        Ok((at, next))
    }

    fn close_upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        place: &Uri,
        payload: Payload<'_>,
    ) -> Result<(), RegistryError> {
        let glue = if place.query().is_some() { '&' } else { '?' };
        let uri = format!("{place}{glue}digest={digest}").parse().map_err(|_| no_session(repository))?;
        let ask = Ask::new(Method::PUT, uri).payload(OCTETS, payload)?;
        let answer = self.call(repository, Wish::Push, ask)?;
        if !matches!(answer.status, StatusCode::CREATED | StatusCode::NO_CONTENT) {
            return Err(answer.refused(&format!("store {digest}")));
        }
        answer.finish();
        Ok(())
    }
}

/// An upload that has begun.
struct Session {
    location: Uri,
    minimum: u64,
}

/// A blob on its way to us.
struct Download {
    hasher: Sha256,
    received: u64,
    promised: Option<u64>,
    bytes_max: u64,
}

impl Download {
    fn take(
        &mut self,
        answer: Answer,
        mut skip: u64,
        digest: &Digest,
        write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), RegistryError> {
        let host = answer.host();
        let expected = self.promised.map(|size| size - self.received + skip);
        let wrong = |found: String| RegistryError::Corrupt { host: host.clone(), promised: digest.to_string(), found };
        if let (Some(expected), Some(length)) = (expected, answer.length())
            && expected != length
        {
            return Err(wrong(format!("{length} bytes instead of {expected}")));
        }
        let mut reader = answer.reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = reader.read(&mut buffer).map_err(|error| broken(&host, &error))?;
            if read == 0 {
                break;
            }
            let part = buffer.get(..read).unwrap_or_default();
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(part.len());
            skip -= known as u64;
            let part = part.get(known..).unwrap_or_default();
            if self.received + part.len() as u64 > self.bytes_max {
                return Err(match self.promised {
                    Some(size) => wrong(format!("more than {size} bytes")),
                    None => RegistryError::TooLarge {
                        what: format!("blob {digest}"),
                        limit: format!("{} bytes", self.bytes_max),
                    },
                });
            }
            write(part).map_err(|source| RegistryError::File {
                action: "write a blob to",
                path: digest.as_str().into(),
                source,
            })?;
            self.hasher.update(part);
            self.received += part.len() as u64;
        }
        if self.promised.is_some_and(|size| self.received < size) {
            return Err(RegistryError::Unreachable { host, why: "its answer broke off".to_owned() });
        }
        Ok(())
    }
}

/// Hashes what the file holds; what is longer than the blob can't be its beginning.
fn begin(file: &mut File, size: u64) -> io::Result<(Sha256, u64)> {
    let (mut hasher, mut received) = (Sha256::new(), 0);
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher, received));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        received += read as u64;
    }
}

/// Whether a part begins where it was asked for (RFC 9110, section 14.4).
fn starts_at(answer: &Answer, at: u64) -> bool {
    let range = answer.text(header::CONTENT_RANGE).and_then(|text| text.strip_prefix("bytes "));
    range.and_then(|range| range.split_once('-')?.0.parse().ok()) == Some(at)
}

fn location(answer: &Answer) -> Result<Uri, RegistryError> {
    let nowhere = || RegistryError::Invalid {
        host: answer.host(),
        what: "an upload",
        why: "it does not say where it goes on".to_owned(),
    };
    target(&answer.uri, answer.text(header::LOCATION).ok_or_else(nowhere)?)
}

fn is_broken(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Unreachable { .. } | RegistryError::Timeout { .. })
}

fn no_session(repository: &Repository) -> RegistryError {
    let why = "it does not say where the blob goes".to_owned();
    RegistryError::Invalid { host: repository.registry().to_owned(), what: "an upload", why }
}

//! Uploads over HTTP: in one go, in chunks, resumed, cancelled, or not needed as another repository has the blob.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::Call;
use super::answer::{DIGEST, answer, content_length, received};
use crate::error::{SupplyError, cut};
use crate::registry::access::{Access, Action};
use crate::registry::error::RegistryError;
use crate::registry::name::{Algorithm, ContentDigest, RepositoryName};
use crate::registry::uploads::{Turn, Upload};

/// Bytes that are written and hashed at once, while the next ones are being received.
const BATCH: usize = 1 << 20;
/// What a client has to send at least within the time that it may be silent.
const PROGRESS: usize = 16 << 10;

impl Call {
    pub(super) async fn new_upload(self, name: &RepositoryName, body: &mut Body) -> Result<Response, RegistryError> {
        if let Some(digest) = self.query.get("mount") {
            let digest = ContentDigest::new(digest)?;
            if self.mounted(name, &digest).await? {
                return created(name, &digest);
            }
            // As the specification has it: the upload begins where there is nothing to mount.
            let upload = self.registry.begin(name, digest.algorithm()).await?;
            return accepted(name, &upload, 0);
        }
        let digest = self.query.get("digest").map(ContentDigest::new).transpose()?;
        let algorithm = match self.query.get("digest-algorithm") {
            None => digest.as_ref().map_or(Algorithm::Sha256, ContentDigest::algorithm),
            Some(name) => Algorithm::from_name(name).ok_or_else(|| RegistryError::DigestInvalid {
                why: format!("{:?} is no algorithm that is known: use sha256 or sha512", cut(name, 50)),
            })?,
        };
        self.bounded(0)?;
        let upload = self.registry.begin(name, algorithm).await?;
        let Some(digest) = digest else { return accepted(name, &upload, 0) };
        let registry = self.registry.clone();
        match self.receive(upload.turn().await?, body).await {
            Ok(turn) => {
                registry.finish(name, turn, &digest).await?;
                created(name, &digest)
            }
            // Nobody knows of it, so nobody will go on with it.
            Err(error) => {
                if let Ok(turn) = upload.turn().await {
                    registry.cancel(turn).await?;
                }
                Err(error)
            }
        }
    }

    pub(super) async fn upload(
        self,
        name: &RepositoryName,
        id: &str,
        body: &mut Body,
    ) -> Result<Response, RegistryError> {
        let upload = self.registry.upload(name, id)?;
        let turn = upload.turn().await?;
        let registry = self.registry.clone();
        match self.method {
            Method::GET | Method::HEAD => {
                let headers = progress(name, &upload, turn.received());
                answer(StatusCode::NO_CONTENT, &headers, Body::empty())
            }
            Method::PATCH => {
                self.check_order(turn.received())?;
                let turn = self.receive(turn, body).await?;
                accepted(name, &upload, turn.received())
            }
            Method::PUT => {
                let digest = self.query.get("digest").ok_or_else(|| RegistryError::DigestInvalid {
                    why: "the query has no `digest`, which says what the whole upload is".to_owned(),
                })?;
                let digest = ContentDigest::new(digest)?;
                self.check_order(turn.received())?;
                let mut turn = turn;
                turn.expect(digest.algorithm());
                let turn = self.receive(turn, body).await?;
                registry.finish(name, turn, &digest).await?;
                created(name, &digest)
            }
            Method::DELETE => {
                registry.cancel(turn).await?;
                answer(StatusCode::NO_CONTENT, &[], Body::empty())
            }
            _ => Err(self.unsupported()),
        }
    }

    /// Takes the blob from the repository that the client names, or from any that it may pull from.
    async fn mounted(&self, name: &RepositoryName, digest: &ContentDigest) -> Result<bool, RegistryError> {
        let may =
            |from: &RepositoryName| self.hooks.authorize.access(&self.shown, &Action::Pull(from)) == Access::Allowed;
        let from = match self.query.get("from") {
            Some(from) => Some(RepositoryName::new(from)?).filter(may),
            None => self.registry.holders(digest).await?.into_iter().find(may),
        };
        match from {
            Some(from) => self.registry.mount(name, digest, from).await,
            None => Ok(false),
        }
    }

    /// Refuses a chunk that does not begin where the last one ended, or is not as long as its range says.
    fn check_order(&self, at: u64) -> Result<(), RegistryError> {
        let length = content_length(&self.headers);
        if let Some(range) = self.headers.get(header::CONTENT_RANGE) {
            let range = range.to_str().unwrap_or_default();
            let (first, last) = chunk(range).ok_or_else(|| RegistryError::UploadInvalid {
                why: format!(
                    "`Content-Range` is {:?}: expected the first and the last byte's number, as in `0-1023`",
                    cut(range, 100)
                ),
            })?;
            // A range can't say that nothing is sent; a client that says so by both is understood.
            let sends = !(length == Some(0) && first == at);
            if first != at {
                return Err(RegistryError::OutOfOrder { expected: at, found: format!("begins with byte {first}") });
            }
            let promised = last.checked_sub(first).map(|less| less.saturating_add(1));
            if sends && (promised.is_none() || length.is_some_and(|length| Some(length) != promised)) {
                let why = format!("`Content-Range` is {range}, and `Content-Length` is {}", length.unwrap_or_default());
                return Err(RegistryError::SizeInvalid { why, too_large: false });
            }
        }
        self.bounded(at)
    }

    fn bounded(&self, at: u64) -> Result<(), RegistryError> {
        let max = self.registry.0.settings.blob_bytes_max;
        let total = at.saturating_add(content_length(&self.headers).unwrap_or(0));
        if total > max { Err(too_large(max)) } else { Ok(()) }
    }

    /// Receives the body: what has arrived is written while more arrives, and stays when the client goes away.
    async fn receive(self, turn: Turn, body: &mut Body) -> Result<Turn, RegistryError> {
        let promised = promised(&self.headers);
        let settings = &self.registry.0.settings;
        let (silence_max, bytes_max, begun) = (settings.silence_max, settings.blob_bytes_max, turn.received());
        let mut frames = std::mem::take(body).into_data_stream();
        let mut total = begun;
        let mut writing = append(turn, Vec::new());
        loop {
            // While this arrives, what arrived before it is written.
            let batch = next_batch(&mut frames, silence_max).await;
            let turn = written(writing).await?;
            let (parts, ended) = match batch {
                Ok(batch) => batch,
                Err((parts, error)) => {
                    written(append(turn, parts)).await?;
                    return Err(error);
                }
            };
            total += parts.iter().map(|part| part.len() as u64).sum::<u64>();
            if total > bytes_max {
                self.registry.cancel(turn).await?;
                return Err(too_large(bytes_max));
            }
            writing = append(turn, parts);
            if ended {
                break;
            }
        }
        let turn = written(writing).await?;
        let sent = total - begun;
        match promised {
            Some(promised) if sent != promised => {
                written(spawn_blocking(move || take_back(turn, begun))).await?;
                let why = format!("the range promised {promised} bytes, and {sent} were sent: none of them was taken");
                Err(RegistryError::SizeInvalid { why, too_large: false })
            }
            Some(_) | None => Ok(turn),
        }
    }
}

type Writing = JoinHandle<Result<Turn, SupplyError>>;

/// Writes to an upload, also when the request is gone meanwhile.
fn append(mut turn: Turn, parts: Vec<Bytes>) -> Writing {
    spawn_blocking(move || turn.append(&parts).map(|()| turn))
}

fn take_back(mut turn: Turn, to: u64) -> Result<Turn, SupplyError> {
    turn.cut(to).map(|()| turn)
}

async fn written(writing: Writing) -> Result<Turn, RegistryError> {
    Ok(writing.await.map_err(|_| SupplyError::Stopped)??)
}

/// What arrives next, about as much as is worth writing at once, and whether that was all.
async fn next_batch(
    frames: &mut BodyDataStream,
    silence_max: Duration,
) -> Result<(Vec<Bytes>, bool), (Vec<Bytes>, RegistryError)> {
    let (mut parts, mut bytes, deadline) = (Vec::new(), 0, Instant::now() + silence_max);
    while bytes < BATCH {
        match timeout_at(deadline, frames.next()).await {
            Ok(Some(Ok(part))) => {
                bytes += part.len();
                parts.push(part);
            }
            Ok(Some(Err(error))) => return Err((parts, RegistryError::BrokenOff { why: error.to_string() })),
            Ok(None) => return Ok((parts, true)),
            Err(_) if bytes >= PROGRESS => break,
            Err(_) => return Err((parts, RegistryError::Slow { seconds: silence_max.as_secs() })),
        }
    }
    Ok((parts, false))
}

/// How many bytes the range of a chunk holds, where there is one.
fn promised(headers: &HeaderMap) -> Option<u64> {
    if content_length(headers) == Some(0) {
        return None;
    }
    let (first, last) = chunk(headers.get(header::CONTENT_RANGE)?.to_str().ok()?)?;
    last.checked_sub(first)?.checked_add(1)
}

/// The first and the last byte's number: `^[0-9]+-[0-9]+$`.
fn chunk(range: &str) -> Option<(u64, u64)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (first, last) = range.split_once('-')?;
    Some((number(first)?, number(last)?))
}

fn too_large(max: u64) -> RegistryError {
    RegistryError::SizeInvalid {
        why: format!("a blob may have {max} bytes here, and this one has more"),
        too_large: true,
    }
}

fn progress(name: &RepositoryName, upload: &Upload, bytes: u64) -> Vec<(&'static str, String)> {
    let id = &upload.id;
    vec![
        ("location", format!("/v2/{name}/blobs/uploads/{id}")),
        ("range", received(bytes)),
        ("docker-upload-uuid", id.clone()),
    ]
}

fn accepted(name: &RepositoryName, upload: &Upload, bytes: u64) -> Result<Response, RegistryError> {
    answer(StatusCode::ACCEPTED, &progress(name, upload, bytes), Body::empty())
}

fn created(name: &RepositoryName, digest: &ContentDigest) -> Result<Response, RegistryError> {
    let headers = [(DIGEST, digest.to_string()), ("location", format!("/v2/{name}/blobs/{digest}"))];
    answer(StatusCode::CREATED, &headers, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_numbers_and_nothing_else() {
        assert_eq!(chunk("0-1023"), Some((0, 1023)));
        for bad in ["", "-", "0-", "-1", "a-b", "0-1-2", "+0-1", "bytes 0-1/2", "0 - 1", "99999999999999999999-1"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }
}

//! Blobs over HTTP: whole, in part, and whether they are there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use tokio::task::{JoinHandle, spawn_blocking};

use super::Call;
use super::answer::{DIGEST, answer};
use super::manifests::is_known;
use crate::registry::Blob;
use crate::registry::error::RegistryError;
use crate::registry::name::{ContentDigest, RepositoryName};

/// Bytes that are read at once. One such piece is being read while the one before it is being sent.
const PIECE: u64 = 512 << 10;

/// What part of a blob is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first byte to before the second.
    Of(u64, u64),
    /// None of it is there.
    Outside,
}

impl Call {
    pub(super) async fn blob(self, name: &RepositoryName, digest: &ContentDigest) -> Result<Response, RegistryError> {
        match self.method {
            Method::GET => self.pull_blob(name, digest).await,
            Method::HEAD => {
                let size = self.registry.blob_size(name, digest).await?;
                let mut headers = headers(digest);
                headers.push(("content-length", size.to_string()));
                answer(StatusCode::OK, &headers, Body::empty())
            }
            Method::DELETE => {
                self.registry.delete_blob(name, digest).await?;
                answer(StatusCode::ACCEPTED, &[], Body::empty())
            }
            _ => Err(self.unsupported()),
        }
    }

    async fn pull_blob(self, name: &RepositoryName, digest: &ContentDigest) -> Result<Response, RegistryError> {
        let Blob { file, size } = self.registry.blob(name, digest).await?;
        let mut headers = headers(digest);
        if is_known(&self.headers, &format!("\"{digest}\"")) {
            return answer(StatusCode::NOT_MODIFIED, &headers, Body::empty());
        }
        let (status, start, end) = match part(&self.headers, digest, size) {
            Part::Whole => (StatusCode::OK, 0, size),
            Part::Of(start, end) => {
                headers.push(("content-range", format!("bytes {start}-{}/{size}", end.saturating_sub(1))));
                (StatusCode::PARTIAL_CONTENT, start, end)
            }
            Part::Outside => {
                headers.retain(|(name, _)| *name == "accept-ranges");
                headers.push(("content-range", format!("bytes */{size}")));
                return answer(StatusCode::RANGE_NOT_SATISFIABLE, &headers, Body::empty());
            }
        };
        headers.push(("content-length", (end - start).to_string()));
        answer(status, &headers, content(file, start, end))
    }
}

fn headers(digest: &ContentDigest) -> Vec<(&'static str, String)> {
    vec![
        (DIGEST, digest.to_string()),
        ("etag", format!("\"{digest}\"")),
        ("accept-ranges", "bytes".to_owned()),
        ("content-type", "application/octet-stream".to_owned()),
        // What a digest names never changes.
        ("cache-control", "private, max-age=31536000, immutable".to_owned()),
    ]
}

/// What `Range` asks for (RFC 9110, section 14.2). What is no single range of bytes is not for us: all is sent then.
fn part(headers: &HeaderMap, digest: &ContentDigest, size: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    if text(header::IF_RANGE).is_some_and(|tag| tag != format!("\"{digest}\"")) {
        return Part::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-') else { return Part::Whole };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX));
    match (first, last) {
        ("", "") => Part::Whole,
        ("", count) => match number(count) {
            None => Part::Whole,
            Some(0) => Part::Outside,
            Some(_) if size == 0 => Part::Outside,
            Some(count) => Part::Of(size.saturating_sub(count), size),
        },
        (first, last) => {
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match (number(first), last) {
                (Some(first), Some(last)) if first <= last && first < size => {
                    Part::Of(first, last.saturating_add(1).min(size))
                }
                (Some(_), Some(_)) => Part::Outside,
                (None, _) | (_, None) => Part::Whole,
            }
        }
    }
}

/// A part of a file, read piece by piece.
fn content(file: File, start: u64, end: u64) -> Body {
    let file = Arc::new(file);
    let first = read(&file, start, end);
    Body::from_stream(stream::unfold((file, first, start), move |(file, piece, at)| async move {
        let bytes = match piece?.await.unwrap_or_else(|_| Err(io::Error::other("the reading was stopped"))) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!("a blob can't be read: {error}");
                return Some((Err(error), (file, None, at)));
            }
        };
        let at = at + bytes.len() as u64;
        let next = read(&file, at, end);
        Some((Ok(bytes), (file, next, at)))
    }))
}

/// Begins to read a piece, if there is one left.
fn read(file: &Arc<File>, at: u64, end: u64) -> Option<JoinHandle<io::Result<Bytes>>> {
    let length = usize::try_from(end.saturating_sub(at).min(PIECE)).unwrap_or(usize::MAX);
    let file = Arc::clone(file);
    (length > 0).then(|| {
        spawn_blocking(move || {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, at)?;
            Ok(Bytes::from(piece))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Of, Outside, Whole};

    #[test]
    fn ranges_follow_the_standard() {
        let digest = ContentDigest::new(&format!("sha256:{}", "a".repeat(64))).unwrap();
        let of =
            |range: &str, size| part(&HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]), &digest, size);
        for (range, expected) in [
            ("bytes=0-0", Of(0, 1)),
            ("bytes=2-5", Of(2, 6)),
            ("bytes=5-", Of(5, 10)),
            ("bytes=5-99", Of(5, 10)),
            ("bytes=-3", Of(7, 10)),
            ("bytes=-99", Of(0, 10)),
            ("bytes=0-99999999999999999999999", Of(0, 10)),
            ("bytes=10-", Outside),
            ("bytes=5-0", Outside),
            ("bytes=-0", Outside),
            ("bytes=99999999999999999999999-", Outside),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=0-1,3-4", Whole),
            ("lines=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(of(range, 10), expected, "{range}");
        }
        assert_eq!((of("bytes=0-", 0), of("bytes=-1", 0)), (Outside, Outside));
        let mut headers = HeaderMap::from_iter([(header::RANGE, "bytes=1-2".parse().unwrap())]);
        headers.insert(header::IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(part(&headers, &digest, 10), Whole);
    }
}

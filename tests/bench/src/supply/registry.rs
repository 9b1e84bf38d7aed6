//! A large blob pushed and pulled, and many small requests.

use std::io::{self, Read};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use ureq::http::{Request, Response};
use ureq::{Agent, Body, SendBody};

use super::Extent;
use super::peer::Registry;
use crate::table::{Row, median};

const PEER: &str = "docker-registry";
const SMALL: u32 = 200;
const HEADS: u32 = 2000;

/// What one registry did in one run.
struct Figures {
    push: f64,
    pull: f64,
    small: f64,
    heads: f64,
}

pub(super) fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..extent.runs {
        ours.push(once(&Registry::ours(&extent.prograde)?, extent, run)?);
        theirs.push(once(&Registry::debian()?, extent, run)?);
    }
    let row = |name: &str, unit, figure: fn(&Figures) -> f64| {
        let of = |all: &[Figures]| median(all.iter().map(figure).collect());
        let (value, peer) = (of(&ours), of(&theirs));
        Row::plain(name, value, unit).beside(PEER, peer).judged("as the peer", value >= 0.9 * peer)
    };
    let mib = extent.blob_mib;
    Ok(vec![
        row(&format!("a blob of {mib} MiB pushed"), "MB/s", |figures| figures.push),
        row(&format!("a blob of {mib} MiB pulled"), "MB/s", |figures| figures.pull),
        row("blobs of 4 KiB pushed by one client", "a second", |figures| figures.small),
        row("HEAD of a manifest by one client", "a second", |figures| figures.heads),
    ])
}

fn once(registry: &Registry, extent: &Extent, run: u32) -> anyhow::Result<Figures> {
    let client = Client::new(registry);
    let bytes = extent.blob_mib << 20;
    let seed = u64::from(run) + 1;
    let digest = digest_of(Content::new(bytes, seed))?;
    let (push, ()) = timed(|| client.push(&digest, Content::new(bytes, seed), bytes))?;
    let (pull, read) = timed(|| {
        let mut answer = client.call("GET", &format!("/v2/bench/blobs/{digest}"), None)?;
        Ok(io::copy(&mut answer.body_mut().with_config().limit(u64::MAX).reader(), &mut io::sink())?)
    })?;
    ensure!(read == bytes, "{read} bytes came back instead of {bytes}");
    let small: Vec<Vec<u8>> = (0..SMALL).map(|number| number.to_le_bytes().repeat(1024)).collect();
    let digests = small.iter().map(|content| digest_of(&content[..])).collect::<Result<Vec<_>, _>>()?;
    let (pushed, ()) = timed(|| {
        small.iter().zip(&digests).try_for_each(|(content, digest)| {
            client.push(digest, io::Cursor::new(content.clone()), content.len() as u64)
        })
    })?;
    let config = digests.first().context("no blob")?;
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":4096}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{config}","size":4096}}]}}"#
    );
    client.call("PUT", "/v2/bench/manifests/v1", Some(SendBody::from_owned_reader(io::Cursor::new(image))))?;
    let (asked, ()) =
        timed(|| (0..HEADS).try_for_each(|_| client.call("HEAD", "/v2/bench/manifests/v1", None).map(drop)))?;
    #[expect(clippy::cast_precision_loss, reason = "a size in bytes, for a rate")]
    let mega = bytes as f64 / 1e6;
    Ok(Figures {
        push: mega / push,
        pull: mega / pull,
        small: f64::from(SMALL) / pushed,
        heads: f64::from(HEADS) / asked,
    })
}

struct Client<'a> {
    agent: Agent,
    registry: &'a Registry,
}

impl<'a> Client<'a> {
    fn new(registry: &'a Registry) -> Self {
        let agent = Agent::config_builder().http_status_as_error(true).proxy(None).build().new_agent();
        Self { agent, registry }
    }

    fn call(&self, method: &str, path: &str, body: Option<SendBody<'static>>) -> anyhow::Result<Response<Body>> {
        self.sized(method, path, body, None)
    }

    fn sized(
        &self,
        method: &str,
        path: &str,
        body: Option<SendBody<'static>>,
        bytes: Option<u64>,
    ) -> anyhow::Result<Response<Body>> {
        let url = if path.starts_with('/') { format!("{}{path}", self.registry.url) } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(url);
        if !self.registry.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.registry.token));
        }
        if path.contains("/manifests/") {
            // Debian's knows no manifest of a kind that it was not told to be accepted.
            let name = if method == "PUT" { "content-type" } else { "accept" };
            request = request.header(name, "application/vnd.oci.image.manifest.v1+json");
        }
        if let Some(bytes) = bytes {
            request = request.header("content-length", bytes);
        }
        match body {
            Some(body) => Ok(self.agent.run(request.body(body)?)?),
            None => Ok(self.agent.run(request.body(())?)?),
        }
    }

    /// As clients do: a session, then the blob as its end.
    fn push(&self, digest: &str, content: impl Read + Send + 'static, bytes: u64) -> anyhow::Result<()> {
        let begun =
            self.sized("POST", "/v2/bench/blobs/uploads/", Some(SendBody::from_owned_reader(io::empty())), Some(0))?;
        let location = begun.headers().get("location").context("no location")?.to_str()?;
        let more = if location.contains('?') { '&' } else { '?' };
        let put = format!("{location}{more}digest={digest}");
        self.sized("PUT", &put, Some(SendBody::from_owned_reader(content)), Some(bytes)).map(drop)
    }
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(f64, T)> {
    let begun = Instant::now();
    let result = work()?;
    Ok((begun.elapsed().as_secs_f64(), result))
}

fn digest_of(mut content: impl Read) -> anyhow::Result<String> {
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(format!("sha256:{}", hex::encode(hasher.finalize()))),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Bytes that no file system makes smaller, made as fast as they are read: one block over and over, counted.
struct Content {
    block: Vec<u8>,
    at: u64,
    bytes: u64,
}

impl Content {
    fn new(bytes: u64, seed: u64) -> Self {
        let mut state = seed;
        let block = (0..(1 << 20) + 8)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect();
        Self { block, at: 0, bytes }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.block.len() as u64;
        let from = usize::try_from(self.at % size).unwrap_or_default();
        let left = usize::try_from(self.bytes - self.at).unwrap_or(usize::MAX);
        let length = buffer.len().min(self.block.len() - from).min(left);
        let (to, source) = (buffer.get_mut(..length), self.block.get(from..from + length));
        if let (Some(to), Some(source)) = (to, source) {
            to.copy_from_slice(source);
        }
        self.at += length as u64;
        Ok(length)
    }
}

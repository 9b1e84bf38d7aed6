//! Git's smart HTTP protocol (`gitprotocol-http`): what an HTTP handler needs for `info/refs`, `git-upload-pack` and
//! `git-receive-pack`. Invariant: bodies are streamed and bounded, and the process ends with the request.

use std::io::Write as _;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flate2::write::GzDecoder;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::task::JoinSet;

use super::write::person;
use super::{FolderRules, GitError, MAIN, Repository, command, folders};

/// Who moved a reference, where the push did not say.
pub(crate) const NOBODY: &str = "git push";
/// The largest answer of `info/refs`.
const ADVERTISEMENT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The largest list of references in a push.
const COMMANDS_BYTES_MAX: usize = 1024 * 1024;
/// The largest request to `git-upload-pack`: what a client wants and has.
const WANTS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What a push may have beside its pack.
const PUSH_OVERHEAD_BYTES: u64 = 2 * 1024 * 1024;
/// How long a client may be silent while it sends.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// How long one request may take.
const RPC_TIMEOUT: Duration = Duration::from_hours(1);
/// How much of a body is handled at once. A compressed piece grows to at most about a thousand times its size.
const CHUNK_BYTES: usize = 8 * 1024;

/// The two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitService {
    /// Fetching.
    UploadPack,
    /// Pushing.
    ReceivePack,
}

impl GitService {
    /// The service of a `service` parameter or of the last part of a path.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack].into_iter().find(|service| service.name() == name)
    }

    /// `git-upload-pack` or `git-receive-pack`: also in `application/x-<name>-request`, `-result` and `-advertisement`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }
}

/// What a push may do.
#[derive(Debug, Clone)]
pub struct PushRules {
    /// Branches that may be neither deleted nor moved other than forward. A push that touches one of them is held to
    /// that as a whole.
    pub protected_branches: Vec<String>,
    /// The largest pack, in bytes.
    pub pack_bytes_max: u64,
    /// What is taken at all.
    pub takes: Takes,
}

/// What a push may change, and what is said to whoever pushes something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takes {
    /// Everything.
    All,
    /// Only `main`, and only such that each folder that changes, two parts deep, becomes one of these.
    Folders(FolderRules),
    /// Nothing.
    Nothing(String),
}

impl Default for PushRules {
    /// `main` is protected; packs have at most 512 MiB.
    fn default() -> Self {
        Self { protected_branches: vec![MAIN.to_owned()], pack_bytes_max: 512 * 1024 * 1024, takes: Takes::All }
    }
}

/// How a request came.
#[derive(Debug, Clone, Default)]
pub struct RpcOptions {
    /// Whether it has `Content-Encoding: gzip`.
    pub gzip: bool,
    /// Its `Git-Protocol` header.
    pub protocol: Option<String>,
    /// What it may do, where it is a push.
    pub rules: PushRules,
    /// Who pushes, where the request says so.
    pub pusher: Option<String>,
}

/// One reference that a push asks to change. Whether it was changed is seen in the repository afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The full name, such as `refs/heads/main`.
    pub name: String,
    /// Where the client saw it; all zeros where it is to be made.
    pub old: String,
    /// Where it is to point; all zeros where it is to be deleted.
    pub new: String,
}

impl Repository {
    /// The body of the answer to `GET info/refs?service=...`, for `application/x-<service>-advertisement`.
    /// `protocol` is the request's `Git-Protocol` header.
    pub async fn advertise_refs(&self, service: GitService, protocol: Option<&str>) -> Result<Vec<u8>, GitError> {
        let protocol = checked_protocol(protocol)?;
        let command = self.service(service, &[], &["--advertise-refs"], protocol);
        let refs = command::answer(command, None, ADVERTISEMENT_BYTES_MAX, command::COMMAND_TIMEOUT)
            .await?
            .expect_success("list the references")?;
        let mut body = Vec::new();
        // Version 2 has no service announcement (gitprotocol-v2, "HTTP Transport").
        if !protocol.is_some_and(|protocol| protocol.split(':').any(|part| part == "version=2")) {
            let line = format!("# service={}\n", service.name());
            body.extend(format!("{:04x}{line}0000", line.len() + 4).into_bytes());
        }
        body.extend(refs);
        Ok(body)
    }

    /// Answers `POST git-upload-pack` or `POST git-receive-pack`. What comes out of [`Rpc`] is the answer's body, for
    /// `application/x-<service>-result`.
    pub async fn rpc(
        &self,
        service: GitService,
        body: impl AsyncRead + Send + Unpin + 'static,
        options: RpcOptions,
    ) -> Result<Rpc, GitError> {
        let protocol = checked_protocol(options.protocol.as_deref())?;
        let limit = match service {
            GitService::UploadPack => WANTS_BYTES_MAX,
            GitService::ReceivePack => options.rules.pack_bytes_max.saturating_add(PUSH_OVERHEAD_BYTES),
        };
        let mut body = Body::new(body, options.gzip, limit);
        let (head, updates) = match service {
            GitService::UploadPack => (Vec::new(), Vec::new()),
            GitService::ReceivePack => read_commands(&mut body).await?,
        };
        let mut settings = settings(service, &options.rules, &updates);
        let hooks = match service {
            GitService::ReceivePack => folders::hooks(&self.dir, &options.rules.takes)?,
            GitService::UploadPack => None,
        };
        settings.extend(hooks.iter().map(|dir| format!("core.hooksPath={}", dir.path().display())));
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let mut command = self.service(service, &settings, &[], protocol);
        // As `git http-backend` has it: then the log of the reference says who moved it.
        command.env("GIT_COMMITTER_NAME", person(options.pusher.as_deref().unwrap_or(NOBODY), NOBODY));
        command.env("GIT_COMMITTER_EMAIL", NOBODY);
        command.stdin(Stdio::piped());
        let mut running = command::Running::start(command)?;
        let (Some(stdin), Some(stdout)) = (running.child.stdin.take(), running.child.stdout.take()) else {
            return Err(GitError::Answer { what: "answer a client" });
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // The hook is there for as long as Git may run it.
            let _hooks = hooks;
            attend(running, stdin, head, body).await
        });
        Ok(Rpc { stdout, tasks, updates })
    }

    fn service(
        &self,
        service: GitService,
        settings: &[&str],
        flags: &[&str],
        protocol: Option<&str>,
    ) -> tokio::process::Command {
        let mut arguments = vec![service.command(), "--stateless-rpc"];
        arguments.extend(flags);
        let mut command = command::command(&self.dir, settings, arguments);
        command.arg("--end-of-options").arg(&self.dir);
        if let Some(protocol) = protocol {
            command.env("GIT_PROTOCOL", protocol);
        }
        command
    }
}

/// `Git-Protocol` is handed to Git as it is, so it may only be what it is meant to be: `key=value` pairs with `:`.
fn checked_protocol(header: Option<&str>) -> Result<Option<&str>, GitError> {
    match header {
        Some(text) if text.len() > 256 || !text.chars().all(|c| c.is_ascii_alphanumeric() || "=:.-_".contains(c)) => {
            Err(GitError::name("Git-Protocol header", text))
        }
        Some("") | None => Ok(None),
        Some(text) => Ok(Some(text)),
    }
}

fn settings(service: GitService, rules: &PushRules, updates: &[RefUpdate]) -> Vec<String> {
    match service {
        GitService::UploadPack => vec!["uploadpack.allowFilter=true".into()],
        GitService::ReceivePack => {
            let protected = updates.iter().any(|update| {
                update
                    .name
                    .strip_prefix("refs/heads/")
                    .is_some_and(|name| rules.protected_branches.iter().any(|p| p == name))
            });
            let mut all = vec![
                format!("receive.denyDeletes={protected}"),
                format!("receive.denyNonFastForwards={protected}"),
                format!("receive.maxInputSize={}", rules.pack_bytes_max),
                format!("core.logAllRefUpdates={}", matches!(rules.takes, Takes::Folders(_))),
                "receive.autogc=false".into(),
                "receive.fsckObjects=true".into(),
            ];
            // Old repositories have these harmless mistakes; refusing them would refuse the repository for ever.
            for mistake in ["zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate"] {
                all.push(format!("receive.fsck.{mistake}=warn"));
            }
            all
        }
    }
}

/// A request's body, decompressed and counted.
struct Body<R> {
    from: R,
    decoder: Option<GzDecoder<Vec<u8>>>,
    left: u64,
    limit: u64,
}

impl<R: AsyncRead + Unpin> Body<R> {
    fn new(from: R, gzip: bool, limit: u64) -> Self {
        Self { from, decoder: gzip.then(|| GzDecoder::new(Vec::new())), left: limit, limit }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, GitError> {
        let pipe = |source| GitError::Pipe { source };
        loop {
            let mut piece = vec![0; CHUNK_BYTES];
            let read = tokio::time::timeout(IDLE_TIMEOUT, self.from.read(&mut piece))
                .await
                .map_err(|_| GitError::Timeout { seconds: IDLE_TIMEOUT.as_secs() })?
                .map_err(pipe)?;
            piece.truncate(read);
            let piece = match &mut self.decoder {
                None => piece,
                Some(decoder) => {
                    if read == 0 {
                        decoder.try_finish().map_err(pipe)?;
                    } else {
                        decoder.write_all(&piece).map_err(pipe)?;
                    }
                    std::mem::take(decoder.get_mut())
                }
            };
            let size = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.left =
                self.left.checked_sub(size).ok_or(GitError::TooLarge { what: "the request", limit: self.limit })?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if read == 0 {
                return Ok(None);
            }
        }
    }
}

/// Reads the references that a push asks to change (gitprotocol-pack, "Reference Update Request"): pkt-lines up to a
/// flush. Answers with all that was read, too, because Git needs it.
async fn read_commands<R: AsyncRead + Unpin>(body: &mut Body<R>) -> Result<(Vec<u8>, Vec<RefUpdate>), GitError> {
    let mut head = Vec::new();
    let mut updates = Vec::new();
    let mut at = 0;
    loop {
        match pkt_line(head.get(at..).unwrap_or_default())? {
            PktLine::Flush => return Ok((head, updates)),
            PktLine::Line(line, size) => {
                updates.extend(update(line)?);
                at += size;
            }
            PktLine::Incomplete => match body.next().await? {
                Some(piece) => head.extend(piece),
                None if head.is_empty() => return Ok((head, updates)),
                None => return Err(GitError::name("push", "the list of references ends early")),
            },
        }
        if at > COMMANDS_BYTES_MAX {
            return Err(GitError::TooLarge { what: "the list of references", limit: COMMANDS_BYTES_MAX as u64 });
        }
    }
}

enum PktLine<'a> {
    Flush,
    Line(&'a [u8], usize),
    Incomplete,
}

/// A pkt-line (gitprotocol-common): four hex digits of length, which count themselves, and the content.
fn pkt_line(bytes: &[u8]) -> Result<PktLine<'_>, GitError> {
    let wrong = || GitError::name("push", "a line's length is not four hex digits");
    let Some(digits) = bytes.get(..4) else { return Ok(PktLine::Incomplete) };
    let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
    match usize::from_str_radix(digits, 16).map_err(|_| wrong())? {
        0 => Ok(PktLine::Flush),
        1..=3 => Err(wrong()),
        size => Ok(bytes.get(4..size).map_or(PktLine::Incomplete, |line| PktLine::Line(line, size))),
    }
}

/// `old SP new SP name [NUL capabilities]`; `shallow` lines change nothing.
fn update(line: &[u8]) -> Result<Option<RefUpdate>, GitError> {
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|_| GitError::name("push", "a reference's name is not UTF-8"))?;
    if text.starts_with("shallow ") {
        return Ok(None);
    }
    match text.trim_end_matches('\n').splitn(3, ' ').collect::<Vec<_>>()[..] {
        [old, new, name] => Ok(Some(RefUpdate { name: name.into(), old: old.into(), new: new.into() })),
        _ => Err(GitError::name("push", text)),
    }
}

/// Gives the process its input and waits for its end.
async fn attend<R: AsyncRead + Unpin>(
    mut running: command::Running,
    stdin: ChildStdin,
    head: Vec<u8>,
    body: Body<R>,
) -> Result<(), GitError> {
    let stderr = running.child.stderr.take();
    let work = async {
        let errors = async {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                (&mut stderr)
                    .take(16 * 1024)
                    .read_to_end(&mut text)
                    .await
                    .map_err(|source| GitError::Pipe { source })?;
                tokio::io::copy(&mut stderr, &mut tokio::io::sink())
                    .await
                    .map_err(|source| GitError::Pipe { source })?;
            }
            Ok(String::from_utf8_lossy(&text).trim().to_owned())
        };
        let ((), stderr) = tokio::try_join!(feed(stdin, head, body), errors)?;
        let status = running.child.wait().await.map_err(|source| GitError::Pipe { source })?;
        if status.success() {
            Ok(())
        } else {
            Err(GitError::Failed { what: "answer a client", code: status.code(), stderr })
        }
    };
    tokio::time::timeout(RPC_TIMEOUT, work).await.map_err(|_| GitError::Timeout { seconds: RPC_TIMEOUT.as_secs() })?
}

/// Writes the request to the process. Where the process ends early, the rest is read and thrown away, so that the client
/// gets to read why.
async fn feed<R: AsyncRead + Unpin>(stdin: ChildStdin, head: Vec<u8>, mut body: Body<R>) -> Result<(), GitError> {
    let mut to = Some(stdin);
    let mut piece = Some(head);
    while let Some(bytes) = piece {
        if let Some(stdin) = &mut to {
            match stdin.write_all(&bytes).await {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => to = None,
                Err(source) => return Err(GitError::Pipe { source }),
            }
        }
        piece = body.next().await?;
    }
    Ok(())
}

/// A request in progress: reading it gives the answer's body. Dropping it ends the process.
///
/// The answer ends with an error where the exchange was cut off. Where Git itself refuses, the client is told in the
/// answer, and it ends as any other.
#[derive(Debug)]
pub struct Rpc {
    stdout: ChildStdout,
    tasks: JoinSet<Result<(), GitError>>,
    updates: Vec<RefUpdate>,
}

impl Rpc {
    /// The references that a push asks to change; none for a fetch.
    pub fn updates(&self) -> &[RefUpdate] {
        &self.updates
    }
}

impl AsyncRead for Rpc {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.capacity() == before {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.tasks.poll_join_next(cx)) {
            None | Some(Ok(Ok(()))) => Poll::Ready(Ok(())),
            Some(Ok(Err(error @ GitError::Failed { .. }))) => {
                tracing::warn!(%error, "git refused a client");
                Poll::Ready(Ok(()))
            }
            Some(Ok(Err(error))) => Poll::Ready(Err(std::io::Error::other(error))),
            Some(Err(error)) => Poll::Ready(Err(std::io::Error::other(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn commands(bytes: &[u8]) -> Result<Vec<RefUpdate>, GitError> {
        let mut body = Body::new(std::io::Cursor::new(bytes.to_vec()), false, 1 << 20);
        read_commands(&mut body).await.map(|(_, updates)| updates)
    }

    #[tokio::test]
    async fn pushed_references_are_known_before_git_starts() {
        let line = "a b refs/heads/main\0report-status";
        let text = format!("{:04x}{line}{:04x}shallow c0000PACK", line.len() + 4, 13);
        let updates = commands(text.as_bytes()).await.unwrap();
        assert_eq!(updates, [RefUpdate { name: "refs/heads/main".into(), old: "a".into(), new: "b".into() }]);
        assert_eq!(commands(b"0000").await.unwrap(), []);
        assert_eq!(commands(b"").await.unwrap(), []);
        for bad in
            [&b"zzzz"[..], b"0001", b"0010a", b"0008abcd0000", b"\xff\xff\xff\xff", b"000a\xff\xff\xff\xff\xff\xff"]
        {
            assert!(commands(bad).await.is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn bodies_are_bounded_also_when_compressed() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 4 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        let mut body = Body::new(std::io::Cursor::new(bomb), true, 1 << 20);
        let error = loop {
            match body.next().await {
                Ok(piece) => assert!(piece.is_some(), "the whole bomb was read"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
        let mut cut = Body::new(std::io::Cursor::new(b"\x1f\x8b\x08".to_vec()), true, 100);
        assert!(cut.next().await.is_err());
    }

    #[test]
    fn the_protocol_header_is_checked() {
        assert_eq!(checked_protocol(Some("version=2")).unwrap(), Some("version=2"));
        assert!(checked_protocol(Some("version=2\nX")).is_err());
        assert!(checked_protocol(Some(&"a".repeat(300))).is_err());
    }

    #[test]
    fn only_pushes_to_protected_branches_are_held_to_their_rules() {
        let update = |name: &str| vec![RefUpdate { name: name.into(), old: String::new(), new: String::new() }];
        let denies = |name| {
            settings(GitService::ReceivePack, &PushRules::default(), &update(name))
                .contains(&"receive.denyNonFastForwards=true".into())
        };
        assert!(denies("refs/heads/main") && !denies("refs/heads/topic") && !denies("refs/tags/main"));
    }
}

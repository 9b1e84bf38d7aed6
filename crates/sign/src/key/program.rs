//! A signing program: the way to keys that never leave where they are, such as a KMS or a PKCS #11 token.
//!
//! The program is given the SHA-256 of the message, 32 bytes, on its standard input and writes the signature to its standard
//! output: DER for ECDSA, the plain number for RSA. It ends with 0 within the time that it has. What it writes is checked
//! with the public key before it is used, so a program that signs with another key is found out at once.

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Algorithm, KeyError, PublicKey, Signer, file};

/// The longest signature of RSA with 8192 bits is 1 KiB.
const SIGNATURE_BYTES_MAX: u64 = 4 * 1024;
/// How much of what the program says on its standard error is shown.
const TOLD_BYTES_MAX: u64 = 2 * 1024;
const TIMEOUT_MS: i64 = 30_000;
const TIMEOUT_MS_MAX: i64 = 600_000;

/// The file that describes a program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    /// The program: a name that is looked up in `PATH`, or a path.
    program: String,
    #[serde(default)]
    arguments: Vec<String>,
    /// The public key's file, from the folder of this one.
    public_key: String,
    timeout: Option<String>,
}

/// A program that signs.
#[derive(Debug)]
pub struct ProgramSigner {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
    public: PublicKey,
}

impl ProgramSigner {
    /// A program with its arguments; `timeout` is how long one signature may take.
    pub fn new(
        program: String,
        arguments: Vec<String>,
        public: PublicKey,
        timeout: Duration,
    ) -> Result<Self, KeyError> {
        if public.algorithm() == Algorithm::Ed25519 {
            let why =
                "an Ed25519 key signs the whole message, but a signing program is given its digest only".to_owned();
            return Err(KeyError::Program { program, why });
        }
        Ok(Self { program, arguments, timeout, public })
    }

    /// Reads the YAML that describes a program; `path` is where it stands.
    pub fn from_yaml(path: &Path, text: &str) -> Result<Self, KeyError> {
        let name = path.display().to_string();
        let described: Described =
            prograde_yaml::decode(&name, text).map_err(|found| KeyError::form(&name, found.to_string()))?;
        let timeout = match described.timeout.as_deref() {
            None => TIMEOUT_MS,
            Some(text) => {
                prograde_model::duration::parse(text).filter(|ms| *ms <= TIMEOUT_MS_MAX).ok_or_else(|| {
                    KeyError::form(&name, format!("`timeout: {text}` is no duration of at most 10m, such as 30s"))
                })?
            }
        };
        let key = path.parent().unwrap_or(Path::new("")).join(&described.public_key);
        let public = PublicKey::from_pem(&key.display().to_string(), &file::read(&key)?)?;
        let timeout = Duration::from_millis(timeout.unsigned_abs());
        Self::new(described.program, described.arguments, public, timeout)
    }

    fn failed(&self, why: impl Into<String>) -> KeyError {
        KeyError::Program { program: self.program.clone(), why: why.into() }
    }
}

impl Signer for ProgramSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.failed(format!("it can't be started: {error}")))?;
        let answer = ask(&mut child, Sha256::digest(message).to_vec(), self.timeout);
        if answer.is_none() {
            // It has ended by itself if this fails.
            let _ended = child.kill();
        }
        let status = child.wait().map_err(|error| self.failed(error.to_string()))?;
        let (signature, told) =
            answer.ok_or_else(|| self.failed(format!("it did not end within {:?}", self.timeout)))?;
        if signature.len() as u64 > SIGNATURE_BYTES_MAX {
            return Err(self.failed(format!("it wrote more than {SIGNATURE_BYTES_MAX} bytes")));
        }
        if !status.success() {
            return Err(self.failed(format!("it ended with {status}: {}", String::from_utf8_lossy(&told).trim())));
        }
        if !self.public.verify(message, &signature) {
            return Err(self.failed("what it wrote is no signature of its public key"));
        }
        Ok(signature)
    }
}

/// What a program writes, and what it says; nothing when it takes too long. Threads that are left behind end with the
/// program's pipes.
fn ask(child: &mut Child, digest: Vec<u8>, timeout: Duration) -> Option<(Vec<u8>, Vec<u8>)> {
    let (stdin, stdout, stderr) = (child.stdin.take()?, child.stdout.take()?, child.stderr.take()?);
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdin = stdin;
        // A program may answer without reading; whether its answer is right is checked with the public key.
        let _closed = stdin.write_all(&digest);
        drop(stdin);
        let told = std::thread::spawn(move || bounded(stderr, TOLD_BYTES_MAX));
        let signature = bounded(stdout, SIGNATURE_BYTES_MAX + 1);
        let told = told.join().unwrap_or_default();
        // Nobody listens any more once the time is over.
        let _late = send.send((signature, told));
    });
    receive.recv_timeout(timeout).ok()
}

/// What is read before a pipe ends or breaks.
fn bounded(pipe: impl Read, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _broken = pipe.take(bytes_max).read_to_end(&mut bytes);
    bytes
}

//! Why the node could not start, or could not do what was asked.

use std::io;
use std::path::PathBuf;

use prograde_model::{Digest, Target};

use crate::proxy::ProxyError;

/// Every message says what is wrong and, where the reader can do something, what; the code names its page in
/// `docs/errors/`.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory can't be read or written.
    #[error("node data directory {path} can't be used")]
    DataDir {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another node runs on the same data directory.
    #[error("another node uses {path}: stop it, or choose another data directory")]
    DataDirInUse {
        /// The data directory.
        path: PathBuf,
    },
    /// A process outside of this node listens on a Service's port.
    #[error("port {port} of {target} is in use by another program: stop that program, or set another `nodePort`")]
    PortInUse {
        /// The port.
        port: u16,
        /// Whose it should be.
        target: Target,
    },
    /// Two targets ask for the same port.
    #[error("port {port} of {target} is already that of {other}: set another `nodePort` for one of them")]
    PortTaken {
        /// The port.
        port: u16,
        /// Whose it should be.
        target: Target,
        /// Whose it is.
        other: Target,
    },
    /// All ports of the range are in use.
    #[error("no free port for {target} from {first} to {last}: free one, or set `nodePort` outside of the range")]
    NoFreePort {
        /// Whose it should be.
        target: Target,
        /// The range's first port.
        first: u16,
        /// The range's last port.
        last: u16,
    },
    /// More replicas than one target may have.
    #[error("{target} asks for {wanted} replicas, the node runs at most {max} for one target: ask for fewer")]
    TooManyReplicas {
        /// Who asks.
        target: Target,
        /// For how many.
        wanted: u64,
        /// The limit, an option of the node.
        max: u32,
    },
    /// A version's image was not handed over with it.
    #[error("image {digest} of {target} is not on this machine: pull it first")]
    MissingImage {
        /// Who needs it.
        target: Target,
        /// The image.
        digest: Digest,
    },
    /// The desired state contradicts itself.
    #[error("desired state of {target} is invalid: {reason}")]
    InvalidDesired {
        /// Whose.
        target: Target,
        /// How.
        reason: String,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopping,
    /// The proxy could not start or listen.
    #[error("the node's proxy failed")]
    Proxy(#[from] ProxyError),
}

impl NodeError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "PG0801",
            Self::DataDirInUse { .. } => "PG0802",
            Self::PortInUse { .. } => "PG0803",
            Self::PortTaken { .. } => "PG0804",
            Self::NoFreePort { .. } => "PG0805",
            Self::TooManyReplicas { .. } => "PG0806",
            Self::MissingImage { .. } => "PG0807",
            Self::InvalidDesired { .. } => "PG0808",
            Self::Stopping => "PG0809",
            Self::Proxy(_) => "PG0810",
        }
    }
}

//! What one container is made from, with everything decided: handed to the process that makes it as JSON, never in its
//! arguments, because the environment may hold secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest configuration that is read: an environment has at most 1 MiB, a profile 256 KiB.
pub const CONFIG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// One container.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub id: String,
    /// A folder of its own, where its end is told and what it writes is kept.
    pub dir: PathBuf,
    /// The unpacked image, which is never written to.
    pub image: PathBuf,
    /// The program, as the image sees it.
    pub program: PathBuf,
    /// The name by which it is called, and its arguments.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// The working directory, as the image sees it.
    pub directory: PathBuf,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// Its capabilities, without `CAP_`.
    pub capabilities: BTreeSet<String>,
    /// Whether it can never gain privileges by executing a program.
    pub no_new_privileges: bool,
    /// Its filter of system calls.
    pub seccomp: Profile,
    /// Whether its root file system is read-only.
    pub read_only_root: bool,
    /// Whether it sees the machine's devices and the kernel's settings.
    pub privileged: bool,
    /// Its limits.
    pub limits: Limits,
    /// Its volumes.
    pub mounts: Vec<Mount>,
    /// The name of its control group, below all controllers' roots.
    pub cgroup: String,
}

/// What a helper is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Make a container and run its program.
    Make(Config),
    /// Run another program in a container that is there: this one, by the process that made it.
    Enter(Config, i32),
}

/// A filter of system calls.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// None.
    None,
    /// The one that this program brings.
    RuntimeDefault,
    /// One in the container engines' format: its text.
    Text(String),
}

/// What a container may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes_max: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_milli_max: Option<u64>,
    /// Thousandths of a processor that it is sure of where processors are short.
    pub cpu_milli_share: Option<u64>,
    /// Processes and threads.
    pub pids_max: Option<u32>,
}

/// A volume at a place in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where, as the container sees it.
    pub path: PathBuf,
    /// The folder of this machine; none for memory.
    pub source: Option<PathBuf>,
    /// How much it may hold, where it is in memory.
    pub bytes_max: Option<u64>,
    /// The group that owns it, where it is in memory.
    pub group: Option<u32>,
    /// Whether it can't be written to.
    pub read_only: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and environment may hold secrets.
        f.debug_struct("Config").field("id", &self.id).field("program", &self.program).finish_non_exhaustive()
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::RuntimeDefault => "RuntimeDefault",
            Self::Text(_) => "Text",
        })
    }
}

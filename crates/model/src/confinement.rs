//! What a workload's manifest asks the kernel to hold its process to (Kubernetes core/v1: `PodSecurityContext`,
//! `SecurityContext`, `resources`, `volumes`), resolved over pod and container.
//!
//! Invariant: a workload without a [`Confinement`] asks for nothing; one with it gets all of it or does not run, save for
//! the [`Part`]s that its environment allows to be missing, in writing.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a machine may be unable to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A container at all: a root file system and namespaces of its own, user, groups, capabilities and
    /// `no_new_privs`. Without it the program is a plain process.
    Container,
    /// A capability that the server itself does not have.
    Capabilities,
    /// The filter of system calls.
    Seccomp,
    /// The limit of memory.
    MemoryLimit,
    /// The limit and the share of processor time.
    CpuLimit,
    /// The limit of processes and threads.
    PidsLimit,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Container, Self::Capabilities, Self::Seccomp, Self::MemoryLimit, Self::CpuLimit, Self::PidsLimit];

    /// Its name in `prograde.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Capabilities => "capabilities",
            Self::Seccomp => "seccomp",
            Self::MemoryLimit => "memory-limit",
            Self::CpuLimit => "cpu-limit",
            Self::PidsLimit => "pids-limit",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the process is to be held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Who the process is.
    pub user: RunAs,
    /// `privileged`: all capabilities that the server has, no filter, and the machine's devices.
    pub privileged: bool,
    /// `allowPrivilegeEscalation`, default true; false sets `no_new_privs`.
    pub may_escalate: bool,
    /// `readOnlyRootFilesystem`.
    pub read_only_root: bool,
    /// `capabilities.add`, without `CAP_`; `ALL` stands for all.
    pub capabilities_add: Vec<String>,
    /// `capabilities.drop`, likewise.
    pub capabilities_drop: Vec<String>,
    /// `seccompProfile`.
    pub seccomp: Seccomp,
    /// `resources.limits.memory`, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// `resources.limits.cpu`, in thousandths of a processor.
    pub cpu_milli_max: Option<u64>,
    /// `resources.requests.cpu`, in thousandths of a processor: the share where processors are short.
    pub cpu_milli_share: Option<u64>,
    /// `volumeMounts` with their `volumes`.
    pub mounts: Vec<VolumeMount>,
    /// Which fields ask for which parts, for whoever can't give them.
    pub asked: Vec<Asked>,
}

impl Default for Confinement {
    fn default() -> Self {
        Self {
            user: RunAs::default(),
            privileged: false,
            may_escalate: true,
            read_only_root: false,
            capabilities_add: Vec::new(),
            capabilities_drop: Vec::new(),
            seccomp: Seccomp::Unconfined,
            memory_bytes_max: None,
            cpu_milli_max: None,
            cpu_milli_share: None,
            mounts: Vec::new(),
            asked: Vec::new(),
        }
    }
}

/// Who a process is. What is not given is as the image says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunAs {
    /// `runAsUser`.
    pub user: Option<u32>,
    /// `runAsGroup`.
    pub group: Option<u32>,
    /// `runAsNonRoot`: a process that would be user 0 is not started.
    pub non_root: bool,
    /// `supplementalGroups`.
    pub supplementary: Vec<u32>,
    /// `fsGroup`: owns volumes, and is one more group of the process.
    pub fs_group: Option<u32>,
}

/// `seccompProfile`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// No filter.
    #[default]
    Unconfined,
    /// The profile that this program brings.
    RuntimeDefault,
    /// The profile in this file below the node's folder of profiles.
    Localhost(String),
}

/// An `emptyDir` at a place in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume's name.
    pub volume: String,
    /// `mountPath`.
    pub path: String,
    /// `readOnly`.
    pub read_only: bool,
    /// `medium: Memory`.
    pub in_memory: bool,
    /// `sizeLimit`, in bytes.
    pub bytes_max: Option<u64>,
}

/// A field of the manifest that asks for a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// For what.
    pub part: Part,
    /// Its path in the object, such as `spec.template.spec.securityContext.runAsUser`.
    pub field: String,
    /// The file that it is written in; empty where no manifest asks.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// The capabilities of Linux (linux/capability.h), without `CAP_`.
pub const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// A manifest's word for every capability.
pub const ALL_CAPABILITIES: &str = "ALL";

/// A capability as it is kept, where there is such a one: in capitals, without `CAP_`; or `ALL`.
pub fn capability(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CAPABILITIES.into_iter().chain([ALL_CAPABILITIES]).find(|known| *known == short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_as_they_are_shown() {
        for part in Part::ALL {
            assert_eq!(serde_json::to_value(part).unwrap(), part.name());
        }
    }

    #[test]
    fn capabilities_are_known_with_and_without_their_prefix() {
        for (name, expected) in [
            ("net_admin", Some("NET_ADMIN")),
            ("CAP_KILL", Some("KILL")),
            ("all", Some("ALL")),
            ("ROOT", None),
            ("", None),
        ] {
            assert_eq!(capability(name), expected, "{name}");
        }
    }
}

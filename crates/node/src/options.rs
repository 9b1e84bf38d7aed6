//! The node's limits and places, all but the data directory with a default.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::proxy::ProxyOptions;

/// How the node works. Start from [`NodeOptions::new`].
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Where the node keeps what must survive it: records of replicas, their logs, counters and chosen ports. Made if
    /// missing, for this user alone. One node at a time may use it.
    pub data_dir: PathBuf,
    /// Where services listen. Default 127.0.0.1: this machine alone.
    pub address: IpAddr,
    /// Ports from which one is chosen for a Service port without `nodePort`; the choice is kept. Default 30000 to 32767,
    /// as in Kubernetes.
    pub node_ports: RangeInclusive<u16>,
    /// Ports that replicas are given. Should lie below the system's ephemeral ports. Default 20000 to 29999.
    pub replica_ports: RangeInclusive<u16>,
    /// `PATH` of replicas whose image sets none. Default: the usual directories of a Linux system.
    pub path: String,
    /// Replicas that one target may ask for, over all its versions. Default 100.
    pub replicas_max: u32,
    /// Bytes of log kept for each target; also what one replica may write before it is read, beyond which output is
    /// skipped. Default 16 MiB.
    pub log_bytes_max: u64,
    /// How long a replica that failed twice waits before it is started again; doubles with each failure. Default 10 s.
    pub restart_backoff: Duration,
    /// The longest such wait. Default 5 min.
    pub restart_backoff_max: Duration,
    /// After running for so long, a replica's earlier failures are forgotten. Default 10 min.
    pub restart_backoff_reset: Duration,
    /// The binary that makes containers when it is executed anew, by [`prograde_confine::helper`]. Default: this one.
    pub container_program: PathBuf,
    /// Processes and threads that one container may have. Default 4096.
    pub pids_max: u32,
    /// The proxy in front of all services.
    pub proxy: ProxyOptions,
}

impl NodeOptions {
    /// The defaults, with everything kept in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            node_ports: 30000..=32767,
            replica_ports: 20000..=29999,
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            replicas_max: 100,
            log_bytes_max: 16 * 1024 * 1024,
            restart_backoff: Duration::from_secs(10),
            restart_backoff_max: Duration::from_mins(5),
            restart_backoff_reset: Duration::from_mins(10),
            // Also when its file was replaced meanwhile.
            container_program: PathBuf::from("/proc/self/exe"),
            pids_max: 4096,
            proxy: ProxyOptions::default(),
        }
    }
}

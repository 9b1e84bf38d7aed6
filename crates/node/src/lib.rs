//! Prograde's local node: it runs the versions of a service on this machine, behind an L7 proxy that splits traffic
//! between them by weight.
//!
//! Nothing here decides what should run or which version is good: a caller says which versions are wanted with which
//! weights, and the node makes it so and tells what it sees.
//!
//! The way of a desired state: `check` refuses what can't be, `deployment` compares it with what runs (`plan`) and puts the weights
//! into the routes of the `proxy`, one `supervisor` per replica does the rest: `start` (from `launch`, `image`, `ports`),
//! `probe`, `backoff`, and in the end the draining and stopping of its `process`. `record`, `survivor` and `ledger` carry
//! over what must outlive this program; `logs` keeps what replicas write; `usage` tells what
//! they use of the machine.

mod backoff;
mod check;
mod clock;
mod confine;
mod context;
mod deployment;
mod error;
mod files;
mod image;
mod job;
mod launch;
mod ledger;
mod logs;
mod node;
mod options;
mod plan;
mod pod;
mod ports;
mod probe;
mod process;
pub mod proxy;
mod record;
mod service_ports;
mod spec;
mod start;
mod stat;
mod supervisor;
mod survivor;
mod sync;
#[cfg(test)]
mod testing;
mod usage;

pub use confine::container_group;
pub use error::NodeError;
pub use image::ImageRoot;
pub use job::{JobEnd, JobOrder, JobVersion};
pub use logs::{LogLine, LogQuery, LogStream};
pub use node::Node;
pub use options::NodeOptions;
pub use pod::PodSeen;
pub use ports::PortSeen;
pub use usage::{ReplicaSeen, ReplicaUsage};

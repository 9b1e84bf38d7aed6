//! Clusters: what runs in them, how that differs from what Git says, and what brings it there.
//!
//! Only this crate knows the Kubernetes API. What is decided is decided in `prograde_resource`; here it is asked for and
//! carried out, through [`Cluster`]. Invariant: nothing is deleted that does not say that it is this application's, and
//! nothing but the very object that was looked at.

mod api;
mod changes;
mod choose;
mod cluster;
pub mod codes;
mod connect;
mod inventory;
mod keeper;
mod kinds;
mod refused;
mod standing;
mod sync;
mod target;
pub mod tracking;

pub use api::Api;
pub use changes::{Ear, Ears, Told, WATCHES_MAX, changes};
pub use choose::{Chosen, choose};
pub use cluster::{Cluster, Hearing, Listed, Place, Way, Write};
pub use connect::{Connection, NoWay};
pub use inventory::{Inventory, Stock, inventory};
pub use keeper::{Begin, Keeper, Order, Past, Seen, Wish, Witness};
pub use kinds::{Kinds, Resource};
pub use refused::Refused;
pub use standing::{Standing, look, look_all};
pub use sync::{Line, Orders, Report, Stopped, Telling, What, sync};
pub use target::{Settled, Target, instance};

/// The field manager under which everything is applied.
pub const MANAGER: &str = "prograde";

//! Which applications there are, in the formats in which teams say it: Argo CD's `Application`, `ApplicationSet` and
//! `AppProject`; and which images they are brought up to: Flux's `ImageRepository`, `ImagePolicy` and
//! `ImageUpdateAutomation` with the markers in files.
//!
//! [`read`] makes objects of texts; [`generate()`] makes applications of ApplicationSets. All of it is calculation: files,
//! clusters and tags come through ports ([`Repositories`], [`World`]), the time is an argument.

mod argo;
pub mod codes;
mod data;
pub mod forest;
mod generate;
pub mod glob;
pub mod helm;
pub mod image;
mod memory;
mod read;
mod render;
pub mod repository;
mod schema;
mod selector;
pub mod semver;
mod sprig;
mod template;
mod time;

pub use argo::application;
pub use argo::application::Application;
pub use argo::project::{AppProject, Broken, Rendered};
pub use argo::set::ApplicationSet;
pub use generate::{Cluster, SETS_MAX, World, generate};
pub use memory::Memory;
pub use read::{Objects, read};
pub use render::render;
pub use repository::{Everywhere, Repositories};
pub use time::duration;

//! OCI images: built reproducibly from a workflow's artifact, kept in an image layout, unpacked for the local node.
//!
//! Invariants: the same files, settings and commit give the same digest. Nothing is stored under a digest that is not
//! its own, also after a crash. Nothing that is read is used before its digest has been checked, and nothing that an
//! image holds is ever written outside of the directory that it is unpacked into.

mod apply;
mod blob;
pub mod client;
mod document;
mod error;
mod executable;
pub mod image;
mod index;
mod layer;
mod layout;
mod limits;
mod locate;
pub mod registry;
mod scratch;
mod spec;
mod unpack;

pub use document::{Descriptor, Platform, annotation};
pub use error::SupplyError;
pub use layout::{BuiltImage, ImageInfo, Layout, Stored, Tagged};
pub use limits::Limits;
pub use spec::{ImageFile, ImageSpec};
pub use unpack::{Aside, UnpackedImage};

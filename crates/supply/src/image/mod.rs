//! Images made of files, laid on others, moved between registries, layouts and archives, and compared.

mod archive;
mod base;
mod builder;
mod compress;
mod content;
mod entries;
mod minimal;
mod recipe;
mod transfer;
mod view;

pub use archive::{read_archive, write_archive};
pub use base::{Base, fetch_base};
pub use builder::{BUILDERS, BuilderError, DockerfileBuild};
pub use content::{Change, Difference, Node, Setting, differences};
pub use entries::{Layer, architecture_of};
pub use minimal::minimal;
pub use recipe::{Assembled, LayerUse, Recipe, Settings, assemble};
pub use transfer::{Progress, Told, Transferred, pull, push};
pub use view::{ImageError, Source, View, Viewed, is_layout, platform_of};

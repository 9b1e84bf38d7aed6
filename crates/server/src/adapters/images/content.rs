//! What of an artifact becomes an image in the layout.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prograde_control::ports::PortError;
use prograde_model::Digest;
use prograde_model::image::{Base, Content, PinnedImage};
use prograde_supply::client::{Client, Reference};
use prograde_supply::image::{self, ImageError, Layer, Recipe, Settings, Source};
use prograde_supply::{ImageSpec, Layout, Limits, Platform, SupplyError, annotation};

use crate::events::chain;
use crate::evidence::off;

/// An image that was made.
pub(super) struct Made {
    pub(super) digest: Digest,
    /// Of manifest, configuration and layers together, in bytes.
    pub(super) size: u64,
}

/// The image that a file of an artifact becomes, in the layout under a tag. Neither the commit nor its time goes in: the same
/// program is the same digest, so that a quarantine holds whichever commit brings it again. The journal says which commit made it.
pub(super) async fn make(
    layout: &Layout,
    client: &Client,
    content: &Content,
    file: PathBuf,
    (title, tag): (&str, &str),
) -> Result<Made, PortError> {
    let (into, client, title) = (layout.clone(), client.clone(), title.to_owned());
    let digest = match content.clone() {
        Content::Program { binary, base: Base::Scratch, args } => {
            let mut spec = ImageSpec::of_program(file, &path_of(&binary), Timestamp::UNIX_EPOCH);
            spec.cmd = args;
            spec.labels.insert(annotation::TITLE.to_owned(), title);
            return match layout.build(spec, tag).await {
                Ok(built) => Ok(Made { digest: built.digest, size: built.size }),
                Err(error) => Err(from_supply(&error, &binary)),
            };
        }
        Content::Program { binary, base, args } => {
            off(move || laid_on(&into, &client, &file, &Program { binary, base, args, title })).await?
        }
        Content::Archive(archive) => off(move || taken(&into, &file, &archive)).await?,
    };
    let name = file_of(content);
    layout.tag(&digest, tag).await.map_err(|error| from_supply(&error, name))?;
    let seen = layout.inspect(&digest).await.map_err(|error| from_supply(&error, name))?;
    Ok(Made { digest, size: seen.size })
}

struct Program {
    binary: String,
    base: Base,
    args: Vec<String>,
    title: String,
}

fn file_of(content: &Content) -> &str {
    match content {
        Content::Program { binary, .. } => binary,
        Content::Archive(archive) => archive,
    }
}

fn path_of(binary: &str) -> String {
    format!("/app/{binary}")
}

/// A program on a base. Blocks, also for as long as a registry takes.
fn laid_on(layout: &Layout, client: &Client, file: &Path, program: &Program) -> Result<Digest, PortError> {
    let failed = |error: SupplyError| from_supply(&error, &program.binary);
    let platform = Platform::host();
    let (mut layers, mut base) = (Vec::new(), None);
    match &program.base {
        Base::Scratch => {}
        Base::Minimal => layers = image::minimal(&Limits::default()).map_err(failed)?,
        Base::Image(pinned) => base = Some(fetched(layout, client, pinned, &platform)?),
    }
    let path = path_of(&program.binary);
    let mut layer = Layer::new("program");
    layer.add_file(file, &path, true).map_err(failed)?;
    layers.push(layer);
    let settings = Settings {
        entrypoint: vec![path],
        cmd: program.args.clone(),
        // A base of one's own says as whom its programs run.
        user: base.is_none().then(|| ImageSpec::USER.to_owned()),
        labels: [(annotation::TITLE.to_owned(), program.title.clone())].into(),
        ..Settings::default()
    };
    let recipe = Recipe { platform, base, layers, settings };
    Ok(image::assemble(layout, &[recipe]).map_err(failed)?.descriptor.digest)
}

fn fetched(
    layout: &Layout,
    client: &Client,
    pinned: &PinnedImage,
    platform: &Platform,
) -> Result<image::Base, PortError> {
    let reference: Reference =
        pinned.to_string().parse().map_err(|error| PortError::Final(format!("`image.base`: {}", chain(&error))))?;
    image::fetch_base(client, &reference, platform, layout, &|_| {}).map_err(|error| from_registry(&error, pinned))
}

fn from_registry(error: &ImageError, pinned: &PinnedImage) -> PortError {
    let told = format!("the base {pinned} can't be had: {}", chain(error));
    let is_passing = match error {
        ImageError::Registry(error) => error.is_passing(),
        ImageError::Supply(error) => is_of_the_disk(error),
        ImageError::Missing { .. } => false,
    };
    if is_passing { PortError::Passing(told) } else { PortError::Final(told) }
}

/// The image of an archive that is for this machine. Blocks.
fn taken(layout: &Layout, file: &Path, archive: &str) -> Result<Digest, PortError> {
    let failed = |error: SupplyError| from_supply(&error, archive);
    let final_ = |why: String| PortError::Final(format!("`{archive}` is no image to run: {why}"));
    if !file.is_file() {
        return Err(failed(SupplyError::MissingFile { path: archive.into() }));
    }
    let roots = image::read_archive(file, layout).map_err(failed)?;
    let platform = Platform::host();
    let source = Source::Layout(layout.clone());
    let mut found = Vec::new();
    for root in &roots {
        let viewed = source.view(root).map_err(|error| final_(chain(&error)))?;
        found.extend(viewed.images);
    }
    // Builders list what they attest beside the images, for the platform `unknown/unknown`.
    let is_ours = |image: &&image::View| image.platform().is_some_and(|other| platform.fits(&other));
    let ours: Vec<_> = found.iter().filter(is_ours).collect();
    match ours.as_slice() {
        [only] => Ok(only.descriptor.digest.clone()),
        [] => {
            let all: Vec<String> = found.iter().filter_map(image::View::platform).map(|one| one.name()).collect();
            Err(final_(format!("it has none for {}, but for {}", platform.name(), all.join(", "))))
        }
        several => Err(final_(format!("it has {} images for {}: upload one", several.len(), platform.name()))),
    }
}

fn is_of_the_disk(error: &SupplyError) -> bool {
    matches!(
        error,
        SupplyError::DiskFull { .. } | SupplyError::Busy { .. } | SupplyError::Io { .. } | SupplyError::Stopped
    )
}

fn from_supply(error: &SupplyError, file: &str) -> PortError {
    if is_of_the_disk(error) {
        return PortError::Passing(chain(error));
    }
    PortError::Final(format!("the image can't be made from `{file}`: {}", chain(error)))
}

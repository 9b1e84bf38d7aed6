//! What goes wrong with images, as its reader sees it.

use prograde_supply::SupplyError;
use prograde_supply::client::RegistryError;
use prograde_supply::image::{BuilderError, ImageError};

use crate::exit::Exit;
use crate::report::Report;

/// What is named is no image.
pub(crate) const NO_IMAGE: &str = "PG0760";
/// The registry can't be reached, or is busy.
const UNREACHABLE: &str = "PG0761";
/// The registry does not let us.
const UNAUTHORISED: &str = "PG0762";
/// It is not there.
pub(crate) const MISSING: &str = "PG0763";
/// What came can't be used or trusted.
const UNTRUSTED: &str = "PG0764";
/// No image can be made of that.
pub(crate) const UNBUILDABLE: &str = "PG0765";
/// The Dockerfile is not built.
const BUILDER: &str = "PG0766";
/// The registry refuses it for another reason.
const REFUSED: &str = "PG0767";

/// An error of a registry.
pub(crate) fn registry(error: &RegistryError) -> Report {
    let report = |code: &str| Report::new(code, error.to_string()).caused_by(error);
    match error {
        RegistryError::InvalidReference { .. } => {
            report(NO_IMAGE).hint("write `HOST/NAME:TAG`, such as ghcr.io/me/app:v1")
        }
        RegistryError::Unreachable { .. } | RegistryError::Timeout { .. } => {
            report(UNREACHABLE).hint("a registry without TLS needs `--insecure`")
        }
        RegistryError::Busy { .. } | RegistryError::Contended { .. } => report(UNREACHABLE).hint("try again later"),
        RegistryError::Unauthorised { .. } | RegistryError::Credentials { .. } => report(UNAUTHORISED)
            .exit(Exit::Unauthorised)
            .hint("log in with `docker login HOST`, or give `--username NAME --password-stdin`"),
        RegistryError::NotFound { .. } => report(MISSING).hint("look for its name and tag at the registry"),
        RegistryError::Misled { .. }
        | RegistryError::Invalid { .. }
        | RegistryError::TooLarge { .. }
        | RegistryError::Corrupt { .. } => {
            report(UNTRUSTED).hint("nothing of it was kept; ask whoever runs the registry")
        }
        RegistryError::Refused { .. } => report(REFUSED).hint("see what the registry says"),
        RegistryError::File { .. } => report(crate::report::FILE),
    }
}

/// An error of images on this machine.
pub(crate) fn supply(error: &SupplyError) -> Report {
    let report = |code: &str| Report::new(code, error.to_string()).caused_by(error);
    match error {
        SupplyError::MissingFile { .. }
        | SupplyError::NotAFile { .. }
        | SupplyError::EmptyFile { .. }
        | SupplyError::NotExecutable { .. }
        | SupplyError::Changed { .. }
        | SupplyError::InvalidSpec { .. }
        | SupplyError::WrongPlatform { .. } => report(UNBUILDABLE).hint("`prograde image build --help` shows examples"),
        SupplyError::InvalidTag { .. } | SupplyError::InvalidLayout { .. } | SupplyError::InvalidName(_) => {
            report(NO_IMAGE).hint("expected an OCI layout, an OCI archive or a reference such as ghcr.io/me/app:v1")
        }
        SupplyError::MissingBlob { .. } => report(MISSING).hint("pull or build the image again"),
        SupplyError::Corrupt { .. }
        | SupplyError::InvalidDocument { .. }
        | SupplyError::UnsupportedMediaType { .. }
        | SupplyError::TooLarge { .. }
        | SupplyError::UnsafeEntry { .. }
        | SupplyError::BrokenLayer { .. } => report(UNTRUSTED).hint("pull or build the image again"),
        SupplyError::DiskFull { .. } | SupplyError::Busy { .. } | SupplyError::Io { .. } | SupplyError::Stopped => {
            report(crate::report::FILE)
        }
    }
}

/// Either.
pub(crate) fn image(error: &ImageError) -> Report {
    match error {
        ImageError::Registry(error) => registry(error),
        ImageError::Supply(error) => supply(error),
        ImageError::Missing { .. } => Report::new(MISSING, error.to_string()).hint("name one that is there"),
    }
}

/// A builder of Dockerfiles.
pub(crate) fn builder(error: &BuilderError) -> Report {
    let report = Report::new(BUILDER, error.to_string()).caused_by(error);
    match error {
        BuilderError::None { .. } => report
            .hint("install one: `apt-get install buildah`, or Docker with buildx")
            .hint("`prograde image build --binary FILE` needs none"),
        BuilderError::Unable { .. } => report.hint("name another with `--builder`"),
        BuilderError::Start { .. } | BuilderError::Failed { .. } => report.hint("what it said is above"),
    }
}

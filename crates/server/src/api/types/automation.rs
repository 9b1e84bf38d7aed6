//! Wire types of images that are kept up to date.

use jiff::Timestamp;
use prograde_model::ids::{CommitId, ServiceName};
use serde::{Deserialize, Serialize};

/// A repository whose images are kept up to date, as the Flux objects in it say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AutomatedRepositoryView {
    /// The repository.
    pub repository: ServiceName,
    /// The commit whose objects are in force.
    pub commit: Option<CommitId>,
    /// When they were read.
    pub read_at: Option<Timestamp>,
    /// The images that are scanned: each `ImageRepository`.
    pub images: Vec<ScannedImageView>,
    /// What is chosen: each `ImagePolicy`.
    pub policies: Vec<ImagePolicyView>,
    /// What is written: each `ImageUpdateAutomation`.
    pub automations: Vec<ImageAutomationView>,
    /// What is wrong with its files.
    pub trouble: Option<ImageTroubleView>,
}

/// An image that is scanned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScannedImageView {
    /// The namespace of its `ImageRepository`.
    pub namespace: String,
    /// The name of it.
    pub name: String,
    /// The file that it is in.
    pub file: String,
    /// The image without tag.
    pub image: String,
    /// Whether it is not scanned at present.
    pub suspended: bool,
    /// How many tags it has, where the registry told.
    pub tags: Option<usize>,
    /// When the registry was asked last since the server began.
    pub looked_at: Option<Timestamp>,
}

/// Which of an image's tags is to be deployed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImagePolicyView {
    /// The namespace of the `ImagePolicy`.
    pub namespace: String,
    /// The name of it.
    pub name: String,
    /// The file that it is in.
    pub file: String,
    /// The image without tag; none where its `ImageRepository` is not there.
    pub image: Option<String>,
    /// The tag that is chosen.
    pub tag: Option<String>,
    /// The digest that is written beside it, where that is wanted.
    pub digest: Option<String>,
    /// Whether it, or its image, is suspended.
    pub suspended: bool,
    /// When the registry was asked last since the server began.
    pub looked_at: Option<Timestamp>,
    /// What keeps it from choosing.
    pub trouble: Option<ImageTroubleView>,
}

/// Where what is chosen is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageAutomationView {
    /// The namespace of the `ImageUpdateAutomation`.
    pub namespace: String,
    /// The name of it.
    pub name: String,
    /// The file that it is in.
    pub file: String,
    /// The branch that it commits to.
    pub branch: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// When it was carried out last since the server began.
    pub looked_at: Option<Timestamp>,
    /// The commit that it made last.
    pub last_commit: Option<CommitId>,
    /// When.
    pub last_commit_at: Option<Timestamp>,
    /// What keeps it from being carried out, or what of it could not be.
    pub trouble: Option<ImageTroubleView>,
}

/// What is wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageTroubleView {
    /// Since when.
    pub since: Timestamp,
    /// What, with the file and the line where it lies there.
    pub text: String,
}

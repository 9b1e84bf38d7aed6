//! A service's manifests, and the objects that one environment has of them. Invariant: what a release deploys is the overlay
//! rendered with the release's own image pinned by its digest, and nothing else.

use std::collections::BTreeSet;

use prograde_kustomize::helm::Charts;
use prograde_kustomize::{FileTree, Options, Remotes, Surrounded, file_name, join, stand_in};
use prograde_model::{Digest, Target};
use serde_json::Value as Json;

use super::DeployError;
use crate::kustomize::{self, Rendered, Resource};

/// Where manifests lie while they are rendered: places in messages begin with it.
pub const FOLDER: &str = "manifests/";
/// The name of a folder's kustomization.
const KUSTOMIZATION: &str = "kustomization.yaml";
/// The most bytes of a file's name without its ending; file systems take 255.
const STEM_BYTES_MAX: usize = 200;

/// A service's manifests, and which part of them is meant.
pub struct Manifests<'a> {
    /// All files.
    pub files: &'a FileTree,
    /// The directory below them that is the environment's: a kustomization, a chart, or plain YAML and JSON. `.` or nothing is
    /// all of them.
    pub overlay: &'a str,
    /// Who answers for bases of other repositories that are pinned to a commit; without, there are none.
    pub bases: Option<&'a dyn Remotes>,
    /// Who runs Helm; without, there are no charts.
    pub charts: Option<&'a dyn Charts>,
}

impl Manifests<'_> {
    /// A target's objects as they are when a release with this image is in it, or any image. Nothing is written; places are
    /// below [`FOLDER`].
    pub fn render(&self, target: &Target, digest: Option<&Digest>) -> Result<Rendered, DeployError> {
        let overlay = self.checked_overlay()?;
        let digest = digest.map_or_else(|| format!("sha256:{}", "0".repeat(64)), ToString::to_string);
        let mut files = FileTree::new();
        for (path, content) in self.files.files() {
            files.insert([FOLDER, path].concat(), content)?;
        }
        let folder = [FOLDER, &overlay].concat().trim_end_matches('/').to_owned();
        let own = self.files.files().filter_map(|(path, _)| {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            (above == overlay).then_some(name)
        });
        let stand_in = stand_in(own, target.service.as_str());
        let options = Options { keeps_texts: stand_in.is_some(), ..Options::default() };
        if let Some(text) = stand_in {
            files.insert([&folder, "/", KUSTOMIZATION].concat(), text)?;
        }
        let service = quoted(target.service.as_str());
        let digest = quoted(&digest);
        let folder = quoted(&folder);
        let kustomization = format!(
            "resources:\n  - {folder}\nimages:\n  - name: {service}\n    newName: {service}\n    digest: {digest}\n"
        );
        files.insert(KUSTOMIZATION, kustomization)?;
        let files = Surrounded { files: &files, remotes: self.bases.as_ref(), charts: self.charts.as_ref() };
        Ok(kustomize::render_with(&files, "", options)?)
    }

    /// The overlay's path below the manifests, in normal form; all of them must be files.
    fn checked_overlay(&self) -> Result<String, DeployError> {
        let Some(overlay) = join("", self.overlay) else {
            return Err(DeployError::Overlay(self.overlay.chars().take(200).collect()));
        };
        if let Some((link, _)) = self.files.links().next() {
            return Err(DeployError::Symlink(link.to_owned()));
        }
        if self.files.has_directory(&overlay) { Ok(overlay) } else { Err(DeployError::NoOverlay(overlay)) }
    }
}

impl Rendered {
    /// A file for each object, with a name that tells what is in it, in the order in which they are applied. Names are lower
    /// case, and stay the same as long as the objects do.
    pub fn files(&self) -> Vec<(String, String)> {
        let namespaces: BTreeSet<&str> = self.resources.iter().map(Resource::namespace).collect();
        let mut taken = BTreeSet::new();
        let file = |resource: &Resource| {
            let namespace = if namespaces.len() > 1 { resource.namespace() } else { "" };
            let (group, version) = resource.api_version().split_once('/').unwrap_or(("", resource.api_version()));
            let name = file_name(&[namespace, group, version, resource.kind(), resource.name()]);
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let safe = name.chars().take(STEM_BYTES_MAX).map(|c| if is_safe(c) { c } else { '-' });
            let stem = safe.collect::<String>().trim_start_matches('.').to_owned();
            let numbered = (2..).map(|number: usize| format!("{stem}-{number}"));
            let name = std::iter::once(stem.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
            (format!("{}.yaml", name.unwrap_or_default()), prograde_kustomize::yaml(&resource.to_json()))
        };
        self.resources.iter().map(file).collect()
    }

    /// A target's folder in the deployment repository: the objects, and a kustomization that names them.
    pub(super) fn folder(&self, note: &str) -> Result<FileTree, DeployError> {
        let mut folder = FileTree::new();
        let mut resources = String::new();
        for (name, text) in self.files() {
            resources.push_str(&["  - ", &quoted(&[OBJECTS, &name].concat()), "\n"].concat());
            folder.insert([OBJECTS, &name].concat(), text)?;
        }
        let kustomization = format!(
            "{note}apiVersion: kustomize.config.k8s.io/v1beta1\n\
             kind: Kustomization\n\
             resources:\n{resources}\
             sortOptions:\n  order: fifo\n"
        );
        folder.insert(KUSTOMIZATION, kustomization)?;
        Ok(folder)
    }
}

/// Where the objects lie in a target's folder.
const OBJECTS: &str = "objects/";

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

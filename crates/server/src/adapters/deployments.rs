//! The deployment repository and the renderer as the controllers' deployments.

use std::sync::Arc;

use async_trait::async_trait;
use prograde_confine::{Machine, refusals};
use prograde_control::ports::{Checked, Committed, Deployment, Deployments as Port, Files, PortError, Revert};
use prograde_control::{Clock as _, SystemClock};
use prograde_gitops::FileTree;
use prograde_gitops::deploy::manifests::FOLDER;
use prograde_gitops::deploy::{
    DeployChange, DeployError, Deployments, Manifests, RenderError, Rendered, RevertRequest,
};
use prograde_gitops::git::MAIN;
use prograde_gitops::kustomize::to_yaml;
use prograde_gitops::workload;
use prograde_kustomize::codes::HELM;
use prograde_model::confinement::Part;
use prograde_model::ids::{CommitId, Digest, Target};
use prograde_model::policy::PolicyAnswers;
use prograde_model::workload::Workload;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::SignedBy;
use sha2::{Digest as _, Sha256};

use super::source::from_git;
use crate::bases::{Asked, Bases};
use crate::events::chain;
use crate::evidence::Vouching;
use crate::policies::{InForce, Judged, Vouched};

/// The deployment repository, and what releases have to meet to get there.
pub(crate) struct GitDeployments {
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) policies: InForce,
    /// Who signs releases, and knows their signatures.
    pub(crate) vouching: Vouching,
    /// What the local node can give.
    pub(crate) machine: Machine,
    /// What manifests are rendered from beside their own files.
    pub(crate) bases: Bases,
}

fn tree(files: &Files) -> Result<FileTree, PortError> {
    let files = files.iter().map(|(path, content)| (path.as_str(), content.as_slice()));
    FileTree::from_files(files).map_err(|error| PortError::Final(chain(&error)))
}

/// Renders. Blocks: call it off the runtime.
fn rendered(
    (target, digest): (&Target, Option<&Digest>),
    (files, overlay): (&FileTree, &str),
    bases: &Bases,
) -> Result<Rendered, PortError> {
    let asked = Asked::of(bases);
    let made = Manifests { files, overlay, bases: Some(&asked), charts: asked.charts() }.render(target, digest);
    made.map_err(|error| asked.told(from_deploy(error)))
}

/// What is told of a chart that is another one each time.
fn drawn(overlay: &str) -> Diagnostic {
    let message = "a chart gives other objects each time that Helm renders it, so nobody could say what is deployed";
    let hint = "give it the values that it draws, such as passwords and certificates, as references to secrets";
    Diagnostic::file(HELM, overlay, message, hint)
}

impl GitDeployments {
    /// What a release deploys, and what the policies that are in force now say of that, of what is known now: since the push
    /// others may have been read, and the image has been built.
    async fn admit(&self, deployment: &Deployment) -> Result<(Rendered, PolicyAnswers), PortError> {
        let (tree, policies, of) = (tree(&deployment.manifests)?, self.policies.now(), deployment.clone());
        let (vouching, bases) = (self.vouching.clone(), self.bases.clone());
        let judged = tokio::task::spawn_blocking(move || {
            let Deployment { target, overlay, digest, evidence, scanned, .. } = of;
            let rendered = rendered((&target, Some(&digest)), (&tree, &overlay), &bases)?;
            let (signed_by, repository) = evidence.map(|found| (found.key_id, found.repository)).unzip();
            let vouched = Vouched { signed_by, scanned };
            let signed = |asked: &SignedBy| vouching.signed(&target.service, &digest, repository.as_deref(), asked);
            let judged = policies.judge(&rendered.resources, (&vouched, &signed), SystemClock.now());
            Ok::<_, PortError>((rendered, judged))
        });
        let judged = judged.await.unwrap_or_else(|error| Err(PortError::Passing(error.to_string())));
        let (rendered, Judged { refused, answers, .. }) = judged.map_err(as_written)?;
        // What Git has already was let in then: a crash may have come before that was recorded. What a person has merged was
        // let in when it was proposed, which may be long ago.
        let is_there = !refused.is_empty() && deployment.merged.is_none() && self.committed(deployment).await?;
        if refused.is_empty() || is_there {
            Ok((rendered, answers))
        } else {
            Err(as_written(PortError::Input(Diagnostics(refused))))
        }
    }

    async fn committed(&self, deployment: &Deployment) -> Result<bool, PortError> {
        let found = self.deployments.committed(&deployment.target, &deployment.flight).await;
        Ok(found.map_err(|error| from_git(&error))?.is_some())
    }
}

#[async_trait]
impl Port for GitDeployments {
    async fn check(
        &self,
        target: &Target,
        overlay: &str,
        manifests: &Files,
        unconfined: &[Part],
    ) -> Result<Checked, PortError> {
        let (tree, overlay, target) = (tree(manifests)?, overlay.to_owned(), target.clone());
        let (machine, unconfined) = (self.machine.clone(), unconfined.to_vec());
        let (policies, vouching, bases) = (self.policies.now(), self.vouching.clone(), self.bases.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let render = || rendered((&target, None), (&tree, &overlay), &bases);
            let first = render()?;
            if first.program && render()? != first {
                return Err(PortError::Input(Diagnostics::from(drawn(&overlay))));
            }
            let Rendered { resources, .. } = first;
            let (workload, notices) = workload::decode(&target, &resources)?;
            let confinement = workload.confinement.iter();
            let refused = confinement.flat_map(|asked| refusals(asked, &unconfined, &machine)).map(Diagnostic::from);
            let refused: Vec<Diagnostic> = refused.collect();
            if !refused.is_empty() {
                return Err(PortError::Input(Diagnostics(refused)));
            }
            let signed = |asked: &SignedBy| vouching.will_sign(asked);
            let judged = policies.judge(&resources, (&Vouched::to_be(), &signed), SystemClock.now());
            if !judged.refused.is_empty() {
                return Err(PortError::Input(Diagnostics(judged.refused)));
            }
            let digest = Digest::from_sha256(Sha256::digest(to_yaml(&resources)).into());
            let told = judged.told.iter().map(|violation| violation.message.clone());
            let notices = notices.iter().map(sentence).chain(told).collect();
            Ok::<_, PortError>(Checked { notices, digest, policies: judged.answers })
        });
        let checked = checked.await.unwrap_or_else(|error| Err(PortError::Passing(error.to_string())));
        checked.map_err(as_written)
    }

    async fn propose(&self, deployment: Deployment) -> Result<CommitId, PortError> {
        let (rendered, _) = self.admit(&deployment).await?;
        self.deployments.propose(change(deployment, rendered)).await.map_err(from_deploy)
    }

    async fn commit(&self, deployment: Deployment) -> Result<Committed, PortError> {
        let (rendered, policies) = self.admit(&deployment).await?;
        let commit = self.deployments.commit(change(deployment, rendered)).await.map_err(from_deploy)?;
        Ok(Committed { commit, policies })
    }

    async fn revert(&self, revert: Revert) -> Result<CommitId, PortError> {
        let request = RevertRequest {
            target: revert.target,
            flight: revert.flight,
            deploy_commit: revert.commit,
            restore: revert.restore,
            supersedes: revert.supersedes,
            reason: revert.reason,
            at: revert.at,
        };
        match self.deployments.revert(request).await {
            // What came later has taken its place: the repository no longer names this release.
            Err(DeployError::Superseded { commit, .. }) => {
                let head = self.deployments.repository().head(MAIN).await.map_err(|error| from_git(&error))?;
                Ok(head.unwrap_or(commit))
            }
            other => other.map_err(from_deploy),
        }
    }

    async fn workload(&self, commit: &CommitId, target: &Target) -> Result<Workload, PortError> {
        let rendered = self.deployments.render(commit, target).await.map_err(|error| match error {
            RenderError::Git(error) => from_git(&error),
            RenderError::Manifests(diagnostics) => PortError::Input(diagnostics),
            error @ (RenderError::NotDeployed { .. } | RenderError::Cancelled) => PortError::Passing(chain(&error)),
        })?;
        Ok(workload::decode(target, &rendered.resources)?.0)
    }
}

fn change(deployment: Deployment, rendered: Rendered) -> DeployChange {
    DeployChange {
        target: deployment.target,
        flight: deployment.flight,
        source_commit: deployment.commit,
        digest: deployment.digest,
        rendered,
        author: (deployment.author.name, deployment.author.email),
        subject: deployment.subject,
        merged: deployment.merged,
        at: deployment.at,
    }
}

fn from_deploy(error: DeployError) -> PortError {
    match error {
        DeployError::Manifests(diagnostics) => PortError::Input(diagnostics),
        DeployError::Git(error) => from_git(&error),
        error @ (DeployError::Overlay(_)
        | DeployError::Symlink(_)
        | DeployError::NoOverlay(_)
        | DeployError::Superseded { .. }
        | DeployError::Tree(_)) => PortError::Final(chain(&error)),
    }
}

/// Manifests are rendered in a folder of their own; people know them without it.
fn as_written(error: PortError) -> PortError {
    let PortError::Input(mut diagnostics) = error else { return error };
    for diagnostic in &mut diagnostics.0 {
        if let Some(path) = diagnostic.file.strip_prefix(FOLDER) {
            diagnostic.file = path.to_owned();
        }
    }
    PortError::Input(diagnostics)
}

fn sentence(notice: &workload::Notice) -> String {
    format!("{}: {}", notice.field, notice.why)
}

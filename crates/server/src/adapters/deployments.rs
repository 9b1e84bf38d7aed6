//! The deployment repository and the renderer as the controllers' deployments.

use std::sync::Arc;

use async_trait::async_trait;
use prograde_confine::{Machine, refusals};
use prograde_control::ports::{Checked, Committed, Deployment, Deployments as Port, Files, PortError, Revert};
use prograde_control::{Clock as _, SystemClock};
use prograde_gitops::FileTree;
use prograde_gitops::deploy::{
    DeployChange, DeployError, Deployments, PreviewError, RenderError, RevertRequest, preview,
};
use prograde_gitops::git::MAIN;
use prograde_gitops::kustomize::to_yaml;
use prograde_gitops::workload;
use prograde_model::confinement::Part;
use prograde_model::ids::{CommitId, Digest, Target};
use prograde_model::policy::PolicyAnswers;
use prograde_model::workload::Workload;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::SignedBy;
use sha2::{Digest as _, Sha256};

use super::source::from_git;
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
}

fn tree(files: &Files) -> Result<FileTree, PortError> {
    let files = files.iter().map(|(path, content)| (path.as_str(), content.as_slice()));
    FileTree::from_files(files).map_err(|error| PortError::Final(chain(&error)))
}

impl GitDeployments {
    /// What the policies that are in force now say, of what is known now: since the push others may have been read, and the
    /// image has been built.
    async fn admit(&self, deployment: &Deployment) -> Result<PolicyAnswers, PortError> {
        let (tree, policies, of) = (tree(&deployment.manifests)?, self.policies.now(), deployment.clone());
        let vouching = self.vouching.clone();
        let judged = tokio::task::spawn_blocking(move || {
            let Deployment { target, overlay, digest, evidence, scanned, .. } = of;
            let resources = preview(&target, &overlay, &tree, Some(&digest)).map_err(from_preview)?;
            let (signed_by, repository) = evidence.map(|found| (found.key_id, found.repository)).unzip();
            let vouched = Vouched { signed_by, scanned };
            let signed = |asked: &SignedBy| vouching.signed(&target.service, &digest, repository.as_deref(), asked);
            Ok::<_, PortError>(policies.judge(&resources, (&vouched, &signed), SystemClock.now()))
        });
        let judged = judged.await.unwrap_or_else(|error| Err(PortError::Passing(error.to_string())));
        let Judged { refused, answers, .. } = judged.map_err(as_written)?;
        // What Git has already was let in then: a crash may have come before that was recorded. What a person has merged was
        // let in when it was proposed, which may be long ago.
        let is_there = !refused.is_empty() && deployment.merged.is_none() && self.committed(deployment).await?;
        if refused.is_empty() || is_there {
            Ok(answers)
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
        let (policies, vouching) = (self.policies.now(), self.vouching.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let resources = preview(&target, &overlay, &tree, None).map_err(from_preview)?;
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
        self.admit(&deployment).await?;
        self.deployments.propose(change(deployment)?).await.map_err(|error| from_deploy(&error))
    }

    async fn commit(&self, deployment: Deployment) -> Result<Committed, PortError> {
        let policies = self.admit(&deployment).await?;
        let commit = self.deployments.commit(change(deployment)?).await.map_err(|error| from_deploy(&error))?;
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
            other => other.map_err(|error| from_deploy(&error)),
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

fn change(deployment: Deployment) -> Result<DeployChange, PortError> {
    Ok(DeployChange {
        target: deployment.target,
        flight: deployment.flight,
        source_commit: deployment.commit,
        digest: deployment.digest,
        overlay: deployment.overlay,
        manifests: tree(&deployment.manifests)?,
        author: (deployment.author.name, deployment.author.email),
        subject: deployment.subject,
        merged: deployment.merged,
        at: deployment.at,
    })
}

fn from_preview(error: PreviewError) -> PortError {
    match error {
        PreviewError::Manifests(diagnostics) => PortError::Input(diagnostics),
        PreviewError::Release(error) => PortError::Final(chain(&error)),
    }
}

fn from_deploy(error: &DeployError) -> PortError {
    if let DeployError::Git(error) = error { from_git(error) } else { PortError::Final(chain(error)) }
}

/// Manifests are rendered in a folder of their own; people know them without it.
fn as_written(error: PortError) -> PortError {
    let PortError::Input(mut diagnostics) = error else { return error };
    for diagnostic in &mut diagnostics.0 {
        if let Some(path) = diagnostic.file.strip_prefix("manifests/") {
            diagnostic.file = path.to_owned();
        }
    }
    PortError::Input(diagnostics)
}

fn sentence(notice: &workload::Notice) -> String {
    format!("{}: {}", notice.field, notice.why)
}

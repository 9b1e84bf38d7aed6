//! What rendering may ask for beside a repository's own files: bases of other repositories, and charts.

use std::path::PathBuf;

use clap::Args;
use prograde_gitops::git::RemoteBases;
use prograde_gitops::helm::Helm;

use crate::app::App;

/// Flags of every command that renders.
#[derive(Debug, Default, Args)]
pub(crate) struct Asking {
    /// Take bases and charts of other machines only from where they were kept before, and ask nobody
    #[arg(long)]
    offline: bool,
    /// Let charts be rendered by Helm: the installed program, or the one named. Without it they are refused
    #[arg(
        long,
        visible_alias = "enable-helm",
        value_name = "PROGRAM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "helm"
    )]
    helm: Option<PathBuf>,
}

impl Asking {
    /// Where bases of other repositories are kept, and come from unless nothing may be asked of other machines; none where there
    /// is no place for data.
    pub(crate) fn bases(&self, app: &App) -> Option<RemoteBases> {
        Some(RemoteBases::new(cache(app, "bases")?, app.runtime.clone()).offline(self.offline))
    }

    /// Who runs Helm, if it may be run.
    pub(crate) fn helm(&self, app: &App) -> Option<Helm> {
        let helm = Helm::new(self.helm.clone()?, cache(app, "charts")?, app.runtime.clone());
        Some(helm.offline(self.offline))
    }
}

fn cache(app: &App, name: &str) -> Option<PathBuf> {
    Some(app.global.data_dir().ok()?.join("cache").join(name))
}

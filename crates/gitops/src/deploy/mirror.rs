//! A copy of the deployment repository on a Git host. What people merge there is held to the same as a push here: each folder
//! that they change becomes what is proposed for it, or what it was before. Invariant: nothing that was recorded here is lost,
//! whatever the host has.

use std::collections::{BTreeMap, BTreeSet};

use prograde_model::{CommitId, Target};

use super::proposals::REFERENCES;
use super::{Deployments, path};
use crate::git::{Author, FolderRules, GitError, MAIN};

/// What came of taking over what a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// All of it was here.
    Nothing,
    /// `main` has it now.
    Main(CommitId),
    /// It can't be taken, for this reason, and nothing of it was.
    Refused(String),
}

impl Deployments {
    /// Takes over what a host's `main` has and ours has not, where the rules let a push have it. `theirs` was fetched. Where
    /// both have gone on, they are merged, which two that changed the same folder can't be. `host` is who pushed, where the
    /// commits don't say it.
    pub async fn take_over(&self, theirs: &CommitId, rules: &FolderRules, host: &str) -> Result<Taken, GitError> {
        let _writing = self.writing.lock().await;
        let repository = &self.repository;
        let Some(ours) = repository.head(MAIN).await? else {
            let why = "the host has commits, and nothing was deployed from here yet: give it an empty repository";
            return Ok(Taken::Refused(why.to_owned()));
        };
        let Some(base) = repository.common(&ours, theirs).await? else {
            return Ok(Taken::Refused("the host's `main` has another history than the one here".to_owned()));
        };
        if base == *theirs {
            return Ok(Taken::Nothing);
        }
        let changed = self.changed(&base, theirs).await?;
        let Some(changed) = changed.into_iter().collect::<Option<Vec<Target>>>() else {
            return Ok(Taken::Refused("it changes files that are no service's in an environment".to_owned()));
        };
        let of = |target: &Target| [&base, &ours, theirs].map(|commit| (target.clone(), commit.clone()));
        let trees = self.folders(&changed.iter().flat_map(of).collect::<Vec<_>>()).await?;
        let mut taken = Vec::new();
        for (target, trees) in changed.into_iter().zip(trees.chunks(3)) {
            let [before, here, there] = trees else { continue };
            if here == there {
                continue;
            }
            if here != before {
                return Ok(Taken::Refused(format!("{} was changed here and there", path(&target))));
            }
            if let Some(why) = rules.refusal(&path(&target), there.as_deref()) {
                return Ok(Taken::Refused(why));
            }
            taken.push((target, there.clone()));
        }
        let commit = if base == ours { theirs.clone() } else { self.join(&ours, theirs, taken).await? };
        repository.move_branch_for(host, (MAIN, Some(&ours)), &commit).await?;
        Ok(Taken::Main(commit))
    }

    /// A merge of both, in the name of whoever made the host's last commit.
    async fn join(
        &self,
        ours: &CommitId,
        theirs: &CommitId,
        taken: Vec<(Target, Option<String>)>,
    ) -> Result<CommitId, GitError> {
        let mut tree = ours.as_str().to_owned();
        for (target, folder) in taken {
            tree = self.tree_with(Some(&tree), &target, folder).await?;
        }
        let info = self.repository.commit_info(theirs).await?;
        let author = Author { name: &info.author_name, email: &info.author_email, at: info.time };
        self.repository.write_commit(&tree, &[ours, theirs], &author, &format!("{}\n", info.message)).await
    }

    /// The places whose folders differ between two commits; nothing for what lies elsewhere.
    async fn changed(&self, from: &CommitId, to: &CommitId) -> Result<BTreeSet<Option<Target>>, GitError> {
        let place = |path: &String| {
            let mut parts = path.split('/');
            let (environment, service, _file) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Target { environment: environment.parse().ok()?, service: service.parse().ok()? })
        };
        Ok(self.repository.changed_paths(from, to).await?.iter().map(place).collect())
    }

    /// What a copy has to have: `main`, and the branches with proposals.
    pub async fn branches(&self) -> Result<BTreeMap<String, CommitId>, GitError> {
        let what = "list the branches";
        let main = format!("refs/heads/{MAIN}");
        let arguments = ["for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", &main, REFERENCES];
        let answer = self.repository.run(what, &arguments, None).await?;
        let read = |line: &str| {
            let (name, commit) = line.split_once(' ')?;
            Some((name.to_owned(), commit.parse().ok()?))
        };
        let answer = String::from_utf8_lossy(&answer);
        answer.lines().map(|line| read(line).ok_or(GitError::Answer { what })).collect()
    }
}

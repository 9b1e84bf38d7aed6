//! What a set's files say at a commit: its applications, each with what it wants, or why that can't be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use prograde_apps::forest::{Forest, Found, grow};
use prograde_apps::repository::{Texts, texts};
use prograde_apps::{Application, Memory, Objects, World, codes as apps};
use prograde_kubernetes::{Chosen, Connection, Target, choose};
use prograde_kustomize::FileTree;
use prograde_model::application::Deletion;
use prograde_model::ids::{CommitId, ServiceName};
use prograde_model::{Diagnostic, Diagnostics};

use super::rules::Rules;
use super::trees::{Read, Trees};
use crate::policies::Policies;

/// An application asks for another revision than the server holds.
pub(crate) const REVISION: &str = "PG1387";
/// Two applications are the same.
pub(crate) const TWICE: &str = "PG1388";
/// The longest name of an application: of a namespace and an object of Kubernetes.
const NAME_BYTES_MAX: usize = 64 + 253;
/// The names of the newest commit of the branch that is held.
const NEWEST: [&str; 4] = ["", "HEAD", "main", "refs/heads/main"];

/// What a set's files say.
pub(super) struct Reading {
    /// The commit of the set's repository.
    pub(super) commit: CommitId,
    /// The applications.
    pub(super) applications: Vec<Chosen>,
    /// What some of them say about their end.
    pub(super) deletions: BTreeMap<String, Deletion>,
    /// What is wrong with files, beside what keeps a single application from being used.
    pub(super) problems: Vec<Diagnostic>,
    /// All that was read.
    pub(super) read: Read,
    /// Whether what is allowed depends on the time.
    pub(super) timed: bool,
}

/// What was made of files when they were read before.
#[derive(Default)]
pub(super) struct Before {
    memory: Memory,
    /// What applications wanted, by their names.
    targets: BTreeMap<String, Arc<Target>>,
    /// The policies that let those past.
    policies: Option<Arc<Policies>>,
}

/// What applications wanted once, by their names, or why that can't be told.
pub(super) type Past = BTreeMap<String, Result<Arc<Target>, String>>;

/// Where to read.
pub(super) struct Place {
    pub(super) repository: ServiceName,
    pub(super) path: String,
    /// The branches that repositories follow: in the server's own they are `main`.
    pub(super) branches: BTreeMap<ServiceName, String>,
}

impl Place {
    /// The texts in which applications may be, named from the repository's root.
    fn texts(&self, tree: &FileTree) -> Result<Texts, String> {
        let Texts { found, left_out } = texts(tree, &self.path)?;
        let named = |(file, text): (String, String)| {
            let file = if self.path.is_empty() { file } else { [self.path.as_str(), "/", &file].concat() };
            (file, text)
        };
        Ok(Texts { found: found.into_iter().map(named).collect(), left_out })
    }
}

/// Reads. Blocks: call it off the runtime.
pub(super) fn read(
    place: &Place,
    trees: Trees,
    connection: &Arc<Connection>,
    (rules, now): (&Rules, Timestamp),
    before: &mut Before,
) -> Result<Reading, String> {
    let Some((commit, tree)) = trees.of(&place.repository) else {
        return Err(trees.wrong().unwrap_or_else(|| "the repository is not there".to_owned()));
    };
    let commit = commit.clone().ok_or_else(|| format!("the repository `{}` has no commits yet", place.repository))?;
    let Texts { found, left_out } = place.texts(tree)?;
    let mut objects = before.memory.read(found);
    let clusters = std::mem::take(&mut objects.clusters);
    let timed = objects.projects.iter().any(prograde_apps::AppProject::is_timed);
    let mut problems = revisions_of_sets(&mut objects, place, &trees);
    let world = World { repositories: &trees, clusters: (!clusters.is_empty()).then_some(&*clusters) };
    let mut forest = grow(&objects, &world, now, &mut before.memory);
    let all = std::mem::take(&mut forest.applications);
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<String> = all.iter().map(name_of).filter(|name| !seen.insert(name.clone())).collect();
    let is_judged = before.policies.as_ref().is_some_and(|policies| Arc::ptr_eq(policies, &rules.policies));
    let chosen = |found: &Found| {
        let application: &Application = &found.application;
        let mut chosen = choose(found, &forest, connection, before.targets.get(&name_of(found)));
        let mut wrong = revisions(application, place, &trees);
        if twice.contains(&chosen.name) {
            let message = format!("there is another application `{}` in this set", chosen.name);
            wrong.push(application.place.diagnostic(TWICE, message, "give one of them another name"));
        }
        if !wrong.is_empty() {
            chosen.target = Err(Diagnostics(wrong));
        }
        if let Ok(target) = &chosen.target
            && !(is_judged && before.targets.get(&chosen.name).is_some_and(|before| Arc::ptr_eq(before, target)))
            && let Err(refused) = rules.judge(target, now)
        {
            chosen.target = Err(refused);
        }
        chosen
    };
    let mut applications: Vec<Chosen> = all.iter().map(chosen).collect();
    let deletions = deletions(&all);
    applications.dedup_by(|one, other| one.name == other.name);
    applications.retain(|chosen| {
        let is_name = chosen.name.len() <= NAME_BYTES_MAX;
        if !is_name {
            let message = "an application's name has more than 253 bytes";
            problems.push(Diagnostic::file(apps::VALUE, &place.path, message, "shorten it"));
        }
        is_name
    });
    for chosen in &mut applications {
        if let Err(found) = &mut chosen.target {
            found.0.iter_mut().for_each(here);
        }
    }
    problems.extend(others(forest, &applications));
    problems.extend(left_out.into_iter().map(|why| Diagnostic::file(apps::SOURCE, &place.path, why, "")));
    let target = |chosen: &Chosen| Some((chosen.name.clone(), Arc::clone(chosen.target.as_ref().ok()?)));
    before.policies = Some(Arc::clone(&rules.policies));
    before.targets = applications.iter().filter_map(target).collect();
    Ok(Reading { commit, applications, deletions, problems, read: trees.finish()?, timed })
}

/// What applications wanted at a commit of the set's repository at which they were named, or why that can't be told: `trees` are of
/// that commit. Blocks: call it off the runtime.
pub(super) fn past(
    place: &Place,
    trees: &Trees,
    connection: &Arc<Connection>,
    now: Timestamp,
    names: &BTreeSet<String>,
) -> Result<Past, String> {
    let Some((_, tree)) = trees.of(&place.repository) else {
        return Err(trees.wrong().unwrap_or_else(|| "the repository is not there".to_owned()));
    };
    let mut memory = Memory::default();
    let mut objects = memory.read(place.texts(tree)?.found);
    let clusters = std::mem::take(&mut objects.clusters);
    let world = World { repositories: trees, clusters: (!clusters.is_empty()).then_some(&*clusters) };
    let forest = grow(&objects, &world, now, &mut memory);
    let asked = forest.applications.iter().filter(|found| names.contains(&name_of(found)));
    let past = |found: &Found| {
        let Chosen { name, target } = choose(found, &forest, connection, None);
        (name, target.map_err(|found| found.to_string()))
    };
    Ok(asked.map(past).collect())
}

/// What applications say about their end, by their names.
fn deletions(all: &[Found]) -> BTreeMap<String, Deletion> {
    let names: BTreeMap<&str, String> = all.iter().map(|found| (found.application.name(), name_of(found))).collect();
    let deletion = |found: &Found| {
        let parent = found.parent.as_ref().map(|parent| names.get(parent.as_str()).unwrap_or(parent).clone());
        (name_of(found), Deletion { parent, by_order: !found.application.is_automated() })
    };
    all.iter().filter(|found| found.goes).map(deletion).collect()
}

fn name_of(found: &Found) -> String {
    prograde_kubernetes::instance(&found.application)
}

/// What is wrong beside what is told of single applications.
fn others(forest: Forest, applications: &[Chosen]) -> Vec<Diagnostic> {
    let mut problems = forest.problems;
    problems.iter_mut().for_each(here);
    let told: Vec<&Diagnostic> =
        applications.iter().filter_map(|one| one.target.as_ref().err()).flat_map(|found| &found.0).collect();
    problems.retain(|problem| !told.contains(&problem));
    problems
}

/// What commands are told to do, as it is done here.
fn here(diagnostic: &mut Diagnostic) {
    if diagnostic.hint.contains("--repo ") {
        "name the repository that the server holds for this address under `addresses` in the file that `--applications` names"
            .clone_into(&mut diagnostic.hint);
    }
    if diagnostic.hint.contains("--helm") {
        "commit what `prograde app render NAME --helm` gives, and use a directory".clone_into(&mut diagnostic.hint);
    }
    if diagnostic.hint.contains("--context") {
        "keep it in a set of its cluster".clone_into(&mut diagnostic.hint);
    }
}

/// Whether a revision is the newest commit of what is held of a repository.
fn is_newest(revision: &str, url: &str, place: &Place, trees: &Trees) -> bool {
    let Some(name) = trees.named(url) else {
        // That it is not known is told elsewhere.
        return true;
    };
    let branch = place.branches.get(name);
    let short = revision.strip_prefix("refs/heads/").unwrap_or(revision);
    let is_commit =
        trees.of(name).and_then(|(commit, _)| commit.as_ref()).is_some_and(|commit| commit.as_str() == revision);
    match branch {
        Some(branch) => revision.is_empty() || revision == "HEAD" || short == branch || is_commit,
        None => NEWEST.contains(&revision) || is_commit,
    }
}

fn other_revision(what: &str, revision: &str, place: &prograde_kustomize::Place) -> Diagnostic {
    let revision: String = revision.chars().take(100).collect();
    let message = format!("{what} asks for the revision `{revision}`, and the server holds the newest commit alone");
    place.diagnostic(REVISION, message, "write `HEAD`, or let the server follow that branch (docs/guides/git-hosts.md)")
}

fn revisions(application: &Application, place: &Place, trees: &Trees) -> Vec<Diagnostic> {
    let of_git = application.sources().into_iter().filter(|source| source.chart.is_empty());
    let others = of_git.filter(|source| !is_newest(&source.target_revision, &source.repo_url, place, trees));
    let what = format!("`{}`", application.name());
    others.map(|source| other_revision(&what, &source.target_revision, &application.place)).collect()
}

/// What asks for another revision makes nothing.
fn revisions_of_sets(objects: &mut Objects, place: &Place, trees: &Trees) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    objects.sets.retain(|set| {
        let sources = set.git_sources();
        let other = sources.iter().find(|(url, revision)| !is_newest(revision, url, place, trees));
        let what = format!("a Git generator of `{}`", set.metadata.name);
        wrong.extend(other.map(|(_, revision)| other_revision(&what, revision, &set.place)));
        other.is_none()
    });
    wrong
}

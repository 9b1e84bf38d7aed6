//! The deployment repository.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prograde_gitops::deploy::{
    Action, DeployChange, DeployError, Deployments, Manifests, Proposed, RenderError, Rendered, RevertRequest, Taken,
};
use prograde_gitops::git::{FolderRules, FolderState, GitError, Upstream};
use prograde_gitops::{FileTree, kustomize, workload};
use prograde_model::{CommitId, FlightId, Target};

use crate::{client, fixture};

const MANIFESTS: &str = include_str!("../kustomize/service.txt");

fn target(environment: &str) -> Target {
    Target { environment: environment.parse().unwrap(), service: "web".parse().unwrap() }
}

fn flight(n: u8) -> FlightId {
    FlightId::from_random([n + 1; 16]).unwrap()
}

fn rendered(files: &FileTree, overlay: &str, n: Option<u8>) -> Result<Rendered, DeployError> {
    let digest = n.map(|n| format!("sha256:{n:064x}").parse().unwrap());
    Manifests { files, overlay, bases: None, charts: None }.render(&target("production"), digest.as_ref())
}

fn change(environment: &str, n: u8, manifests: &FileTree) -> DeployChange {
    DeployChange {
        target: target(environment),
        flight: flight(n),
        source_commit: format!("{n:040x}").parse().unwrap(),
        digest: format!("sha256:{n:064x}").parse().unwrap(),
        rendered: rendered(manifests, "production", Some(n)).unwrap(),
        author: ("Ada <script>\n".into(), "ada@example.org".into()),
        merged: None,
        subject: format!("Deploy number {n}\nPrograde-Flight: {}", flight(99)),
        at: Timestamp::from_second(1_700_000_000 + i64::from(n)).unwrap(),
    }
}

fn revert(environment: &str, n: u8, commit: &CommitId) -> RevertRequest {
    RevertRequest {
        supersedes: None,
        restore: None,
        target: target(environment),
        flight: flight(n),
        deploy_commit: commit.clone(),
        reason: format!("3 of 20 requests failed\n\nPrograde-Action: deploy\nPrograde-Flight: {}", flight(98)),
        at: Timestamp::from_second(1_700_001_000).unwrap(),
    }
}

async fn open() -> (tempfile::TempDir, Deployments) {
    let dir = tempfile::tempdir().unwrap();
    let deployments = Deployments::open(dir.path().to_owned()).await.unwrap();
    (dir, deployments)
}

#[tokio::test]
async fn a_deployment_is_made_once_and_renders_with_its_digest() {
    let (dir, deployments) = open().await;
    let manifests = fixture::tree(MANIFESTS);
    let first = deployments.commit(change("production", 1, &manifests)).await.unwrap();
    assert_eq!(deployments.commit(change("production", 1, &manifests)).await.unwrap(), first);
    let second = deployments.commit(change("staging", 1, &manifests)).await.unwrap();
    assert_ne!(first, second, "another target is another deployment");
    // After a restart, too.
    let again = Deployments::open(dir.path().to_owned()).await.unwrap();
    assert_eq!(again.commit(change("production", 1, &manifests)).await.unwrap(), first);
    assert_eq!(again.repository().head("main").await.unwrap(), Some(second.clone()));

    let rendered = again.render(&second, &target("production")).await.unwrap();
    let (workload, _) = workload::decode(&target("production"), &rendered.resources).unwrap();
    assert_eq!(workload.container.image, format!("web@sha256:{:064x}", 1));
    let error = again.render(&second, &target("test")).await.unwrap_err();
    assert!(matches!(error, RenderError::NotDeployed { .. }), "{error}");
    let info = again.repository().commit_info(&first).await.unwrap();
    assert_eq!((info.author_name.as_str(), info.subject.as_str()), ("Ada script", "Deploy number 1"));
    insta::assert_snapshot!("deploy_message", info.message);
    let file = again.repository().read_file(&first, "production/web/kustomization.yaml").await.unwrap().unwrap();
    insta::assert_snapshot!("deploy_kustomization", String::from_utf8(file).unwrap());
}

#[tokio::test]
async fn the_same_inputs_make_the_same_commits() {
    let ((_one_dir, one), (_two_dir, two)) = (open().await, open().await);
    for deployments in [&one, &two] {
        let first = deployments.commit(change("production", 1, &fixture::tree(MANIFESTS))).await.unwrap();
        deployments.revert(revert("production", 1, &first)).await.unwrap();
    }
    assert_eq!(one.repository().head("main").await.unwrap(), two.repository().head("main").await.unwrap());
}

#[tokio::test]
async fn a_revert_puts_back_what_was_before_and_says_why() {
    let (_dir, deployments) = open().await;
    let manifests = fixture::tree(MANIFESTS);
    let first = deployments.commit(change("production", 1, &manifests)).await.unwrap();
    let mut changed = manifests.clone();
    changed.insert("production/kustomization.yaml", "resources: [../base]").unwrap();
    let second = deployments.commit(change("production", 2, &changed)).await.unwrap();
    deployments.commit(change("staging", 2, &manifests)).await.unwrap();
    let reverted = deployments.revert(revert("production", 2, &second)).await.unwrap();
    assert_eq!(deployments.revert(revert("production", 2, &second)).await.unwrap(), reverted);

    let repository = deployments.repository();
    assert_eq!(
        repository.tree(&reverted, "production/web").await.unwrap(),
        repository.tree(&first, "production/web").await.unwrap()
    );
    assert!(!repository.tree(&reverted, "staging/web").await.unwrap().is_empty());
    insta::assert_snapshot!("revert_message", repository.commit_info(&reverted).await.unwrap().message);

    let history = deployments.history(&target("production"), 10).await.unwrap();
    let seen: Vec<_> = history.iter().map(|entry| (entry.commit.clone(), entry.action, entry.flight.clone())).collect();
    assert_eq!(
        seen,
        [
            (reverted, Action::Revert, flight(2)),
            (second, Action::Deploy, flight(2)),
            (first, Action::Deploy, flight(1)),
        ]
    );
    assert_eq!(deployments.history(&target("production"), 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_revert_may_go_further_back() {
    let (_dir, deployments) = open().await;
    let mut commits = Vec::new();
    for n in 1..=3 {
        commits.push(deployments.commit(change("production", n, &fixture::tree(MANIFESTS))).await.unwrap());
    }
    let request = RevertRequest { restore: Some(commits[0].clone()), ..revert("production", 3, &commits[2]) };
    let reverted = deployments.revert(request).await.unwrap();
    let folder = async |commit| deployments.repository().tree(commit, "production/web").await.unwrap();
    assert_eq!(folder(&reverted).await, folder(&commits[0]).await);
    assert_ne!(folder(&reverted).await, folder(&commits[1]).await);
}

#[tokio::test]
async fn a_revert_can_be_put_right_by_another() {
    let (_dir, deployments) = open().await;
    let mut commits = Vec::new();
    for n in 1..=3 {
        commits.push(deployments.commit(change("production", n, &fixture::tree(MANIFESTS))).await.unwrap());
    }
    let first = revert("production", 3, &commits[2]);
    let reverted = deployments.revert(first.clone()).await.unwrap();
    let second =
        RevertRequest { restore: Some(commits[0].clone()), supersedes: Some(reverted.clone()), ..first.clone() };
    let righted = deployments.revert(second.clone()).await.unwrap();
    let folder = async |commit| deployments.repository().tree(commit, "production/web").await.unwrap();
    assert_eq!(folder(&righted).await, folder(&commits[0]).await);
    assert_ne!(reverted, righted);
    // Asked again after a crash, each is found.
    assert_eq!(deployments.revert(second.clone()).await.unwrap(), righted);
    assert_eq!(deployments.revert(first).await.unwrap(), reverted);
    assert_eq!(deployments.history(&target("production"), 9).await.unwrap()[0].supersedes, Some(reverted));
    // What came later stays.
    let later = deployments.commit(change("production", 4, &fixture::tree(MANIFESTS))).await.unwrap();
    let third = RevertRequest { restore: None, supersedes: Some(righted), ..second };
    let error = deployments.revert(third).await.unwrap_err();
    assert!(matches!(error, DeployError::Superseded { .. }), "{error}");
    assert_eq!(deployments.repository().head("main").await.unwrap(), Some(later));
}

#[tokio::test]
async fn reverting_the_first_deployment_removes_the_folder() {
    let (_dir, deployments) = open().await;
    let first = deployments.commit(change("production", 1, &fixture::tree(MANIFESTS))).await.unwrap();
    let reverted = deployments.revert(revert("production", 1, &first)).await.unwrap();
    assert!(deployments.repository().tree(&reverted, "").await.unwrap().is_empty());
    let error = deployments.render(&reverted, &target("production")).await.unwrap_err();
    assert!(matches!(error, RenderError::NotDeployed { .. }));
}

#[tokio::test]
async fn an_older_deployment_can_not_be_reverted_over_a_newer_one() {
    let (_dir, deployments) = open().await;
    let first = deployments.commit(change("production", 1, &fixture::tree(MANIFESTS))).await.unwrap();
    let second = deployments.commit(change("production", 2, &fixture::tree(MANIFESTS))).await.unwrap();
    let error = deployments.revert(revert("production", 1, &first)).await.unwrap_err();
    assert!(matches!(error, DeployError::Superseded { .. }), "{error}");
    assert_eq!(deployments.repository().head("main").await.unwrap(), Some(second));
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    let (dir, one) = open().await;
    let two = Deployments::open(dir.path().to_owned()).await.unwrap();
    let manifests = fixture::tree(MANIFESTS);
    let (a, b, c) = tokio::join!(
        one.commit(change("production", 1, &manifests)),
        two.commit(change("staging", 1, &manifests)),
        two.commit(change("test", 1, &manifests)),
    );
    let head = one.repository().head("main").await.unwrap().unwrap();
    for commit in [a, b, c] {
        assert!(one.repository().is_ancestor(&commit.unwrap(), &head).await.unwrap());
    }
    for environment in ["production", "staging", "test"] {
        assert!(one.render(&head, &target(environment)).await.is_ok(), "{environment}");
    }
}

#[test]
fn all_manifests_can_be_the_overlay() {
    let mut manifests = fixture::tree(MANIFESTS);
    manifests.insert("kustomization.yaml", "resources: [production]\n").unwrap();
    let (all, one) =
        (rendered(&manifests, ".", Some(1)).unwrap(), rendered(&manifests, "production", Some(1)).unwrap());
    assert_eq!(all.files(), one.files());
}

fn json(resources: &[kustomize::Resource]) -> Vec<serde_json::Value> {
    resources.iter().map(kustomize::Resource::to_json).collect()
}

#[tokio::test]
async fn what_is_committed_is_what_was_rendered() {
    let (_dir, deployments) = open().await;
    let manifests = fixture::tree(MANIFESTS);
    let before = rendered(&manifests, "production", None).unwrap().resources;
    let commit = deployments.commit(change("production", 0, &manifests)).await.unwrap();
    let after = deployments.render(&commit, &target("production")).await.unwrap().resources;
    assert_eq!(json(&before), json(&after));
    assert!(workload::decode(&target("production"), &before).is_ok());
    assert!(rendered(&manifests, "nowhere", None).is_err());
    // Nothing of it needs a kustomization to be read.
    let folder = deployments.repository().tree(&commit, "production/web").await.unwrap();
    let files: Vec<&str> = folder.files().map(|(path, _)| path).collect();
    assert_eq!(
        files,
        [
            "kustomization.yaml",
            "objects/apps_v1_deployment_web.yaml",
            "objects/v1_configmap_settings-7259mk6bgm.yaml",
            "objects/v1_secret_token-cf85kd65mm.yaml",
            "objects/v1_service_web.yaml"
        ]
    );
    let text = std::str::from_utf8(folder.get("objects/apps_v1_deployment_web.yaml").unwrap()).unwrap();
    assert!(text.contains(&format!("image: web@sha256:{:064x}", 0)), "{text}");
}

#[test]
fn files_are_named_by_their_objects_and_keep_their_order() {
    let object = |kind: &str, name: &str| {
        format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{{name}}}\n---\n")
    };
    let all = [
        object("ClusterRole", "name: 'system:Web/x'"),
        object("Role", "name: web"),
        object("Role", "name: WEB"),
        object("Role", &format!("name: {}", "x".repeat(300))),
    ];
    let manifests = FileTree::from_files([
        ("kustomization.yaml", "resources: [all.yaml]\n".to_owned()),
        ("all.yaml", all.concat()),
    ]);
    let manifests = manifests.unwrap();
    let names: Vec<String> =
        rendered(&manifests, "", None).unwrap().files().into_iter().map(|(name, _)| name).collect();
    let long = "x".repeat(200 - "rbac.authorization.k8s.io_v1_role_".len());
    let expected = ["role_web", "role_web-2", &format!("role_{long}"), "clusterrole_system-web-x"];
    assert_eq!(names, expected.map(|name| format!("rbac.authorization.k8s.io_v1_{name}.yaml")));
}

#[test]
fn a_directory_without_a_kustomization_is_all_its_objects() {
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, image: web}]}}}\n";
    let manifests = FileTree::from_files([
        ("production/web.yaml", web),
        ("production/service.json", r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}"#),
        ("production/notes.txt", "nothing"),
        ("production/below/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"),
        ("empty/notes.txt", "nothing"),
    ]);
    let manifests = manifests.unwrap();
    let made = rendered(&manifests, "production", Some(3)).unwrap();
    let names: Vec<String> = made.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["v1_service_web.yaml", "apps_v1_deployment_web.yaml"]);
    assert!(made.files()[1].1.contains(&format!("image: web@sha256:{:064x}", 3)));
    let error = rendered(&manifests, "empty", None).unwrap_err();
    assert!(matches!(&error, DeployError::Manifests(found) if found.to_string().contains("kustomization")), "{error}");
    // What is wrong is told at its place.
    let broken = FileTree::from_files([("web.yaml", "kind: [")]).unwrap();
    assert!(rendered(&broken, "", None).unwrap_err().to_string().contains("manifests/web.yaml:1:"));
}

#[tokio::test]
async fn locks_that_a_crash_left_are_removed_on_the_next_start() {
    let (dir, deployments) = open().await;
    let lock = deployments.repository().path().join("refs/heads/main.lock");
    std::fs::write(&lock, "").unwrap();
    assert!(deployments.commit(change("production", 1, &fixture::tree(MANIFESTS))).await.is_err());
    let again = Deployments::open(dir.path().to_owned()).await.unwrap();
    assert!(again.commit(change("production", 1, &fixture::tree(MANIFESTS))).await.is_ok());
}

#[test]
fn what_can_not_be_deployed_is_refused() {
    let mut linked = fixture::tree(MANIFESTS);
    linked.insert_link("base/link.yaml", "/etc/passwd").unwrap();
    let error = rendered(&linked, "production", None).unwrap_err();
    assert!(matches!(error, DeployError::Symlink(_)), "{error}");
    for overlay in ["../production", "/", "/production", "nowhere", "a\nb"] {
        assert!(rendered(&fixture::tree(MANIFESTS), overlay, None).is_err(), "{overlay:?}");
    }
}

/// A commit of the file tree, its parents, and what of it is the place's folder.
async fn lies(deployments: &Deployments, branch: &str) -> Option<(CommitId, Vec<CommitId>, String)> {
    let repository = deployments.repository();
    let commit = repository.head(branch).await.unwrap()?;
    let folders = deployments.folders(&[(target("production"), commit.clone())]).await.unwrap();
    let parents = repository.commit_info(&commit).await.unwrap().parents;
    Some((commit, parents, folders.into_iter().next().flatten().unwrap()))
}

const PROPOSAL: &str = "proposals/production/web";

#[tokio::test]
async fn what_is_proposed_is_the_commit_that_would_be_made() {
    let (_dir, deployments) = open().await;
    let manifests = fixture::tree(MANIFESTS);
    // Also where nothing was deployed yet.
    let first = deployments.propose(change("production", 1, &manifests)).await.unwrap();
    assert_eq!(lies(&deployments, PROPOSAL).await.unwrap().1, []);
    assert_eq!(deployments.repository().head("main").await.unwrap(), None);
    assert_eq!(deployments.propose(change("production", 1, &manifests)).await.unwrap(), first);
    let made = deployments.commit(change("production", 1, &manifests)).await.unwrap();
    assert_eq!(made, first, "the very commit");
    // A later one takes its place.
    let second = deployments.propose(change("production", 2, &manifests)).await.unwrap();
    let (commit, parents, _) = lies(&deployments, PROPOSAL).await.unwrap();
    assert_eq!((&commit, parents.as_slice()), (&second, [made].as_slice()));
    deployments.propose(change("staging", 2, &manifests)).await.unwrap();
    let made = deployments.commit(change("production", 2, &manifests)).await.unwrap();
    assert_eq!(made, second);
}

#[tokio::test]
async fn what_is_proposed_follows_main_and_goes_when_nothing_is_left_to_merge() {
    let (_dir, deployments) = open().await;
    let manifests = fixture::tree(MANIFESTS);
    let commit = deployments.propose(change("production", 1, &manifests)).await.unwrap();
    deployments.propose(change("test", 1, &manifests)).await.unwrap();
    let before = lies(&deployments, PROPOSAL).await.unwrap();
    let over = |_: &Target, of: &FlightId| *of == flight(1);
    deployments.keep_proposals(&[], |_, _| false).await.unwrap();
    assert_eq!(lies(&deployments, PROPOSAL).await, Some(before.clone()), "it may be known in a moment");
    let proposed = Proposed { target: target("production"), commit: commit.clone() };
    deployments.keep_proposals(std::slice::from_ref(&proposed), over).await.unwrap();
    assert_eq!(lies(&deployments, PROPOSAL).await.unwrap(), before, "main is where it was");
    assert_eq!(deployments.repository().head("proposals/test/web").await.unwrap(), None);

    let main = deployments.commit(change("staging", 2, &manifests)).await.unwrap();
    deployments.keep_proposals(std::slice::from_ref(&proposed), over).await.unwrap();
    let (again, parents, folder) = lies(&deployments, PROPOSAL).await.unwrap();
    assert_eq!((parents.as_slice(), folder), ([main.clone()].as_slice(), before.2.clone()));
    assert!(again != commit && !deployments.repository().tree(&again, "staging/web").await.unwrap().is_empty());
    // One that was lost is made again, and what lies there counts as proposed.
    assert_eq!(deployments.propose(change("production", 1, &manifests)).await.unwrap(), again);
    deployments.keep_proposals(&[], over).await.unwrap();
    assert_eq!(lies(&deployments, PROPOSAL).await, None);
    deployments.keep_proposals(&[proposed], over).await.unwrap();
    assert_eq!(lies(&deployments, PROPOSAL).await.unwrap(), (again, vec![main], before.2));
}

#[tokio::test]
async fn a_release_that_was_merged_needs_no_other_commit() {
    let (_dir, deployments) = open().await;
    let manifests = fixture::tree(MANIFESTS);
    let first = deployments.commit(change("production", 1, &manifests)).await.unwrap();
    // As somebody would who copies what is proposed.
    let copy = deployments.commit(change("production", 2, &manifests)).await.unwrap();
    let merged = |by: &CommitId| DeployChange { merged: Some(by.clone()), ..change("production", 2, &manifests) };
    assert_eq!(deployments.commit(merged(&copy)).await.unwrap(), copy);
    let strange = deployments.commit(DeployChange { flight: flight(3), ..merged(&first) }).await.unwrap();
    assert!(strange != first && strange != copy, "that commit does not have it");
    let merge = deployments.last_merge(&target("production")).await.unwrap().unwrap();
    assert_eq!((merge.commit, merge.by.as_str()), (strange, "git push"), "nobody said who pushed it");

    // The server merges for somebody, also when `main` has moved on.
    let commit = deployments.propose(change("production", 4, &manifests)).await.unwrap();
    deployments.commit(change("staging", 4, &manifests)).await.unwrap();
    let proposed = Proposed { target: target("production"), commit: commit.clone() };
    let merged = deployments.merge(&proposed, "Ann <script>").await.unwrap();
    assert!(merged != commit && deployments.repository().head("main").await.unwrap() == Some(merged.clone()));
    let merge = deployments.last_merge(&target("production")).await.unwrap().unwrap();
    assert_eq!((merge.commit, merge.by.as_str()), (merged, "Ann script"));
}

/// A host with what the deployment repository has, and somebody's clone of it.
async fn host(dir: &Path, deployments: &Deployments) -> (Upstream, PathBuf) {
    client::git_ok(dir, &["init", "--quiet", "--bare", "host.git"]).await;
    client::git_ok(&dir.join("host.git"), &["symbolic-ref", "HEAD", "refs/heads/main"]).await;
    let url = dir.join("host.git").display().to_string();
    let upstream = Upstream { url, branch: "main".into(), credential: None, ca_file: None };
    send(&upstream, deployments).await.unwrap();
    client::git_ok(dir, &["clone", "--quiet", "host.git", "desk"]).await;
    (upstream, dir.join("desk"))
}

async fn send(upstream: &Upstream, deployments: &Deployments) -> Result<(), GitError> {
    let branches = deployments.branches().await.unwrap();
    let all: Vec<String> = branches.iter().map(|(name, commit)| format!("{commit}:refs/heads/{name}")).collect();
    deployments.repository().push_upstream(upstream, &all).await?;
    let there = deployments.repository().look_branches(upstream, &["main", "proposals/*"]).await?;
    assert_eq!(there, branches);
    Ok(())
}

/// As a host writes a merge of Grace's.
async fn merge(desk: &Path, branch: &str) {
    client::git_ok(desk, &["merge", "--quiet", "--no-ff", "-m", "Merge pull request #1", branch]).await;
    client::git_ok(desk, &["commit", "--quiet", "--amend", "--no-edit", "--author=Grace <grace@example.org>"]).await;
    client::git_ok(desk, &["push", "--quiet", "origin", "main"]).await;
}

#[tokio::test]
async fn what_is_merged_at_a_host_is_taken_over_as_a_push_would_be() {
    let (dir, deployments) = open().await;
    let (manifests, repository) = (fixture::tree(MANIFESTS), deployments.repository());
    deployments.commit(change("test", 1, &manifests)).await.unwrap();
    let proposed = deployments.propose(change("production", 1, &manifests)).await.unwrap();
    let (upstream, desk) = host(dir.path(), &deployments).await;
    merge(&desk, &format!("origin/{PROPOSAL}")).await;
    // Meanwhile something else was deployed here.
    let ours = deployments.commit(change("staging", 2, &manifests)).await.unwrap();
    let theirs = repository.fetch_upstream(&upstream).await.unwrap();
    assert!(send(&upstream, &deployments).await.is_err(), "the host's branch is not thrown away");

    let tree = deployments.folders(&[(target("production"), proposed)]).await.unwrap().remove(0).unwrap();
    let mut rules = FolderRules { allowed: Vec::new(), refused: Vec::new(), hint: String::new() };
    let is = FolderState { path: "production/web".into(), tree };
    rules.refused = vec![(is.clone(), "it waits for approval".to_owned())];
    let refused = deployments.take_over(&theirs, &rules, "host").await.unwrap();
    assert_eq!(refused, Taken::Refused("production/web can't be merged: it waits for approval".to_owned()));
    assert_eq!(repository.head("main").await.unwrap(), Some(ours));
    rules.allowed = vec![is];
    let Taken::Main(merged) = deployments.take_over(&theirs, &rules, "host").await.unwrap() else { panic!() };
    assert!(repository.is_ancestor(&theirs, &merged).await.unwrap());
    for environment in ["test", "staging", "production"] {
        let path = format!("{environment}/web");
        assert!(!repository.tree(&merged, &path).await.unwrap().is_empty(), "{path}");
    }
    let merge = deployments.last_merge(&target("production")).await.unwrap().unwrap();
    assert_eq!((merge.commit, merge.by.as_str()), (merged, "Grace"));
    assert_eq!(deployments.take_over(&theirs, &rules, "host").await.unwrap(), Taken::Nothing);
    send(&upstream, &deployments).await.unwrap();
}

#[tokio::test]
async fn what_a_host_may_not_say_is_refused_and_nothing_of_it_taken() {
    let (dir, deployments) = open().await;
    let (manifests, repository) = (fixture::tree(MANIFESTS), deployments.repository());
    let ours = deployments.commit(change("test", 1, &manifests)).await.unwrap();
    let (upstream, desk) = host(dir.path(), &deployments).await;
    let rules = FolderRules { allowed: Vec::new(), refused: Vec::new(), hint: String::new() };
    let cases: [(&[&str], &str); 3] = [
        (&["rm", "--quiet", "-r", "test/web"], "test/web would go"),
        (&["mv", "test/web", "test/other"], "test/other would become something that no release was there"),
        (&["mv", "test/web/kustomization.yaml", "README"], "files that are no service's"),
    ];
    for (command, expected) in cases {
        client::git_ok(&desk, &["reset", "--quiet", "--hard", ours.as_str()]).await;
        client::git_ok(&desk, command).await;
        client::git_ok(&desk, &["commit", "--quiet", "-m", "Change"]).await;
        client::git_ok(&desk, &["push", "--quiet", "--force", "origin", "main"]).await;
        let theirs = repository.fetch_upstream(&upstream).await.unwrap();
        let Taken::Refused(why) = deployments.take_over(&theirs, &rules, "host").await.unwrap() else { panic!() };
        assert!(why.contains(expected), "{why}");
    }
    // What was changed here as well is not taken, even if it may be.
    client::git_ok(&desk, &["reset", "--quiet", "--hard", ours.as_str()]).await;
    client::git_ok(&desk, &["rm", "--quiet", "test/web/kustomization.yaml"]).await;
    client::git_ok(&desk, &["commit", "--quiet", "-m", "Change"]).await;
    client::git_ok(&desk, &["push", "--quiet", "--force", "origin", "main"]).await;
    let theirs = repository.fetch_upstream(&upstream).await.unwrap();
    let main = deployments.commit(change("test", 2, &manifests)).await.unwrap();
    let tree = deployments.folders(&[(target("test"), theirs.clone())]).await.unwrap().remove(0).unwrap();
    let rules = FolderRules { allowed: vec![FolderState { path: "test/web".into(), tree }], ..rules };
    let Taken::Refused(why) = deployments.take_over(&theirs, &rules, "host").await.unwrap() else { panic!() };
    assert_eq!(why, "test/web was changed here and there");
    assert_eq!(repository.head("main").await.unwrap(), Some(main));
}

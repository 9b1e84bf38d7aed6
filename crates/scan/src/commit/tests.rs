use std::process::Command;

use serde_json::json;

use super::*;
use crate::db::Builder;

/// Looks like a token of GitHub, and is none.
fn token() -> String {
    format!("ghp_{}", "a8Kd03LqPz71VnXwYt5RbMc92GhJfEsU6oQi")
}

const LOCK: &str = "version = 4\n\n[[package]]\nname = \"worn\"\nversion = \"0.1.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"00\"\n";

struct Place {
    dir: tempfile::TempDir,
    limits: Limits,
}

impl Place {
    fn new(fail_on: Option<Severity>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        let limits = Limits { fail_on, database: dir.path().join("vulnerabilities.db") };
        let place = Self { dir, limits };
        place.git(&["init", "-q", "-b", "main"]);
        place
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.tree());
        command.args(["-c", "user.name=ann", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]).args(args);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.tree().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits everything; gives the commit.
    fn commit(&self) -> prograde_model::CommitId {
        self.git(&["add", "-A", "-f"]);
        self.git(&["commit", "-qm", "x", "--allow-empty"]);
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    fn knows(&self, severity: &str) {
        let mut builder = Builder::default();
        builder.begin("test");
        let advisory = json!({
            "id": "RUSTSEC-2026-0001", "summary": "it tears", "database_specific": {"severity": severity},
            "affected": [{"package": {"ecosystem": "crates.io", "name": "worn"},
                "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "0.2.0"}]}]}],
        });
        builder.add_osv("x.json", advisory.to_string().as_bytes());
        std::fs::write(&self.limits.database, builder.finish("2026-11-01T00:00:00Z")).unwrap();
    }

    fn look(&self, history: Option<&Commits>) -> Looked {
        let tree = self.tree();
        let history = history.map(|commits| (tree.as_path(), commits));
        look(&tree, Ignored::LookedAt, history, &self.limits, "2026-11-28T12:00:00Z".parse().unwrap())
    }
}

fn said(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn a_secret_stops_a_commit_and_is_not_shown() {
    let place = Place::new(Some(Severity::High));
    place.write("deploy.env", &format!("A=1\nTOKEN={}\n", token()));
    let looked = place.look(None);
    let text = said(&looked.refused).join("\n");
    assert!(text.contains("deploy.env:2") && text.contains("github-token") && text.contains("ghp_…"), "{text}");
    assert!(!text.contains(&token()), "{text}");
    // What opens nothing any more is allowed by its fingerprint, with a reason.
    let print = text.split("fingerprint ").nth(1).unwrap().split(' ').next().unwrap();
    place.write(".prograde/secrets.yaml", &format!("allow:\n- fingerprint: {print}\n  reason: revoked\n"));
    assert_eq!(said(&place.look(None).refused), Vec::<String>::new());
}

#[test]
fn a_secret_that_an_earlier_commit_brought_has_leaked_although_the_file_is_gone() {
    let place = Place::new(Some(Severity::High));
    place.write("a.txt", "a\n");
    let since = place.commit();
    place.write("deploy.env", &token());
    let leaked = place.commit();
    std::fs::remove_file(place.tree().join("deploy.env")).unwrap();
    let until = place.commit();
    let looked = place.look(Some(&Commits::Between { since, until: until.clone() }));
    let text = said(&looked.refused).join("\n");
    assert!(text.contains(&format!("brought by commit {} of ann", leaked.short())), "{text}");
    assert_eq!((looked.refused.len(), looked.report.commits), (1, 2));
    // What was there before the last commit that was let past is not told again.
    let looked = place.look(Some(&Commits::Between { since: leaked, until }));
    assert_eq!((said(&looked.refused), looked.report.commits), (Vec::new(), 1));
}

#[test]
fn a_vulnerable_dependency_stops_a_commit_until_somebody_answers_for_it() {
    let place = Place::new(Some(Severity::High));
    place.write("Cargo.lock", LOCK);
    let looked = place.look(None);
    assert!(looked.refused.is_empty() && looked.report.database.is_none());
    assert!(said(&looked.told).join("").contains("1 packages were not looked up"), "{:?}", looked.told);
    place.knows("HIGH");
    let looked = place.look(None);
    let text = said(&looked.refused).join("\n");
    assert!(
        text.contains("Cargo.lock:4") && text.contains("worn 0.1.0 has RUSTSEC-2026-0001, high: it tears"),
        "{text}"
    );
    assert!(text.contains("0.2.0"), "{text}");
    assert_eq!(looked.report.database.unwrap().to_string(), "2026-11-01T00:00:00Z");
    let exception = "exceptions:\n- id: RUSTSEC-2026-0001\n  reason: not reached\n  owner: ann\n  expires: 2026-11-";
    place.write(".prograde/exceptions.yaml", &format!("{exception}28\n"));
    let looked = place.look(None);
    assert_eq!((said(&looked.refused), looked.report.excepted), (Vec::new(), 1));
    place.write(".prograde/exceptions.yaml", &format!("{exception}27\n"));
    let looked = place.look(None);
    assert_eq!((looked.refused.len(), looked.report.excepted), (1, 0));
    assert!(said(&looked.told).join("").contains("expired on 2026-11-27"), "{:?}", looked.told);
}

#[test]
fn what_is_less_bad_than_the_limit_is_told_and_counted() {
    for limit in [Some(Severity::Critical), None] {
        let place = Place::new(limit);
        place.write("Cargo.lock", LOCK);
        place.knows("HIGH");
        let looked = place.look(None);
        assert!(looked.refused.is_empty());
        assert_eq!(looked.report.found, [("high".to_owned(), 1)].into());
        assert_eq!((looked.report.packages, looked.report.files), (1, 1));
    }
}

#[test]
fn what_cannot_be_read_stops_a_commit() {
    let place = Place::new(None);
    place.write("Cargo.lock", "[[package]\n");
    place.write(".prograde/exceptions.yaml", "exceptions:\n- id: A\n");
    std::fs::write(&place.limits.database, "no database").unwrap();
    place.write("deep/package-lock.json", "{");
    let text = said(&place.look(None).refused).join("\n");
    for file in ["Cargo.lock", "deep/package-lock.json", ".prograde/exceptions.yaml:2"] {
        assert!(text.contains(file), "{file}: {text}");
    }
    place.write("Cargo.lock", LOCK);
    let text = said(&place.look(None).refused).join("\n");
    assert!(text.contains("vulnerabilities.db"), "{text}");
}

#[test]
fn files_that_git_ignores_are_left_out_but_not_those_that_it_keeps() {
    let place = Place::new(Some(Severity::High));
    place.write(".gitignore", "*.env\nbuilt/\n");
    place.write("kept.env", &token());
    place.commit();
    place.write("own.env", &token());
    place.write("built/x/own.txt", &token());
    place.write("new.txt", &token());
    place.write("inner/of/new.txt", &token());
    let now = "2026-11-28T12:00:00Z".parse().unwrap();
    let files = |ignored, root: &str| {
        let looked = look(&place.tree().join(root), ignored, None, &place.limits, now);
        looked.refused.into_iter().map(|one| one.file).collect::<std::collections::BTreeSet<_>>()
    };
    let all = ["built/x/own.txt", "inner/of/new.txt", "kept.env", "new.txt", "own.env"].map(str::to_owned);
    assert_eq!(files(Ignored::LookedAt, ""), all.into());
    assert_eq!(files(Ignored::LeftOut, ""), ["inner/of/new.txt", "kept.env", "new.txt"].map(str::to_owned).into());
    // A folder that is ignored as a whole is one that somebody asked for.
    assert_eq!(files(Ignored::LeftOut, "built"), ["x/own.txt".to_owned()].into());
}

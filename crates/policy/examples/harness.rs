//! Scratch.
#![allow(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::indexing_slicing, missing_docs)]
use std::path::{Path, PathBuf};
struct Dir(PathBuf);
impl prograde_policy::testing::Files for Dir {
    fn read(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        let path = self.0.join(path);
        let mut all = vec![];
        if path.is_dir() {
            let mut names: Vec<_> = std::fs::read_dir(&path).map_err(|e| e.to_string())?.map(|e| e.unwrap().path()).collect();
            names.sort();
            for n in names { if n.extension().is_some_and(|e| e == "yaml" || e == "yml") { all.push((n.display().to_string(), std::fs::read_to_string(&n).unwrap())); } }
        } else { all.push((path.display().to_string(), std::fs::read_to_string(&path).map_err(|e| e.to_string())?)); }
        Ok(all)
    }
}
fn find(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for n in names { if n.is_dir() { find(&n, out) } else if n.file_name().is_some_and(|f| f == "kyverno-test.yaml") { out.push(n) } }
}
fn main() {
    let mut files = vec![];
    for a in std::env::args().skip(1) { let p = PathBuf::from(a); if p.is_dir() { find(&p, &mut files) } else { files.push(p) } }
    let (mut pass, mut total) = (0, 0);
    for f in files {
        let text = std::fs::read_to_string(&f).unwrap();
        let t0 = std::time::Instant::now();
        match prograde_policy::testing::run(&f.display().to_string(), &text, &Dir(f.parent().unwrap().into()), "2026-11-28T00:00:00Z".parse().unwrap()) {
            Err(e) => { println!("ERR {} {e}", f.display()); }
            Ok(ran) => for r in ran {
                for d in &r.findings { println!("FIND {d}"); }
                for o in &r.outcomes { total += 1; if o.ok { pass += 1 } else { println!("BAD {} {}/{} {} want {} got {}: {}", f.display(), o.policy, o.rule, o.resource, o.expected, o.actual, o.message.chars().take(300).collect::<String>()) } }
            }
        }
        let _ = t0;
    }
    println!("{pass} of {total}");
}

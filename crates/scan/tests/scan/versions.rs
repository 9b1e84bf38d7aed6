//! Orderings of versions, compared with each ecosystem's own program over thousands of drawn pairs.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::Command;

use prograde_scan::ecosystem::Kind;
use prograde_scan::version::compare;

use super::peer::{answer, missing, program, python};

/// Draws versions; the same seed draws the same.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Numbers with dots between them.
    fn numbers(&mut self, least: usize, most: usize) -> String {
        let count = least + self.below(most - least + 1);
        let number = |draw: &mut Self| draw.of(&["0", "1", "2", "3", "9", "10", "11", "99", "100", "2024"]).to_owned();
        (0..count).map(|_| number(self)).collect::<Vec<_>>().join(".")
    }
}

/// Pairs that are often close to each other.
fn pairs(count: usize, draw: impl Fn(&mut Draw) -> String) -> Vec<(String, String)> {
    let mut random = Draw(20_260_201);
    (0..count)
        .map(|_| {
            let left = draw(&mut random);
            let right = if random.below(4) == 0 {
                format!(
                    "{left}{}",
                    random.of(&[".0", ".1", "-1", "a", "~1", "+1", "-rc1", ".0.0", "-SNAPSHOT", "_p1", "-r1"])
                )
            } else {
                draw(&mut random)
            };
            (left, right)
        })
        .collect()
}

/// Both say the same of every pair that the peer takes; what it refuses we may take or refuse.
fn check(kind: Kind, pairs: &[(String, String)], theirs: &[Option<i64>]) {
    assert_eq!(pairs.len(), theirs.len());
    let mut judged = 0;
    let mut wrong = Vec::new();
    for ((left, right), theirs) in pairs.iter().zip(theirs) {
        let Some(theirs) = theirs else { continue };
        judged += 1;
        let ours = compare(kind, left, right).map(|order| match order {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        });
        if ours != Ok(theirs.signum()) {
            wrong.push(format!("{left} and {right}: ours {ours:?}, theirs {theirs}"));
        }
    }
    assert!(judged * 2 > pairs.len(), "the peer judged only {judged} of {}", pairs.len());
    assert!(wrong.is_empty(), "{} of {judged} of {}: {:#?}", wrong.len(), kind.name(), &wrong[..wrong.len().min(30)]);
}

fn by_json(command: &mut Command, pairs: &[(String, String)]) -> Vec<Option<i64>> {
    serde_json::from_slice(&answer(command, &serde_json::to_vec(pairs).unwrap())).unwrap()
}

fn semantic(draw: &mut Draw) -> String {
    let pre = draw.of(&[
        "",
        "",
        "-0",
        "-1",
        "-alpha",
        "-alpha.1",
        "-alpha.beta",
        "-beta.11",
        "-beta.2",
        "-rc.1",
        "-a-b",
        "-1a",
        "-x.7.z",
        "-20240101",
    ]);
    format!("{}{pre}{}", draw.numbers(3, 3), draw.of(&["", "", "", "+build", "+1.2"]))
}

#[test]
fn npm_orders_the_same() {
    let node = program("node").or_else(|| program("nodejs"));
    let places = [
        "/usr/lib/node_modules/npm/node_modules/semver",
        "/usr/local/lib/node_modules/npm/node_modules/semver",
        "/usr/share/nodejs/semver",
    ];
    let semver = places.iter().map(Path::new).find(|path| path.is_dir());
    let Some((node, semver)) = node.zip(semver) else { return missing("npm with its package semver") };
    let pairs = pairs(5000, semantic);
    let script = format!(
        "const s = require({:?}); const p = JSON.parse(require('fs').readFileSync(0)); const v = x => s.valid(x);\
         console.log(JSON.stringify(p.map(([a, b]) => v(a) && v(b) ? s.compare(a, b) : null)))",
        semver.display().to_string()
    );
    check(Kind::Npm, &pairs, &by_json(Command::new(node).args(["-e", &script]), &pairs));
}

#[test]
fn go_orders_the_same() {
    if program("go").is_none() {
        return missing("go");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer");
    let folder = tempfile::tempdir().unwrap();
    let built =
        Command::new("go").args(["build", "-o"]).arg(folder.path()).arg(".").current_dir(source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let pairs = pairs(5000, |draw| match draw.below(4) {
        0 => format!("0.0.0-{}-abcdefabcdef", draw.of(&["20180101000000", "20190101000000"])),
        1 => format!("{}+incompatible", draw.numbers(1, 3)),
        _ => semantic(draw),
    });
    check(Kind::Go, &pairs, &by_json(&mut Command::new(folder.path().join("peer")), &pairs));
}

#[test]
fn python_orders_the_same() {
    let Some(python) = python("scan") else { return missing("packaging for Python") };
    let pairs = pairs(6000, |draw| {
        let epoch = draw.of(&["", "", "", "1!", "0!", "v"]);
        let pre = draw.of(&["", "", "a1", "b2", "rc1", ".alpha.2", "-beta3", "_c4", "pre", "preview1", "a"]);
        let post = draw.of(&["", "", ".post1", "-1", ".r2", "post", ".rev3", "-post2"]);
        let dev = draw.of(&["", "", "", ".dev1", "dev2", "-dev", ".dev0"]);
        let local = draw.of(&["", "", "", "+abc", "+1.2", "+abc.5", "+5", "+ubuntu-1", "+A.01"]);
        format!("{epoch}{}{pre}{post}{dev}{local}", draw.numbers(1, 4))
    });
    let script = "import json,sys\nfrom packaging.version import Version,InvalidVersion\n\
        def f(a,b):\n  try: x,y=Version(a),Version(b)\n  except InvalidVersion: return None\n  return (x>y)-(x<y)\n\
        print(json.dumps([f(a,b) for a,b in json.load(sys.stdin)]))";
    check(Kind::PyPi, &pairs, &by_json(Command::new(python).args(["-c", script]), &pairs));
}

#[test]
fn ruby_orders_the_same() {
    let Some(ruby) = program("ruby") else { return missing("ruby") };
    let pairs = pairs(5000, |draw| {
        let pre =
            draw.of(&["", "", ".pre", ".a", ".a.1", ".rc1", ".beta.2", "-x", ".b10", ".0.a", ".pre.0", "-1", ".1a2"]);
        format!("{}{pre}", draw.numbers(1, 4))
    });
    let script = "require 'json'; p = JSON.parse(STDIN.read); v = ->(x) { Gem::Version.correct?(x) };\
        puts JSON.generate(p.map { |a, b| v[a] && v[b] ? Gem::Version.new(a) <=> Gem::Version.new(b) : nil })";
    check(Kind::RubyGems, &pairs, &by_json(Command::new(ruby).args(["-e", script]), &pairs));
}

#[test]
fn dpkg_orders_the_same() {
    let Some(dpkg) = program("dpkg") else { return missing("dpkg") };
    let pairs = pairs(2500, |draw| {
        let epoch = draw.of(&["", "", "", "0:", "1:", "10:"]);
        let middle =
            draw.of(&["", "", "~", "~rc1", "+dfsg", "~beta~1", "a", "+", ".z", "~~", "-x", "0b", "+really1.2"]);
        let revision =
            draw.of(&["", "-1", "-0", "-1+b1", "-1~deb12u1", "-1ubuntu2", "-10", "-1.1", "-0ubuntu0.20.04.1"]);
        format!("{epoch}{}{middle}{revision}", draw.numbers(1, 3))
    });
    let says = |left: &str, operator: &str, right: &str| {
        Command::new(&dpkg).args(["--compare-versions", left, operator, right]).output().unwrap()
    };
    let theirs: Vec<Option<i64>> = pairs
        .iter()
        .map(|(left, right)| {
            let less = says(left, "lt", right);
            // It warns of what is no version and goes on.
            if !less.stderr.is_empty() {
                None
            } else if less.status.success() {
                Some(-1)
            } else {
                Some(i64::from(!says(left, "eq", right).status.success()))
            }
        })
        .collect();
    check(Kind::Debian, &pairs, &theirs);
}

#[test]
fn maven_orders_the_same() {
    let places = ["/usr/share/maven/lib/maven-artifact-3.x.jar", "/usr/share/java/maven-artifact-3.x.jar"];
    let jar = places.iter().map(PathBuf::from).find(|path| path.is_file());
    let Some((java, jar)) = program("java").zip(jar) else { return missing("java with Maven") };
    // Debian's Maven is older than 3.9.1, since when `.X` counts as `-X`, so no word is drawn after a dot.
    let mut pairs = pairs(3000, |draw| {
        let word = draw.of(&[
            "",
            "",
            "-alpha",
            "-a1",
            "-beta-2",
            "-rc1",
            "-SNAPSHOT",
            "-sp",
            "-final",
            "-ga",
            "-1",
            "-foo",
            "-jre8",
            "alpha",
            "b2",
            "-m3",
            "-2-x",
            "-0",
        ]);
        format!("{}{word}", draw.numbers(1, 4))
    });
    pairs.retain(|(_, right)| !right.contains('~') && !right.contains('+') && !right.contains('_'));
    // It prints each version and how it stands to the next one.
    let class = "org.apache.maven.artifact.versioning.ComparableVersion";
    let classpath =
        format!("{}:/usr/share/java/commons-lang3.jar:/usr/share/maven/lib/commons-lang3.jar", jar.display());
    let mut theirs = Vec::new();
    for some in pairs.chunks(500) {
        let arguments = some.iter().flat_map(|(left, right)| [left.as_str(), right.as_str()]);
        let output = Command::new(&java).args(["-cp", &classpath, class]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains(" < ") || line.contains(" == ") || line.contains(" > "))
            .collect();
        // Between the right of a pair and the left of the next one stands a line as well.
        theirs.extend(
            lines
                .iter()
                .step_by(2)
                .map(|line| Some(if line.contains(" < ") { -1 } else { i64::from(line.contains(" > ")) })),
        );
    }
    check(Kind::Maven, &pairs, &theirs);
}

use super::*;
use crate::package::{Origin, Scope};

fn alone(_: &str) -> Option<String> {
    None
}

fn read(path: &str, text: &str) -> Inventory {
    parse(kind_of(path).unwrap(), path, text, &alone).unwrap()
}

fn refused(path: &str, text: &str) -> Diagnostic {
    parse(kind_of(path).unwrap(), path, text, &alone).unwrap_err()
}

/// Each package with its version, its line, its scope where it is not the usual one, and what it needs.
fn shown(inventory: &Inventory) -> Vec<String> {
    let one = |at: &usize| inventory.packages[*at].shown();
    let line = |package: &crate::package::Package| {
        let scope = match package.scope {
            Scope::Runtime => "",
            Scope::Optional => " optional",
            Scope::Development => " development",
        };
        let needs: Vec<String> = package.needs.iter().map(one).collect();
        let needs = if needs.is_empty() { String::new() } else { format!(" -> {}", needs.join(", ")) };
        format!("{}:{} {}{scope}{needs}", package.line, package.purl(), package.origin_shown())
    };
    inventory.packages.iter().map(line).collect()
}

impl crate::package::Package {
    fn origin_shown(&self) -> &'static str {
        match self.origin {
            Origin::Registry => "registry",
            Origin::Url(_) => "url",
            Origin::Git(_) => "git",
            Origin::Local => "local",
        }
    }
}

/// A lock file of pnpm with so many packages.
fn large(count: usize) -> String {
    let package = |at: usize| {
        let integrity = "A".repeat(86);
        format!(
            "  package-{at}@1.0.0:\n    resolution: {{integrity: sha512-{integrity}==}}\n    engines: {{node: '>=18'}}\n    peerDependencies:\n      a: '*'\n"
        )
    };
    let packages: String = (0..count).map(package).collect();
    format!("lockfileVersion: '9.0'\npackages:\n{packages}")
}

fn check(path: &str, text: &str, expected: &[&str]) -> Inventory {
    let inventory = read(path, text);
    assert_eq!(shown(&inventory), expected, "{path}");
    inventory
}

#[test]
fn cargo_of_all_versions() {
    let newer = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"a 1.0.0\",\n \"b\",\n]\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
        checksum = \"0000000000000000000000000000000000000000000000000000000000000000\"\n\n\
        [[package]]\nname = \"a\"\nversion = \"2.0.0\"\nsource = \"sparse+https://index.crates.io/\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+https://e.org/b.git?branch=x#0123\"\ndependencies = [\"a 2.0.0\"]\n";
    let found = check(
        "x/Cargo.lock",
        newer,
        &[
            "4:pkg:cargo/app@0.1.0 local -> a 1.0.0, b 1.0.0",
            "12:pkg:cargo/a@1.0.0 registry",
            "18:pkg:cargo/a@2.0.0 registry",
            "23:pkg:cargo/b@1.0.0?vcs_url=git%2Bhttps:%2F%2Fe.org%2Fb.git%3Fbranch%3Dx%230123 git -> a 2.0.0",
        ],
    );
    assert_eq!(found.roots[0].name.as_deref(), Some("app"));
    assert_eq!(found.packages[1].hashes.len(), 1);
    let older = "[root]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"a 1.0.0 (registry+https://github.com/rust-lang/crates.io-index)\"]\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\n[metadata]\n\
        \"checksum a 1.0.0 (registry+https://github.com/rust-lang/crates.io-index)\" = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";
    let found = check("Cargo.lock", older, &["2:pkg:cargo/app@0.1.0 local -> a 1.0.0", "7:pkg:cargo/a@1.0.0 registry"]);
    assert_eq!(found.packages[1].hashes.len(), 1);
    assert_eq!(refused("Cargo.lock", "version = 9\n").code, "PG1201");
    assert!(
        refused("Cargo.lock", "[[package]]\nname = \"a\"\nversion = \"1\"\ndependencies = [\"zz\"]\n")
            .message
            .contains("`zz`")
    );
    assert_eq!(refused("Cargo.lock", "\n\nx = [").line, 3);
}

#[test]
fn npm_flat() {
    let text = r#"{
  "name": "app", "version": "1.0.0", "lockfileVersion": 3,
  "packages": {
    "": {"name": "app", "version": "1.0.0", "dependencies": {"a": "^1"}, "devDependencies": {"d": "1"}},
    "node_modules/a": {"version": "1.0.0", "license": "MIT", "dependencies": {"b": "^2", "@s/w": "*"}},
    "node_modules/a/node_modules/b": {"version": "2.0.0", "optional": true},
    "node_modules/b": {"version": "1.0.0"},
    "node_modules/d": {"version": "1.0.0", "dev": true, "dependencies": {"b": "1"}},
    "node_modules/alias": {"name": "real", "version": "3.0.0"},
    "node_modules/@s/w": {"resolved": "packages/w", "link": true},
    "packages/w": {"name": "@s/w", "version": "0.0.1"}
  }
}"#;
    let found = check(
        "package-lock.json",
        text,
        &[
            "5:pkg:npm/a@1.0.0 registry -> @s/w 0.0.1, b 2.0.0",
            "6:pkg:npm/b@2.0.0 registry optional",
            "7:pkg:npm/b@1.0.0 registry",
            "8:pkg:npm/d@1.0.0 registry development -> b 1.0.0",
            "9:pkg:npm/real@3.0.0 registry",
            "11:pkg:npm/%40s/w@0.0.1 local",
        ],
    );
    assert_eq!(found.roots[0].needs, [0, 3]);
    assert_eq!(found.packages[0].licence.as_deref(), Some("MIT"));
}

#[test]
fn npm_nested() {
    let text = r#"{
  "name": "app", "lockfileVersion": 1, "requires": true,
  "dependencies": {
    "a": {
      "version": "1.0.0", "integrity": "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "requires": {"b": "^2"},
      "dependencies": {
        "b": {
          "version": "2.0.0", "dev": true
        }
      }
    },
    "b": {
      "version": "git+https://e.org/b.git#0123"
    }
  }
}"#;
    let found = check(
        "npm-shrinkwrap.json",
        text,
        &[
            "4:pkg:npm/a@1.0.0 registry -> b 2.0.0",
            "7:pkg:npm/b@2.0.0 registry development",
            "12:pkg:npm/b?vcs_url=git%2Bhttps:%2F%2Fe.org%2Fb.git%230123 git",
        ],
    );
    assert_eq!(found.packages[0].hashes[0].algorithm, "SHA-1");
    assert_eq!(refused("package-lock.json", "{}").code, "PG1201");
    assert_eq!(refused("package-lock.json", "{\n\"packages\": 1}").line, 2);
}

#[test]
fn yarn_of_both_kinds() {
    let classic = "# yarn lockfile v1\n\n\n\"@b/c@^7.0.0\", \"@b/c@^7.8.3\":\n  version \"7.8.3\"\n  resolved \"https://r/c.tgz#00\"\n  integrity sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n  \
        dependencies:\n    d \"^1\"\n\nd@^1, d@~1.2:\n  version \"1.2.3\"\n\n\"e@npm:real@^2\":\n  version \"2.0.0\"\n";
    check(
        "yarn.lock",
        classic,
        &[
            "4:pkg:npm/%40b/c@7.8.3 registry -> d 1.2.3",
            "11:pkg:npm/d@1.2.3 registry",
            "14:pkg:npm/real@2.0.0 registry",
        ],
    );
    let berry = "__metadata:\n  version: 6\n\n\"a@npm:^1.0.0, a@npm:^1.1.0\":\n  version: 1.1.0\n  resolution: \"a@npm:1.1.0\"\n  dependencies:\n    b: ^2.0.0\n  languageName: node\n\n\
        \"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n  dependencies:\n    a: \"npm:^1.0.0\"\n\n\"b@npm:^2.0.0\":\n  version: 2.0\n  resolution: \"b@npm:2.0\"\n";
    let found = check(
        "yarn.lock",
        berry,
        &["4:pkg:npm/a@1.1.0 registry -> b 2.0", "11:pkg:npm/app local -> a 1.1.0", "17:pkg:npm/b@2.0 registry"],
    );
    assert_eq!(found.roots[0].needs, [0]);
    assert_eq!(refused("yarn.lock", "hello there").line, 1);
}

#[test]
fn pnpm_of_all_versions() {
    let five = "lockfileVersion: 5.4\ndependencies:\n  a: 1.0.0\npackages:\n  /a/1.0.0_x@1.0.0:\n    resolution: {integrity: sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n    dependencies:\n      '@s/b': 2.0.0\n    dev: false\n  /@s/b/2.0.0:\n    resolution: {}\n    dev: true\n";
    check(
        "pnpm-lock.yaml",
        five,
        &["5:pkg:npm/a@1.0.0 registry -> @s/b 2.0.0", "10:pkg:npm/%40s/b@2.0.0 registry development"],
    );
    let six = "lockfileVersion: '6.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1\n        version: 1.0.0(x@1.0.0)\npackages:\n  /a@1.0.0(x@1.0.0):\n    resolution: {integrity: sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n    dependencies:\n      '@s/b': 2.0.0\n  /@s/b@2.0.0:\n    resolution: {}\n";
    let found =
        check("pnpm-lock.yaml", six, &["9:pkg:npm/a@1.0.0 registry -> @s/b 2.0.0", "13:pkg:npm/%40s/b@2.0.0 registry"]);
    assert_eq!(found.roots[0].needs, [0]);
    let nine = "lockfileVersion: '9.0'\nimporters:\n  .:\n    devDependencies:\n      a:\n        specifier: ^1\n        version: 1.0.0(x@1.0.0)\n    dependencies:\n      al:\n        specifier: npm:real@1\n        version: real@1.0.0\npackages:\n  a@1.0.0:\n    resolution: {}\n  '@s/b@2.0.0':\n    resolution: {}\n  real@1.0.0:\n    resolution: {}\nsnapshots:\n  a@1.0.0(x@1.0.0):\n    dependencies:\n      '@s/b': 2.0.0\n  '@s/b@2.0.0': {}\n  real@1.0.0: {}\n";
    let found = check(
        "pnpm-lock.yaml",
        nine,
        &[
            "13:pkg:npm/a@1.0.0 registry development -> @s/b 2.0.0",
            "15:pkg:npm/%40s/b@2.0.0 registry development",
            "17:pkg:npm/real@1.0.0 registry",
        ],
    );
    assert_eq!(found.roots[0].needs.len(), 2);
    assert_eq!(refused("pnpm-lock.yaml", "lockfileVersion: 3\n").line, 1);
    assert_eq!(read("pnpm-lock.yaml", &large(30_000)).packages.len(), 30_000);
    assert!(refused("pnpm-lock.yaml", &large(200_000)).message.contains("33554432"));
}

#[test]
fn requirements() {
    let text = "# c\nFlask_Login[x]==1.0 ; python_version > '3' \\\n   --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000\nb>=1,<2\nc\n-r more.txt\n-r ../../../up.txt\n-e git+https://e.org/d.git@v1#egg=d\ne @ https://e.org/e.whl\nf===2.0 # why\n--index-url https://x\n./local\n";
    let beside = |path: &str| (path == "r/more.txt").then(|| "-r requirements.txt\ng == 3.0\n".to_owned());
    let found = parse(LockKind::Requirements, "r/requirements.txt", text, &beside).unwrap();
    assert_eq!(
        shown(&found),
        [
            "2:pkg:pypi/flask-login@1.0 registry",
            "4:pkg:pypi/b registry",
            "5:pkg:pypi/c registry",
            "8:pkg:pypi/d?vcs_url=git%2Bhttps:%2F%2Fe.org%2Fd.git%40v1%23egg%3Dd git",
            "9:pkg:pypi/e?download_url=https:%2F%2Fe.org%2Fe.whl url",
            "10:pkg:pypi/f@2.0 registry",
            "2:pkg:pypi/g@3.0 registry",
        ]
    );
    assert_eq!(found.packages[0].hashes.len(), 1);
    let notes: Vec<_> = found.notes.iter().map(|note| (note.code.as_str(), note.line)).collect();
    assert_eq!(notes, [("PG1203", 4), ("PG1203", 5), ("PG1204", 7)]);
    assert_eq!(refused("requirements.txt", "a==1\n{\"json\": 1}\n").line, 2);
    let endless = |path: &str| Some(format!("-r x{path}\n"));
    assert_eq!(parse(LockKind::Requirements, "a", "-r b\n", &endless).unwrap_err().code, "PG1202");
}

#[test]
fn python_in_toml() {
    let poetry = "[[package]]\nname = \"A.b\"\nversion = \"1.0\"\noptional = false\ngroups = [\"main\"]\nfiles = [{file = \"x\", hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}]\n[package.dependencies]\nC = {version = \">1\", markers = \"x\"}\n\n[[package]]\nname = \"c\"\nversion = \"2.0\"\ncategory = \"dev\"\n[package.source]\ntype = \"git\"\nurl = \"https://e.org/c\"\nresolved_reference = \"01\"\n";
    check(
        "poetry.lock",
        poetry,
        &[
            "2:pkg:pypi/a-b@1.0 registry -> c 2.0",
            "11:pkg:pypi/c@2.0?vcs_url=git%2Bhttps:%2F%2Fe.org%2Fc%4001 git development",
        ],
    );
    let uv = "version = 1\n[[package]]\nname = \"app\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"a\" }]\n[package.dev-dependencies]\ndev = [{ name = \"t\" }]\n[[package]]\nname = \"a\"\nversion = \"1.0\"\nsource = { registry = \"https://pypi.org/simple\" }\nsdist = { url = \"x\", hash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\" }\n[[package]]\nname = \"t\"\nversion = \"3\"\nsource = { registry = \"x\" }\n";
    let found = check(
        "uv.lock",
        uv,
        &["3:pkg:pypi/app@0.1 local -> a 1.0", "10:pkg:pypi/a@1.0 registry", "15:pkg:pypi/t@3 registry development"],
    );
    assert_eq!(found.packages[1].hashes.len(), 1);
    let pdm = "[metadata]\ngroups = [\"default\"]\n[[package]]\nname = \"a\"\nversion = \"1.0\"\ngroups = [\"default\"]\ndependencies = [\"b>=1; x\"]\n[[package]]\nname = \"b\"\nversion = \"1.1\"\ngroups = [\"dev\"]\n";
    check("pdm.lock", pdm, &["4:pkg:pypi/a@1.0 registry -> b 1.1", "9:pkg:pypi/b@1.1 registry development"]);
    let pipfile = "{\n \"_meta\": {},\n \"default\": {\n  \"a\": {\"version\": \"==1.0\", \"hashes\": []},\n  \"g\": {\"git\": \"https://e.org/g\", \"ref\": \"01\"}\n },\n \"develop\": {\n  \"a\": {\"version\": \"==1.0\"},\n  \"t\": {\"version\": \"==2.0\"}\n }\n}";
    check(
        "Pipfile.lock",
        pipfile,
        &[
            "4:pkg:pypi/a@1.0 registry",
            "5:pkg:pypi/g?vcs_url=git%2Bhttps:%2F%2Fe.org%2Fg%4001 git",
            "9:pkg:pypi/t@2.0 registry development",
        ],
    );
}

#[test]
fn go_modules() {
    let module = "module e.org/app // x\n\ngo 1.21.3\n\nrequire (\n\tgithub.com/A/b v1.0.0\n\te.org/c/v2 v2.1.0 // indirect\n\te.org/l v0.0.0\n)\nrequire e.org/d v3.0.0+incompatible\n\nreplace e.org/c/v2 v2.1.0 => e.org/fork v2.1.1\nreplace (\n\te.org/l => ./l\n)\nexclude e.org/x v1.0.0\n";
    check(
        "go.mod",
        module,
        &[
            "6:pkg:golang/github.com/A/b@v1.0.0 registry",
            "7:pkg:golang/e.org/fork@v2.1.1 registry",
            "8:pkg:golang/e.org/l local",
            "10:pkg:golang/e.org/d@v3.0.0%2Bincompatible registry",
            "3:pkg:golang/stdlib@1.21.3 registry",
        ],
    );
    let sums =
        "e.org/a v1.0.0 h1:x=\ne.org/a v1.0.0/go.mod h1:x=\ne.org/a v1.10.0 h1:x=\ne.org/b v1.0.0/go.mod h1:x=\n";
    check("go.sum", sums, &["3:pkg:golang/e.org/a@v1.10.0 registry"]);
    let beside = |path: &str| (path == "p/go.sum").then(|| sums.to_owned());
    let old = parse(LockKind::GoMod, "p/go.mod", "module m\ngo 1.16\nrequire e.org/z v1.0.0\n", &beside).unwrap();
    assert_eq!(shown(&old), ["3:pkg:golang/e.org/z@v1.0.0 registry", "3:pkg:golang/e.org/a@v1.10.0 registry"]);
    assert_eq!(refused("go.mod", "module m\nnonsense here\n").line, 2);
    assert_eq!(refused("go.sum", "a b\n").line, 1);
}

#[test]
fn maven_and_gradle() {
    let pom = "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<groupId>g</groupId><artifactId>a</artifactId><version>1</version>\n<properties><v>2.${m}</v><m>5</m><loop>${loop}</loop></properties>\n<dependencyManagement><dependencies><dependency><groupId>g</groupId><artifactId>m</artifactId><version>3</version></dependency></dependencies></dependencyManagement>\n<dependencies>\n<dependency><groupId>g</groupId><artifactId>x</artifactId><version>${v}</version></dependency>\n<dependency><groupId>${project.groupId}</groupId><artifactId>m</artifactId><scope>test</scope></dependency>\n<dependency><groupId>g</groupId><artifactId>u</artifactId></dependency>\n<dependency><groupId>g</groupId><artifactId>r</artifactId><version>[1,2)</version></dependency>\n<dependency><groupId>g</groupId><artifactId>l</artifactId><version>${loop}</version></dependency>\n</dependencies></project>";
    let found = check(
        "pom.xml",
        pom,
        &[
            "6:pkg:maven/g/x@2.5 registry",
            "7:pkg:maven/g/m@3 registry development",
            "8:pkg:maven/g/u registry",
            "9:pkg:maven/g/r registry",
            "10:pkg:maven/g/l registry",
        ],
    );
    assert_eq!(found.notes.len(), 3, "{:?}", found.notes);
    let child = "<project><parent><groupId>g</groupId><artifactId>a</artifactId><version>1</version></parent><artifactId>c</artifactId><dependencies><dependency><groupId>g</groupId><artifactId>m</artifactId></dependency></dependencies></project>";
    let beside = |path: &str| (path == "pom.xml").then(|| pom.to_owned());
    let found = parse(LockKind::Pom, "c/pom.xml", child, &beside).unwrap();
    assert_eq!(found.packages[0].version.as_deref(), Some("3"));
    for bad in ["", "<a/>", "<project>", "<!DOCTYPE x [<!ENTITY a \"b\">]><project></project>", &"<a>".repeat(1000)] {
        parse(LockKind::Pom, "pom.xml", bad, &alone).unwrap_err();
    }
    let gradle = "# x\ncom.e:a:1.0=compileClasspath,testCompileClasspath\ncom.e:t:2.0=testRuntimeClasspath\nempty=x\n";
    check(
        "gradle.lockfile",
        gradle,
        &["2:pkg:maven/com.e/a@1.0 registry", "3:pkg:maven/com.e/t@2.0 registry development"],
    );
    assert_eq!(refused("gradle.lockfile", "a:b=c\n").line, 1);
}

#[test]
fn gems() {
    let text = "GIT\n  remote: https://e.org/g\n  revision: 01\n  specs:\n    g (0.1)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    a (1.0)\n      n (~> 1.13)\n    n (1.13.6-x86_64-linux)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  a (~> 1)\n  g!\n\nBUNDLED WITH\n   2.4.0\n";
    let found = check(
        "Gemfile.lock",
        text,
        &[
            "5:pkg:gem/g@0.1?vcs_url=git%2Bhttps:%2F%2Fe.org%2Fg%4001 git",
            "10:pkg:gem/a@1.0 registry -> n 1.13.6",
            "12:pkg:gem/n@1.13.6 registry",
        ],
    );
    assert_eq!(found.roots[0].needs, [1, 0]);
    assert_eq!(refused("Gemfile.lock", "GEM\n<<<<<<< HEAD\n").line, 2);
}

#[test]
fn names_decide_the_kind() {
    for name in ["requirements.txt", "a/requirements-dev.txt", "dev-requirements.txt", "requirements/base.txt"] {
        assert_eq!(kind_of(name), Some(LockKind::Requirements), "{name}");
    }
    for name in ["notes.txt", "Cargo.toml", "package.json", "lock"] {
        assert_eq!(kind_of(name), None, "{name}");
    }
}

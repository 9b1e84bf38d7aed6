//! Bills of materials and reports, checked by the official JSON schemas.

use std::process::Command;

use prograde_scan::finding::{About as Package, Excepted, Finding, Kind};
use prograde_scan::lock::{LockKind, parse};
use prograde_scan::package::{Distribution, Inventory};
use prograde_scan::sbom::{self, About};
use prograde_scan::severity::Severity;
use prograde_scan::{sarif, vex};
use serde_json::Value;

use super::peer::{answer, missing, python};

/// All kinds of packages, origins, licences and hashes.
fn inventory() -> Inventory {
    let text = "version = 4\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"a\", \"b\", \"c\"]\n\
        [[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"0000000000000000000000000000000000000000000000000000000000000000\"\n\
        [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+https://e.org/b.git?branch=x#0123\"\ndependencies = [\"a\"]\n\
        [[package]]\nname = \"c\"\nversion = \"1.0.0\"\nsource = \"registry+https://e.org/index\"\n";
    let mut all = parse(LockKind::Cargo, "Cargo.lock", text, &|_| None).unwrap();
    let licences = [None, Some("MIT/Apache-2.0"), Some("MIT"), Some("see LICENCE")];
    for (package, licence) in all.packages.iter_mut().zip(licences) {
        package.licence = licence.map(str::to_owned);
    }
    let npm = r#"{"name": "n", "lockfileVersion": 3, "packages": {"": {"dependencies": {"@s/p": "1"}}, "node_modules/@s/p": {"version": "1.0.0", "dev": true, "integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="}}}"#;
    all.merge(parse(LockKind::Npm, "web/package-lock.json", npm, &|_| None).unwrap());
    all.merge(parse(LockKind::Requirements, "requirements.txt", "a==1.0\nb\n", &|_| None).unwrap());
    all.merge(parse(LockKind::GoMod, "go.mod", "module m\nrequire github.com/a/b v1.0.0\n", &|_| None).unwrap());
    all.merge(parse(LockKind::Gradle, "gradle.lockfile", "com.e:a:1.0=x\n", &|_| None).unwrap());
    all.distribution = Some(Distribution { id: "debian".into(), version: "12".into(), name: "Debian 12".into() });
    all
}

fn about() -> About {
    About {
        name: "app".into(),
        version: Some("1.0".into()),
        created: Some("2026-02-01T12:00:00Z".into()),
        tool_version: "0.1.0".into(),
    }
}

fn findings() -> Vec<Finding> {
    let package = Package {
        ecosystem: "npm".into(),
        name: "a".into(),
        version: Some("1".into()),
        fixed_in: Some("2".into()),
        purl: "pkg:npm/a@1".into(),
    };
    let mut vulnerable = Finding::new(Kind::Vulnerability, "GHSA-1", Severity::High, "bad", "package-lock.json", 3)
        .about(package.clone());
    vulnerable.aliases = vec!["CVE-2020-1".into()];
    vulnerable.score = Some(7.5);
    vulnerable.vector = Some("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H".into());
    vulnerable.weaknesses = vec!["CWE-79".into()];
    vulnerable.references = vec!["https://e.org/x".into()];
    let mut excepted =
        Finding::new(Kind::Vulnerability, "RUSTSEC-1", Severity::Unknown, "x", "Cargo.lock", 0).about(package);
    excepted.excepted =
        Some(Excepted { reason: "not reached".into(), owner: "ana".into(), expires: "2026-06-30".into() });
    let mut secret = Finding::new(Kind::Secret, "github-token", Severity::Critical, "GitHub token", "a b/ü.txt", 2);
    secret.masked = Some("ghp_…".into());
    vec![
        vulnerable,
        excepted,
        secret,
        Finding::new(Kind::Misconfiguration, "dockerfile-root-user", Severity::High, "t", "Dockerfile", 1),
    ]
}

/// Checks documents by a script that prints what is wrong with each.
fn check(script: &str, documents: &[Value]) {
    let Some(python) = python("scan") else { return missing("the schemas of CycloneDX and SPDX for Python") };
    let input = serde_json::to_vec(documents).unwrap();
    let said = answer(Command::new(python).args(["-c", script]), &input);
    assert_eq!(String::from_utf8(said).unwrap().trim(), "valid");
}

#[test]
fn cyclonedx_is_valid() {
    let script = "import json,sys\nfrom cyclonedx.validation.json import JsonStrictValidator\nfrom cyclonedx.schema import SchemaVersion\n\
        v=JsonStrictValidator(SchemaVersion.V1_6)\nbad=[str(e) for d in json.load(sys.stdin) for e in [v.validate_str(json.dumps(d))] if e]\nprint('\\n'.join(b[:2000] for b in bad) or 'valid')";
    let without = About { created: None, version: None, ..about() };
    check(
        script,
        &[
            sbom::cyclonedx(&inventory(), &about()),
            sbom::cyclonedx(&Inventory::default(), &without),
            vex::write(&findings(), &about()),
            vex::write(&[], &without),
        ],
    );
}

#[test]
fn spdx_2_is_valid() {
    let script = "import json,sys,tempfile,os\nfrom spdx_tools.spdx.parser.parse_anything import parse_file\nfrom spdx_tools.spdx.validation.document_validator import validate_full_spdx_document\n\
        bad=[]\nfor d in json.load(sys.stdin):\n  f=tempfile.NamedTemporaryFile('w',suffix='.spdx.json',delete=False); json.dump(d,f); f.close()\n  bad+=[m.validation_message for m in validate_full_spdx_document(parse_file(f.name))]; os.unlink(f.name)\nprint('\\n'.join(bad) or 'valid')";
    let without = About { created: None, version: None, ..about() };
    check(script, &[sbom::spdx2(&inventory(), &about()), sbom::spdx2(&Inventory::default(), &without)]);
}

#[test]
fn spdx_3_is_valid() {
    let script = "import json,sys,io\nfrom spdx_python_model import v3_0_1 as s\nbad=[]\nfor d in json.load(sys.stdin):\n  o=s.SHACLObjectSet()\n  s.JSONLDDeserializer().read(io.BytesIO(json.dumps(d).encode()),o)\n\
        \x20 o.link()\n  bad+=['missing '+str(m) for m in o.missing_ids]\n  n=len(list(o.foreach()))\n  out=io.BytesIO()\n  s.JSONLDSerializer().write(o,out)\n  bad+=[] if n>=len(d['@graph']) else ['only %d of %d' % (n,len(d['@graph']))]\nprint('\\n'.join(bad) or 'valid')";
    let without = About { created: None, version: None, ..about() };
    check(script, &[sbom::spdx3(&inventory(), &about()), sbom::spdx3(&Inventory::default(), &without)]);
}

#[test]
fn sarif_is_valid() {
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/peers/sarif/package/lib/schemas/sarif-2.1.0-rtm.5.json");
    if !schema.is_file() {
        return missing("the schema of SARIF");
    }
    let script = format!(
        "import json,sys,jsonschema\ns=json.load(open({:?}))\nv=jsonschema.validators.validator_for(s)(s)\n\
        bad=[e.message[:500] for d in json.load(sys.stdin) for e in v.iter_errors(d)]\nprint('\\n'.join(bad) or 'valid')",
        schema.display().to_string()
    );
    check(&script, &[sarif::write(&findings(), "0.1.0"), sarif::write(&[], "0.1.0")]);
}

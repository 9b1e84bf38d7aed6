//! Keys of ours and of other programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use prograde_sign::key::{Algorithm, KeyError, KeyFile, Password, PrivateKey, ProgramSigner, PublicKey, Signer};

/// Whether a program is there; when not, its name is told, and in CI that is a failure.
fn has(program: &str) -> bool {
    if Command::new(program).arg("version").output().is_ok() {
        return true;
    }
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "{program} is missing: run scripts/test-peers.sh {program}");
    eprintln!("left out: {program} is not installed");
    false
}

fn openssl(folder: &Path, line: &str) {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn read(path: &Path, password: Option<&str>) -> Result<PrivateKey, KeyError> {
    KeyFile::read(path).unwrap().private(password.map(Password::new).as_ref())
}

#[test]
fn what_is_written_can_be_read_with_the_password_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let key = PrivateKey::generate().unwrap();
    let text = key.to_encrypted_pem(b"secret").unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    fs::write(&path, &text).unwrap();
    let file = KeyFile::read(&path).unwrap();
    assert!(file.is_encrypted() && file.is_private() && file.is_pem() && file.is_readable_by_others());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!KeyFile::read(&path).unwrap().is_readable_by_others());
    assert_eq!(read(&path, Some("secret")).unwrap().public_key(), key.public_key());
    assert!(matches!(read(&path, Some("Secret")), Err(KeyError::WrongPassword(_))));
    assert!(matches!(read(&path, None), Err(KeyError::NoPassword(_))));
    let shown = format!("{key:?} {:?} {:?}", KeyFile::read(&path).unwrap(), Password::new("hunter2"));
    assert!(!shown.contains("hunter2") && shown.contains("SigningKey { .. }"), "{shown}");
    // A changed file is found out.
    let lines: Vec<&str> = text.lines().collect();
    for cut in [lines[..lines.len() - 2].join("\n"), lines[1..].join("\n"), String::new(), "x".repeat(300_000)] {
        fs::write(&path, cut).unwrap();
        assert!(KeyFile::read(&path).and_then(|file| file.private(Some(&Password::new("secret")))).is_err());
    }
}

#[test]
fn boxes_that_cost_too_much_are_not_opened() {
    use base64::Engine as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let text = PrivateKey::generate().unwrap().to_encrypted_pem(b"").unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let sealed = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(body).unwrap()).unwrap();
    let check = |from: &str, to: &str| {
        let changed = sealed.replace(from, to);
        assert_ne!(changed, sealed);
        let body = base64::engine::general_purpose::STANDARD.encode(changed);
        let lines: Vec<String> =
            body.as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        let label = "ENCRYPTED SIGSTORE PRIVATE KEY";
        fs::write(&path, format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))).unwrap();
        let why = read(&path, Some("")).unwrap_err();
        assert!(matches!(why, KeyError::Form { .. }), "{to}: {why}");
    };
    for n in ["0", "1", "65537", "4294967296", "18446744073709551615"] {
        check("\"N\":65536", &format!("\"N\":{n}"));
    }
    check("\"r\":8", "\"r\":4294967295");
    check("\"r\":8", "\"r\":0");
    check("\"p\":1", "\"p\":4294967295");
    check("\"scrypt\"", "\"argon2\"");
    check("nacl/secretbox", "none");
}

#[test]
fn keys_of_openssl() {
    if !has("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    openssl(folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256.pem");
    openssl(folder.path(), "ec -in p256.pem -out sec1.pem");
    openssl(folder.path(), "genpkey -algorithm ed25519 -out ed.pem");
    openssl(folder.path(), "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem");
    openssl(folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem");
    openssl(folder.path(), "pkcs8 -topk8 -in p256.pem -out locked.pem -passout pass:x");
    fs::write(at("message"), "hello").unwrap();
    for name in ["p256", "ed", "rsa", "p384"] {
        openssl(folder.path(), &format!("pkey -in {name}.pem -pubout -out {name}.pub"));
    }
    for (name, algorithm) in [("p256", Algorithm::EcdsaP256), ("ed", Algorithm::Ed25519)] {
        let key = read(&at(&format!("{name}.pem")), None).unwrap();
        let text = fs::read_to_string(at(&format!("{name}.pub"))).unwrap();
        let public = PublicKey::from_pem(name, &text).unwrap();
        assert_eq!((key.public_key(), public.algorithm(), public.to_pem().unwrap()), (&public, algorithm, text));
        let signature = key.sign(b"hello").unwrap();
        assert!(public.verify(b"hello", &signature) && !public.verify(b"hallo", &signature));
        fs::write(at("signature"), signature).unwrap();
        let how = if name == "ed" { "-rawin" } else { "-rawin -digest sha256" };
        openssl(
            folder.path(),
            &format!("pkeyutl -verify -pubin -inkey {name}.pub {how} -in message -sigfile signature"),
        );
    }
    assert_eq!(read(&at("sec1.pem"), None).unwrap().public_key(), read(&at("p256.pem"), None).unwrap().public_key());
    openssl(folder.path(), "dgst -sha256 -sign rsa.pem -out signature message");
    let rsa = PublicKey::from_pem("rsa", &fs::read_to_string(at("rsa.pub")).unwrap()).unwrap();
    assert!(rsa.verify(b"hello", &fs::read(at("signature")).unwrap()));
    assert!(!rsa.verify(b"hallo", &fs::read(at("signature")).unwrap()));
    for (name, want) in
        [("rsa.pem", "signing program"), ("p384.pem", "neither"), ("locked.pem", "PKCS #8"), ("p256.pub", "public key")]
    {
        let why = read(&at(name), None).unwrap_err().to_string();
        assert!(why.contains(want), "{name}: {why}");
    }
    let p384 = fs::read_to_string(at("p384.pub")).unwrap();
    assert!(PublicKey::from_pem("p384", &p384).unwrap_err().to_string().contains("P-256"));
}

#[test]
fn openssl_as_a_signing_program() {
    if !has("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signer.yaml");
    openssl(folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out token.pem");
    openssl(folder.path(), "pkey -in token.pem -pubout -out token.pub");
    openssl(folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.pem");
    openssl(folder.path(), "genpkey -algorithm ed25519 -out ed.pem");
    openssl(folder.path(), "pkey -in ed.pem -pubout -out ed.pub");
    let at = folder.path().display();
    let sign = |text: &str| ProgramSigner::from_yaml(&path, text).and_then(|signer| signer.sign(b"hello"));
    let good =
        format!("program: openssl\narguments: [pkeyutl, -sign, -inkey, {at}/token.pem]\npublic_key: token.pub\n");
    let public = PublicKey::from_pem("it", &fs::read_to_string(folder.path().join("token.pub")).unwrap()).unwrap();
    assert!(public.verify(b"hello", &sign(&good).unwrap()));
    let check = |text: &str, want: &str| {
        let why = sign(text).unwrap_err().to_string();
        assert!(why.contains(want), "{text}: {why}");
    };
    check(&good.replace("/token.pem", "/other.pem"), "no signature of its public key");
    check(&good.replace("/token.pem", "/gone.pem"), "it ended with");
    check(&good.replace("program: openssl", "program: /nonexistent/program"), "can't be started");
    check(&good.replace("token.pub", "gone.pub"), "can't be read");
    check(&good.replace("token.pub", "ed.pub"), "whole message");
    check(&good.replace("arguments", "argument"), "argument");
    check(&format!("{good}timeout: soon\n"), "no duration");
    let shell =
        |script: &str| format!("program: sh\narguments: [-c, '{script}']\npublic_key: token.pub\ntimeout: 5s\n");
    check(&shell("exit 0"), "no signature of its public key");
    check(&shell("head -c 100000 /dev/zero"), "more than 4096 bytes");
    check(&shell("echo told >&2; exit 3"), "told");
    check(&shell("sleep 1000").replace("5s", "50ms"), "did not end");
    check(&shell("exec <&-; exit 1"), "it ended with");
}

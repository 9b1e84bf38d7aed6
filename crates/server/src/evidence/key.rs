//! The server's signing key: in the data directory, encrypted, made at the first start and never replaced.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use prograde_sign::key::{KeyError, KeyFile, Password, PrivateKey, Signer as _};

use crate::data_dir::replace;

const PASSWORD_BYTES: usize = 32;

/// Opens the key in `dir`, or makes it. Where no file with its password is named, the password is drawn and lies beside it:
/// that protects a key that gets away alone.
pub(super) fn open(dir: &Path, named: Option<&Path>) -> Result<PrivateKey, KeyError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| KeyError::Unreadable { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unreadable(dir))?;
    let [private, public, secret] = ["cosign.key", "cosign.pub", "password"].map(|name| dir.join(name));
    let password = match named {
        Some(file) => Password::from_file(file)?,
        None if secret.exists() => Password::from_file(&secret)?,
        None => draw(&secret)?,
    };
    if private.exists() {
        return KeyFile::read(&private)?.private(Some(&password));
    }
    let key = PrivateKey::generate()?;
    // The private key comes last, so that a crash before it leaves nothing that is used.
    replace(&public, key.public_key().to_pem()?.as_bytes()).map_err(unreadable(&public))?;
    replace(&private, key.to_encrypted_pem(password.bytes())?.as_bytes()).map_err(unreadable(&private))?;
    Ok(key)
}

fn draw(file: &Path) -> Result<Password, KeyError> {
    let mut bytes = [0; PASSWORD_BYTES];
    getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
    let text = hex::encode(bytes);
    replace(file, text.as_bytes()).map_err(|source| KeyError::Unreadable { path: file.to_owned(), source })?;
    Ok(Password::new(text))
}

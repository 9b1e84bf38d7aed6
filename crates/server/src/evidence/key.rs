//! The server's signing key: in the data directory, encrypted, made at the first start and never replaced.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use prograde_sign::key::{KeyError, KeyFile, Password, PrivateKey, Signer as _};

/// The variable with the password, where it is not to lie beside the key.
pub(crate) const PASSWORD: &str = "PROGRADE_KEY_PASSWORD";
const PASSWORD_BYTES: usize = 32;

/// Opens the key in `dir`, or makes it. Without [`PASSWORD`] the password is drawn, and lies in a file beside it: that
/// protects a key that gets away alone, such as in a backup of keys.
pub(super) fn open(dir: &Path) -> Result<PrivateKey, KeyError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| KeyError::Unreadable { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unreadable(dir))?;
    let [private, public, secret] = ["cosign.key", "cosign.pub", "password"].map(|name| dir.join(name));
    if private.exists() {
        let file = KeyFile::read(&private)?;
        return file.private(password(&secret)?.as_ref());
    }
    let password = match password(&secret)? {
        Some(password) => password,
        None => draw(&secret)?,
    };
    let key = PrivateKey::generate()?;
    write(&public, 0o644, &key.public_key().to_pem()?).map_err(unreadable(&public))?;
    write(&private, 0o600, &key.to_encrypted_pem(password.bytes())?).map_err(unreadable(&private))?;
    Ok(key)
}

fn password(file: &PathBuf) -> Result<Option<Password>, KeyError> {
    if let Ok(text) = std::env::var(PASSWORD) {
        return Ok(Some(Password::new(text)));
    }
    if file.exists() { Password::from_file(file).map(Some) } else { Ok(None) }
}

fn draw(file: &Path) -> Result<Password, KeyError> {
    let mut bytes = [0; PASSWORD_BYTES];
    getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
    let text = hex::encode(bytes);
    write(file, 0o600, &text).map_err(|source| KeyError::Unreadable { path: file.to_owned(), source })?;
    Ok(Password::new(text))
}

/// Writes a file as a whole. The private key comes last, so that a crash before it leaves nothing that is used.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

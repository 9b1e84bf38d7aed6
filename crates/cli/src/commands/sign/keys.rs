//! Opening the key that signs: a file with or without a password, or a signing program.

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use prograde_sign::key::{KeyError, KeyFile, Password, ProgramSigner, Signer};
use rustix::fs::FlockOperation;

use super::keyless::KeylessArgs;
use crate::app::App;
use crate::report::Report;

/// How long a turn is waited for: a minute in all.
const TURN_WAIT: Duration = Duration::from_millis(50);
const TURN_TRIES: u32 = 1_200;

/// What signs: a key, or for a moment somebody.
#[derive(Debug, Args)]
pub(crate) struct MakerArgs {
    /// A private key, or the YAML file that describes a signing program
    #[arg(long, value_name = "FILE", required_unless_present = "keyless", conflicts_with = "keyless")]
    key: Option<PathBuf>,
    #[command(flatten)]
    password: Box<PasswordArgs>,
    #[command(flatten)]
    pub(crate) keyless: Box<KeylessArgs>,
}

/// The key that signs.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// A private key, or the YAML file that describes a signing program
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
}

/// The password of a key.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// A file whose first line is the key's password; else `PROGRADE_KEY_PASSWORD` or `COSIGN_PASSWORD` holds it, or you are asked
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The key's password. Set the variable: a flag can be seen by every user of the machine
    #[arg(long, env = "PROGRADE_KEY_PASSWORD", hide_env_values = true, hide = true, value_name = "PASSWORD")]
    key_password: Option<OsString>,
    /// The same under the name that cosign gives it
    #[arg(long, env = "COSIGN_PASSWORD", hide_env_values = true, hide = true, value_name = "PASSWORD")]
    cosign_password: Option<OsString>,
}

impl PasswordArgs {
    /// The password, if there is one without asking.
    fn given(&self) -> Result<Option<Password>, Report> {
        if let Some(path) = &self.password_file {
            return Password::from_file(path).map(Some).map_err(report);
        }
        let text = self.key_password.as_ref().or(self.cosign_password.as_ref());
        Ok(text.map(|text| Password::new(text.clone().into_vec())))
    }

    /// The password of a key that is there.
    pub(crate) fn known(&self, app: &App, path: &Path) -> Result<Password, Report> {
        match self.given()? {
            Some(password) => Ok(password),
            None => ask(app, &format!("Password of {}:", path.display()))?
                .ok_or_else(|| report(KeyError::NoPassword(path.display().to_string()))),
        }
    }

    /// The password of a new key, asked for twice.
    pub(crate) fn new_one(&self, app: &App) -> Result<Password, Report> {
        if let Some(password) = self.given()? {
            return Ok(password);
        }
        let none = || report(KeyError::NoPassword("the new key".to_owned()));
        let first = ask(app, "Password of the new key:")?.ok_or_else(none)?;
        let second = ask(app, "The same again:")?.ok_or_else(none)?;
        if first.bytes() == second.bytes() {
            return Ok(first);
        }
        Err(Report::new(prograde_sign::codes::PASSWORD, "the two passwords are not the same"))
    }
}

/// Asks on a terminal; nothing where there is none.
fn ask(app: &App, question: &str) -> Result<Option<Password>, Report> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    app.printer.draw(&format!("{question} "));
    let read = rpassword::read_password();
    read.map(|text| Some(Password::new(text)))
        .map_err(|error| Report::new(prograde_sign::codes::PASSWORD, "the password can't be read").because(&error))
}

impl KeyArgs {
    /// What signs.
    pub(crate) fn signer(&self, app: &App) -> Result<Box<dyn Signer>, Report> {
        signer(app, &self.key, &self.password)
    }
}

impl MakerArgs {
    /// The key's file; the definition of the command sees to it that there is one where it is asked for.
    fn path(&self) -> PathBuf {
        self.key.clone().unwrap_or_default()
    }

    /// What signs.
    pub(crate) fn signer(&self, app: &App) -> Result<Box<dyn Signer>, Report> {
        signer(app, &self.path(), &self.password)
    }

    /// Lets those who sign with the same key on this machine write one after the other, so that none has to write again.
    /// Who waits in vain goes on: what is written is looked after anyway.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let file = File::open(self.path()).ok()?;
        for _ in 0..TURN_TRIES {
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Some(Turn(file));
            }
            std::thread::park_timeout(TURN_WAIT);
        }
        None
    }
}

fn signer(app: &App, path: &Path, password: &PasswordArgs) -> Result<Box<dyn Signer>, Report> {
    let file = KeyFile::read(path).map_err(report)?;
    if !file.is_pem() {
        return ProgramSigner::from_yaml(path, file.text()).map(|signer| Box::new(signer) as _).map_err(report);
    }
    warn(app, &file, path);
    private(app, &file, path, password).map(|key| Box::new(key) as _)
}

/// One's turn to write; it ends when this is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// The private key in a file.
pub(crate) fn private(
    app: &App,
    file: &KeyFile,
    path: &Path,
    password: &PasswordArgs,
) -> Result<prograde_sign::key::PrivateKey, Report> {
    let password = if file.is_encrypted() { Some(password.known(app, path)?) } else { None };
    file.private(password.as_ref()).map_err(report)
}

/// Says that others can read a private key.
pub(crate) fn warn(app: &App, file: &KeyFile, path: &Path) {
    if file.is_private() && file.is_readable_by_others() {
        app.printer.warning(format_args!("others than its owner can read {0}: `chmod 600 {0}`", path.display()));
    }
}

/// An error about a key.
#[expect(clippy::needless_pass_by_value, reason = "it ends here, as what `map_err` is given does")]
pub(crate) fn report(error: KeyError) -> Report {
    Report::new(error.code(), error.to_string()).caused_by(&error).hint(error.hint())
}

//! The data directory: one place for everything, readable by its user alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::ServerError;

/// Where things lie in the data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Makes what is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, ServerError> {
        for folder in ["", "repos", "deployments", "ci", "registry", "images", "nodes", "metrics", "scans"] {
            let path = root.join(folder);
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|source| ServerError::DataDir { path, source })?;
        }
        let root = fs::canonicalize(root).map_err(|source| ServerError::DataDir { path: root.to_owned(), source })?;
        Ok(Self { root })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal.db")
    }

    pub(crate) fn repos(&self) -> PathBuf {
        self.root.join("repos")
    }

    /// Apart from the services' repositories, so that no service can have its name.
    pub(crate) fn deployments(&self) -> PathBuf {
        self.root.join("deployments")
    }

    pub(crate) fn ci(&self) -> PathBuf {
        self.root.join("ci")
    }

    /// Where `prograde db update` keeps what is known of vulnerabilities.
    pub(crate) fn vulnerabilities(&self) -> PathBuf {
        self.root.join("vulnerabilities.db")
    }

    /// Files of commits while they are looked through.
    pub(crate) fn scans(&self) -> PathBuf {
        self.root.join("scans")
    }

    /// Removes what a server left there that was ended while it looked. Only for whoever holds the journal's lock.
    pub(crate) fn empty_scans(&self) -> Result<(), ServerError> {
        let path = self.scans();
        let emptied = fs::remove_dir_all(&path).and_then(|()| fs::DirBuilder::new().mode(0o700).create(&path));
        emptied.map_err(|source| ServerError::DataDir { path, source })
    }

    /// Bases of other repositories, where the command line keeps them as well.
    pub(crate) fn bases(&self) -> PathBuf {
        self.root.join("cache").join("bases")
    }

    /// Charts of other machines, likewise.
    pub(crate) fn charts(&self) -> PathBuf {
        self.root.join("cache").join("charts")
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// The key that signs images.
    pub(crate) fn signing(&self) -> PathBuf {
        self.root.join("signing")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.root.join("metrics")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.root.join("token")
    }

    fn address_file(&self) -> PathBuf {
        self.root.join("server.json")
    }

    /// The token that clients show; made at the first start.
    pub(crate) fn token(&self) -> Result<String, ServerError> {
        token(&self.token_file())
    }

    /// Tells clients on this machine where the server listens.
    pub(crate) fn announce(&self, address: SocketAddr) -> Result<(), ServerError> {
        let text = serde_json::json!({"url": format!("http://{address}"), "pid": std::process::id()}).to_string();
        let path = self.address_file();
        replace(&path, text.as_bytes()).map_err(|source| ServerError::DataDir { path, source })?;
        tracing::info!(%address, "serving");
        Ok(())
    }

    /// Takes the announcement back.
    pub(crate) fn withdraw(&self) {
        if let Err(error) = fs::remove_file(self.address_file()) {
            tracing::warn!("server.json could not be removed: {error}");
        }
    }
}

/// The token in a file, which is made where it is missing and can be read by its user alone.
pub fn token(path: &Path) -> Result<String, ServerError> {
    let unusable = |source| ServerError::DataDir { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(error)),
    }
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| ServerError::Random)?;
    let token = hex::encode(bytes);
    replace(path, token.as_bytes()).map_err(unusable)?;
    Ok(token)
}

/// Replaces a file as a whole, readable by its user alone.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    // The name as well has to be on the disk: releases are signed with the key that lies here.
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

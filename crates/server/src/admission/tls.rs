//! Who the server is to Kubernetes, and who may ask: certificates and a key in files, read again when they change, as whoever
//! renews them writes them in place.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use prograde_model::{Diagnostic, Diagnostics};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The code of certificates and keys that can't be used.
pub(crate) const CODE: &str = "PG1385";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where they are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
}

/// What stood in the files when they were read. Holds a secret, and shows nothing.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What is shown to whoever connects.
pub(super) struct Identity {
    files: Files,
    contents: Mutex<Contents>,
    now: RwLock<Arc<ServerConfig>>,
}

impl Identity {
    /// Reads the files for the first time.
    pub(super) fn read(files: Files) -> Result<Self, Diagnostics> {
        let contents = Contents::read(&files)?;
        let now = RwLock::new(Arc::new(contents.settings(&files)?));
        Ok(Self { files, contents: Mutex::new(contents), now })
    }

    /// Reads them again, and says whether they had changed. Where they can't be used, those before stay.
    pub(super) fn read_again(&self) -> Result<bool, Diagnostics> {
        let contents = Contents::read(&self.files)?;
        let mut known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == contents {
            return Ok(false);
        }
        let settings = Arc::new(contents.settings(&self.files)?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = settings;
        *known = contents;
        Ok(true)
    }

    /// How a connection is begun now.
    pub(super) fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Contents {
    fn read(files: &Files) -> Result<Self, Diagnostics> {
        Ok(Self {
            certificate: content(&files.certificate)?,
            key: content(&files.key)?,
            client_ca: files.client_ca.as_deref().map(content).transpose()?,
        })
    }

    fn settings(&self, files: &Files) -> Result<ServerConfig, Diagnostics> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&files.certificate, &error.to_string()))?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(bytes), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, bytes)? {
                    roots.add(certificate).map_err(|error| unusable(path, &error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable(path, &error.to_string()))?)
            }
            (_, _) => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| unusable(&files.key, "it has no private key in PEM"))?;
        let chain = certificates(&files.certificate, &self.certificate)?;
        let mut settings = builder.with_single_cert(chain, key).map_err(|error| {
            let beside = files.key.display();
            unusable(&files.certificate, &format!("it can't be used with the key in {beside}: {error}"))
        })?;
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(settings)
    }
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Diagnostics> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let all = all.map_err(|error| unusable(path, &error.to_string()))?;
    if all.is_empty() { Err(unusable(path, "it has no certificate in PEM")) } else { Ok(all) }
}

fn content(path: &Path) -> Result<Vec<u8>, Diagnostics> {
    let unreadable = |error: std::io::Error| unusable(path, &format!("it can't be read: {error}"));
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unusable(path, &format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn unusable(path: &Path, why: &str) -> Diagnostics {
    let hint = "expected are a certificate chain and its key in PEM, as cert-manager writes `tls.crt` and `tls.key`";
    Diagnostic::file(CODE, path.display().to_string(), why, hint).into()
}

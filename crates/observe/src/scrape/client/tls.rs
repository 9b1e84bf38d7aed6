//! How it is known whom one speaks to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::{ConfigBuilderExt as _, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::scrape::config::Tls;

/// Why nothing can be asked in these settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("`{0}` can't be a server's name")]
    ServerName(String),
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}

/// Reads the files that the settings name.
pub(super) fn connector(tls: &Tls) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config(tls)?).https_or_http();
    let builder = match &tls.server_name {
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName(name.clone()))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    Ok(builder.enable_http1().wrap_connector(http))
}

fn config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let setup = |error: &dyn std::fmt::Display| TlsError::Setup(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?;
    let builder = if tls.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustsAnyone(provider)))
    } else if let Some(path) = &tls.ca_file {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(path)?), provider).build();
        builder.with_webpki_verifier(verifier.map_err(|error| setup(&error))?)
    } else {
        // Without any, plain HTTP can still be spoken, and over TLS nobody is believed.
        let trusting_system = builder.clone().with_native_roots();
        trusting_system.unwrap_or_else(|_| builder.with_root_certificates(RootCertStore::empty()))
    };
    let Some((certificate, key)) = &tls.identity else { return Ok(builder.with_no_client_auth()) };
    let bad_key = |error: &dyn std::fmt::Display| TlsError::File { path: key.clone(), why: error.to_string() };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad_key(&error))?;
    builder.with_client_auth_cert(certificates(certificate)?, private).map_err(|error| bad_key(&error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |why: String| TlsError::File { path: path.to_owned(), why };
    let all = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| unreadable(error.to_string()))?;
    if all.is_empty() { Err(unreadable("no certificate in it".to_owned())) } else { Ok(all) }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::File { path: path.to_owned(), why: error.to_string() })?;
    }
    Ok(roots)
}

/// `insecure_skip_verify`: whoever answers is believed to be the target.
#[derive(Debug)]
struct TrustsAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

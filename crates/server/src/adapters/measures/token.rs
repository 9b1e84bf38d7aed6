//! Bearer tokens from files that the server's operator has laid out.
//!
//! Whoever writes a `prograde.yaml` chooses both the address and the file's name, and must not be able to send one
//! system's token to another: a file lies in a folder that is named after the only address it is shown to, `HOST:PORT`.
//! A token goes over TLS or stays on this machine (RFC 6750, section 5.3).

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use http::{HeaderMap, HeaderValue, Uri, header};
use prograde_control::ports::MeasureError;

use crate::adapters::client::is_loopback;

/// The longest token, in bytes.
const BYTES_MAX: u64 = 16 * 1024;

/// The folder with the tokens, if there is one.
pub(super) struct Tokens(pub(super) Option<PathBuf>);

impl Tokens {
    /// Adds the token that a file holds for an address. None is read where no file is named.
    pub(super) async fn add(&self, headers: &mut HeaderMap, uri: &Uri, name: Option<&str>) -> Result<(), MeasureError> {
        let Some(name) = name else { return Ok(()) };
        let dir =
            self.0.clone().ok_or_else(|| refused("the server has no folder for bearer tokens (`--metric-tokens`)"))?;
        let authority =
            authority(uri).ok_or_else(|| refused("there is no bearer token for an address without host"))?;
        if uri.scheme_str() != Some("https") && !is_loopback(uri) {
            return Err(refused("a bearer token is not sent in clear: use https"));
        }
        let file = name.to_owned();
        let read = tokio::task::spawn_blocking(move || read(&dir, &authority, &file)).await;
        let value = read.map_err(|error| refused(&format!("the bearer token can't be read: {error}")))??;
        headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }
}

/// Host and port, with the scheme's port where none is written.
fn authority(uri: &Uri) -> Option<String> {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Some(format!("{}:{port}", uri.host()?.to_ascii_lowercase()))
}

fn read(dir: &Path, authority: &str, name: &str) -> Result<HeaderValue, MeasureError> {
    for part in [authority, name] {
        let mut parts = Path::new(part).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == part) {
            return Err(refused("the bearer token's file has no plain name"));
        }
    }
    let place = format!("{authority}/{name} in the folder of bearer tokens");
    let mut text = String::new();
    let opened = File::open(dir.join(authority).join(name));
    opened
        .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| refused(&format!("{place} can't be read: {}", error.kind())))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refused(&format!("{place} holds no token")));
    }
    let mut value =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| refused(&format!("{place} holds no token")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn refused(why: &str) -> MeasureError {
    MeasureError::Token(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(tokens: &Tokens, uri: &str, name: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        tokens.add(&mut headers, &uri.parse().unwrap(), Some(name)).await.map_err(|error| error.to_string())?;
        assert!(!format!("{headers:?}").contains("s3cret"), "{headers:?}");
        Ok(headers[header::AUTHORIZATION].to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn a_token_is_shown_to_its_own_address_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = |authority: &str| {
            let place = dir.path().join(authority);
            std::fs::create_dir_all(&place).unwrap();
            place
        };
        std::fs::write(place("127.0.0.1:9090").join("reader"), "s3cret\n").unwrap();
        std::fs::write(place("[::1]:9090").join("reader"), "s3cret6").unwrap();
        std::fs::write(place("metrics.example:443").join("reader"), "s3cret2").unwrap();
        std::fs::write(place("metrics.example:80").join("reader"), "s3cret3").unwrap();
        std::fs::write(place("metrics.example:443").join("empty"), " \n").unwrap();
        std::fs::write(place("metrics.example:443").join("two"), "s3cret s3cret").unwrap();
        std::fs::write(dir.path().join("above"), "s3cret").unwrap();
        let tokens = Tokens(Some(dir.path().to_owned()));

        assert_eq!(shown(&tokens, "http://127.0.0.1:9090/x", "reader").await.unwrap(), "Bearer s3cret");
        assert_eq!(shown(&tokens, "http://[::1]:9090", "reader").await.unwrap(), "Bearer s3cret6");
        assert_eq!(shown(&tokens, "https://Metrics.example/x", "reader").await.unwrap(), "Bearer s3cret2");
        for (uri, name, error) in [
            ("http://127.0.0.1:9091", "reader", "127.0.0.1:9091/reader in the folder of bearer tokens can't be read"),
            ("https://elsewhere.example", "reader", "elsewhere.example:443/reader"),
            ("http://metrics.example", "reader", "not sent in clear"),
            ("https://metrics.example", "../above", "no plain name"),
            ("https://metrics.example", "..", "no plain name"),
            ("https://metrics.example", "a/../reader", "no plain name"),
            ("https://metrics.example", "empty", "holds no token"),
            ("https://metrics.example", "two", "holds no token"),
        ] {
            let told = shown(&tokens, uri, name).await.unwrap_err();
            assert!(told.contains(error) && !told.contains("s3cret"), "{uri} {name}: {told}");
        }
        let told = shown(&Tokens(None), "http://127.0.0.1:9090", "reader").await.unwrap_err();
        assert!(told.contains("--metric-tokens"), "{told}");
    }
}

//! Where the server is and which token it knows: said by the user, or found in the data directory that it runs on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Client, Token};
use crate::report::{self, Report};

/// What the user said about the server.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// Its address.
    pub(crate) url: Option<String>,
    /// The token itself.
    pub(crate) token: Option<Token>,
    /// A file with the token.
    pub(crate) token_file: Option<PathBuf>,
    /// The data directory to look into for what was not said.
    pub(crate) data_dir: PathBuf,
}

/// `server.json`, which a server writes while it runs.
#[derive(Deserialize)]
struct Announcement {
    url: String,
}

impl Location {
    /// A client of that server.
    pub(crate) fn client(&self) -> Result<Client, Report> {
        let url = match &self.url {
            Some(url) => checked(url)?,
            None => self.announced()?,
        };
        Ok(Client::new(&url, self.token()?))
    }

    fn announced(&self) -> Result<String, Report> {
        let path = self.data_dir.join("server.json");
        let text = fs::read_to_string(&path).map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let report = Report::new(report::NO_SERVER, format!("no server runs on {}", self.data_dir.display()));
            let report = if missing { report } else { report.because(&error) };
            report.hint("start one with `prograde serve`, or name one with `--server URL`")
        })?;
        let announcement: Announcement = serde_json::from_str(&text).map_err(|error| {
            Report::new(report::NO_SERVER, format!("{} can't be read", path.display()))
                .because(&error)
                .hint("restart the server, or name it with `--server URL`")
        })?;
        checked(&announcement.url)
    }

    fn token(&self) -> Result<Token, Report> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let path = self.token_file.clone().unwrap_or_else(|| self.data_dir.join("token"));
        read_token(&path)
    }
}

fn read_token(path: &Path) -> Result<Token, Report> {
    let unusable = |what: String| {
        Report::new(report::NO_TOKEN, what)
            .hint("the server keeps its token in the file `token` of its data directory")
            .hint("name the file with `--token-file FILE` or PROGRADE_TOKEN_FILE, or set PROGRADE_TOKEN")
    };
    let text = fs::read_to_string(path)
        .map_err(|error| unusable(format!("can't read the token from {}", path.display())).because(&error))?;
    Token::new(&text).ok_or_else(|| unusable(format!("{} does not hold a token", path.display())))
}

/// An address that can be asked: HTTP, with a host, without a path that would hide a mistake.
fn checked(url: &str) -> Result<String, Report> {
    let wrong = |what: &str| {
        Report::new(report::ARGUMENT, format!("{url:?} is not a server's address: {what}"))
            .hint("write it like `http://127.0.0.1:7878`")
    };
    let uri: ureq::http::Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("it must start with `http://` or `https://`"));
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return Err(wrong("it must name a host, and no user"));
    }
    if uri.query().is_some() {
        return Err(wrong("it must not have a query"));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(data_dir: &Path) -> Location {
        Location { url: None, token: None, token_file: None, data_dir: data_dir.to_owned() }
    }

    #[test]
    fn the_data_directory_says_where_the_server_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(at(dir.path()).client().unwrap_err().code, report::NO_SERVER);
        fs::write(dir.path().join("server.json"), r#"{"url":"http://127.0.0.1:1","pid":7}"#).unwrap();
        assert_eq!(at(dir.path()).client().unwrap_err().code, report::NO_TOKEN);
        fs::write(dir.path().join("token"), "secret\n").unwrap();
        assert_eq!(at(dir.path()).client().unwrap().url(), "http://127.0.0.1:1");
        for (file, broken, code) in
            [("server.json", "{", report::NO_SERVER), ("server.json", r#"{"url":"file:///etc"}"#, report::ARGUMENT)]
        {
            fs::write(dir.path().join(file), broken).unwrap();
            assert_eq!(at(dir.path()).client().unwrap_err().code, code, "{broken}");
        }
    }

    #[test]
    fn what_the_user_said_comes_first() {
        let location = Location {
            url: Some("http://other:1/".into()),
            token: Token::new("t"),
            token_file: Some("/nowhere".into()),
            data_dir: "/nowhere".into(),
        };
        assert_eq!(location.client().unwrap().url(), "http://other:1");
    }

    #[test]
    fn an_address_is_checked_before_the_token_is_sent_there() {
        for bad in ["", "127.0.0.1:7878", "ftp://a", "http://", "http://user:pw@a", "http://a?b", "http://a b"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        assert!(checked("https://prograde.example/api").is_ok());
    }
}

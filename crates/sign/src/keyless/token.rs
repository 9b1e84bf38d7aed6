//! The identity token that a certificate authority takes: a JSON Web Token of an issuer that it trusts.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::KeylessError;
use crate::codes;
use crate::limits::TOKEN_BYTES_MAX;

/// A token. It overwrites itself, and does not show itself.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Takes a token's text; white space around it is left out. Whether it holds is for the authority to say.
    pub fn new(whence: &str, text: String) -> Result<Self, KeylessError> {
        let text = Zeroizing::new(text);
        let token = text.trim();
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if token.len() as u64 > TOKEN_BYTES_MAX || token.split('.').count() != 3 || !token.split('.').all(part) {
            let what = "expected is a JSON Web Token: three parts in base64 with a dot between them";
            return Err(KeylessError::Token(format!("{whence} holds no identity token; {what}")));
        }
        Ok(Self(Zeroizing::new(token.to_owned())))
    }

    /// Reads a file that holds nothing else.
    pub fn read(path: &Path) -> Result<Self, KeylessError> {
        Self::new(&path.display().to_string(), super::read(path, TOKEN_BYTES_MAX, codes::TOKEN)?)
    }

    /// A text without the token, if it is in it.
    pub fn hidden_in(&self, text: &str) -> String {
        text.replace(self.0.as_str(), "***")
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_taken_and_never_shown() {
        let token = Token::new("it", " eyJh.eyJz-_.c2ln\n".to_owned()).unwrap();
        assert_eq!(token.text(), "eyJh.eyJz-_.c2ln");
        assert_eq!(format!("{token:?}"), "Token");
        assert_eq!(token.hidden_in("no eyJh.eyJz-_.c2ln here"), "no *** here");
        for bad in ["", "a.b", "a.b.c.d", "a..c", "a.b.c d", "a.b.c\r\nHost: x", &format!("a.b.{}", "c".repeat(70_000))]
        {
            let error = Token::new("it", bad.to_owned()).unwrap_err();
            assert_eq!(error.code(), codes::TOKEN);
            assert!(bad.len() < 3 || !error.to_string().contains(bad), "{error}");
        }
    }
}

//! Where a routing rule looks in a request: the value of a header or of a cookie.
//!
//! What a client writes there is only ever compared and hashed, never stored. Of several values the first one counts.

use http::HeaderMap;
use http::header::{COOKIE, HeaderName};
use prograde_model::runtime::RequestKey;

/// A [`RequestKey`] that can be looked up at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Header(HeaderName),
    Cookie(String),
}

impl Key {
    /// `None` for a name that no header or cookie can have.
    pub(super) fn new(key: &RequestKey) -> Option<Self> {
        match key {
            RequestKey::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok().map(Self::Header),
            // A cookie's name is a token, as a header's is (RFC 6265, section 4.1.1), but its case matters.
            RequestKey::Cookie(name) => {
                HeaderName::from_bytes(name.as_bytes()).is_ok().then(|| Self::Cookie(name.clone()))
            }
        }
    }

    /// The value that a request has there.
    pub(super) fn value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        match self {
            Self::Header(name) => headers.get(name).map(http::HeaderValue::as_bytes),
            Self::Cookie(name) => cookie(headers, name.as_bytes()),
        }
    }
}

/// The first cookie of that name, over all `Cookie` headers (RFC 6265, sections 4.2.1 and 5.4), without the quotes that
/// some clients put around values (section 4.1.1). What is not of the form `name=value` is passed over.
fn cookie<'a>(headers: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let after = pair.strip_prefix(name)?.trim_ascii_start();
        Some(unquoted(after.strip_prefix(b"=")?.trim_ascii_start()))
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &[u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn user(lines: &[&[u8]]) -> Option<String> {
        let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        let headers = headers(&lines);
        let value = Key::new(&RequestKey::Cookie("user".into())).unwrap().value(&headers);
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn a_cookie_is_found_wherever_and_however_it_is_written() {
        for lines in [
            &[&b"user=7"[..]][..],
            &[b"a=b; user=7; c=d"],
            &[b"a=b;user=7;c=d"],
            &[b"  a=b ;\t user = 7 ; c=d"],
            &[b"user=\"7\""],
            &[b"a=b; c=d", b"user=7"],
            &[b"a=user=8; user=7"],
            &[b"user=7; user=8", b"user=9"],
            &[b";;; =; =user; user; user=7"],
            &[b"\xff\xfe=\xff; user=7"],
        ] {
            assert_eq!(user(lines).as_deref(), Some("7"), "{lines:?}");
        }
    }

    #[test]
    fn what_only_looks_like_the_cookie_is_not_taken_for_it() {
        for line in
            [&b""[..], b"user", b"users=7", b"User=7", b"a=user=7", b"xuser=7", b"a=\"user=7\"", b"user,7", b"="]
        {
            assert_eq!(user(&[line]), None, "{line:?}");
        }
        assert_eq!(user(&[b"user="]).as_deref(), Some(""));
        assert_eq!(user(&[b"user=\""]).as_deref(), Some("\""));
        assert_eq!(user(&[b"user=\"\""]).as_deref(), Some(""));
        assert_eq!(user(&[b"user=a=b"]).as_deref(), Some("a=b"));
    }

    #[test]
    fn a_headers_name_is_known_in_any_case_and_its_value_only_as_it_is() {
        let headers = headers(&[("x-team", b"Blue"), ("x-team", b"red")]);
        for name in ["x-team", "X-Team"] {
            let key = Key::new(&RequestKey::Header(name.into())).unwrap();
            assert_eq!(key.value(&headers), Some(&b"Blue"[..]));
        }
        assert_eq!(Key::new(&RequestKey::Header("x-other".into())).unwrap().value(&headers), None);
        for name in ["", "a b", "a:b", "a\r\nb", "ä"] {
            assert_eq!(Key::new(&RequestKey::Header(name.into())), None);
            assert_eq!(Key::new(&RequestKey::Cookie(name.into())), None);
        }
    }

    proptest! {
        #[test]
        fn no_cookie_header_is_too_strange(line in prop::collection::vec(0x20u8..=0xff, 0..200)) {
            prop_assume!(!line.contains(&0x7f));
            let found = user(&[&line]);
            prop_assert!(found.is_none_or(|value| !value.contains(';')));
        }
    }
}

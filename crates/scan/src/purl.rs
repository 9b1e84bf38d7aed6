//! Package URLs (github.com/package-url/purl-spec), written and read.

use crate::ecosystem::{Ecosystem, Kind};
use crate::package::{Origin, Package, Source};
use crate::version::normalised_name;

/// The package URL of a package.
pub fn of(package: &Package) -> String {
    let kind = package.ecosystem.kind;
    let mut url = format!("pkg:{}/", kind.purl_type());
    let (namespace, name) = split_name(kind, &package.name);
    if let Some(namespace) = namespace {
        for part in namespace.split('/') {
            encode(part, &mut url);
            url.push('/');
        }
    }
    encode(name, &mut url);
    if let Some(version) = &package.version {
        url.push('@');
        encode(version, &mut url);
    }
    for (separator, (key, value)) in std::iter::once('?').chain(std::iter::repeat('&')).zip(qualifiers(package)) {
        url.push(separator);
        url.push_str(key);
        url.push('=');
        encode(&value, &mut url);
    }
    url
}

fn split_name(kind: Kind, name: &str) -> (Option<&str>, &str) {
    let split = |at: Option<(&'_ str, &'_ str)>| at.map(|(namespace, name)| (namespace.len(), name.len()));
    let found = match kind {
        Kind::Npm if name.starts_with('@') => split(name.split_once('/')),
        Kind::Go => split(name.rsplit_once('/')),
        Kind::Maven => split(name.split_once(':')),
        Kind::Debian => return (Some("debian"), name),
        Kind::Ubuntu => return (Some("ubuntu"), name),
        Kind::Alpine => return (Some("alpine"), name),
        Kind::Npm | Kind::CratesIo | Kind::PyPi | Kind::RubyGems => None,
    };
    match found {
        Some((namespace, rest)) => (name.get(..namespace), name.get(name.len() - rest..).unwrap_or(name)),
        None => (None, name),
    }
}

/// In order of their keys, as the specification wants it.
fn qualifiers(package: &Package) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if let Some(architecture) = &package.architecture {
        found.push(("arch", architecture.clone()));
    }
    let kind = package.ecosystem.kind;
    if let Some(release) = &package.ecosystem.release {
        found.push((
            "distro",
            format!("{}-{}", kind.name().to_lowercase(), release.trim_end_matches(":LTS").trim_start_matches('v')),
        ));
    }
    match &package.origin {
        Origin::Url(url) if kind == Kind::CratesIo => found.push(("repository_url", url.clone())),
        Origin::Url(url) => found.push(("download_url", url.clone())),
        Origin::Git(url) => {
            let url = if url.starts_with("git+") { url.clone() } else { format!("git+{url}") };
            found.push(("vcs_url", url));
        }
        Origin::Registry | Origin::Local => {}
    }
    if let Some(source) = &package.source
        && source.name != package.name
    {
        found.push(("upstream", format!("{}@{}", source.name, source.version)));
    }
    found
}

fn encode(text: &str, url: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => url.push(char::from(byte)),
            _ => {
                url.push('%');
                url.push_str(&hex::encode_upper([byte]));
            }
        }
    }
}

/// A package URL that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purl {
    /// From where.
    pub ecosystem: Ecosystem,
    /// The name as the ecosystem writes it.
    pub name: String,
    /// The version.
    pub version: Option<String>,
    /// The package that a distribution built it from.
    pub source: Option<Source>,
    /// The architecture.
    pub architecture: Option<String>,
}

/// Reads a package URL; none where it is none, or of a type that nothing is known about.
pub fn parse(text: &str) -> Option<Purl> {
    let rest = text.strip_prefix("pkg:")?.trim_start_matches('/');
    let rest = rest.split('#').next()?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (path, version) = match rest.rsplit_once('@') {
        Some((path, version)) if !version.contains('/') && !path.is_empty() => (path, Some(decode(version)?)),
        Some(_) | None => (rest, None),
    };
    let (kind, path) = path.split_once('/')?;
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect::<Option<_>>()?;
    let (name, namespace) = parts.split_last()?;
    let qualifier = |key: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).and_then(|(_, v)| decode(v))
    };
    let namespace = namespace.join("/");
    let kind = kind_of(&kind.to_ascii_lowercase(), &namespace)?;
    let name = match kind {
        Kind::Npm | Kind::Go if !namespace.is_empty() => format!("{namespace}/{name}"),
        Kind::Maven => format!("{namespace}:{name}"),
        Kind::PyPi => normalised_name(name),
        Kind::Npm | Kind::Go | Kind::CratesIo | Kind::RubyGems | Kind::Debian | Kind::Ubuntu | Kind::Alpine => {
            name.clone()
        }
    };
    let release = qualifier("distro").and_then(|distro| release_of(kind, &distro));
    let upstream = qualifier("upstream").map(|upstream| {
        let (name, version) = upstream.split_once('@').unwrap_or((&upstream, version.as_deref().unwrap_or_default()));
        Source { name: name.to_owned(), version: version.to_owned() }
    });
    let architecture = qualifier("arch");
    Some(Purl { ecosystem: Ecosystem { kind, release }, name, version, source: upstream, architecture })
}

fn kind_of(kind: &str, namespace: &str) -> Option<Kind> {
    Some(match (kind, namespace) {
        ("cargo", _) => Kind::CratesIo,
        ("npm", _) => Kind::Npm,
        ("pypi", _) => Kind::PyPi,
        ("golang", _) => Kind::Go,
        ("maven", _) => Kind::Maven,
        ("gem", _) => Kind::RubyGems,
        ("deb", "debian") => Kind::Debian,
        ("deb", "ubuntu") => Kind::Ubuntu,
        ("apk", "alpine") => Kind::Alpine,
        (_, _) => return None,
    })
}

/// `debian-12`, `ubuntu-22.04`, `alpine-3.19.1` or the number alone.
fn release_of(kind: Kind, distro: &str) -> Option<String> {
    let number = distro.rsplit_once('-').map_or(distro, |(_, number)| number);
    release(kind, number)
}

/// The release of a distribution as OSV names it, from `VERSION_ID`.
pub fn release(kind: Kind, version: &str) -> Option<String> {
    let mut parts = version.split('.');
    let (first, second) = (parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?, parts.next());
    if first.is_empty() {
        return None;
    }
    match kind {
        Kind::Debian => Some(first.to_owned()),
        Kind::Alpine => Some(format!("v{first}.{}", second?)),
        Kind::Ubuntu => {
            let second = second?;
            let even = first.parse::<u32>().is_ok_and(|year| year % 2 == 0);
            Some(format!("{first}.{second}{}", if even && second == "04" { ":LTS" } else { "" }))
        }
        Kind::CratesIo | Kind::Npm | Kind::PyPi | Kind::Go | Kind::Maven | Kind::RubyGems => None,
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.extend(hex::decode(digits).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_written_and_read_back() {
        let cases = [
            (Kind::CratesIo, "serde", "1.0.0+x", "pkg:cargo/serde@1.0.0%2Bx"),
            (Kind::Npm, "@babel/core", "7.0.0", "pkg:npm/%40babel/core@7.0.0"),
            (Kind::Go, "github.com/a/b", "v1.0.0", "pkg:golang/github.com/a/b@v1.0.0"),
            (Kind::Maven, "org.a:b", "1", "pkg:maven/org.a/b@1"),
            (Kind::PyPi, "typing-extensions", "4.0", "pkg:pypi/typing-extensions@4.0"),
            (Kind::Debian, "libc6", "2.36-9+deb12u1", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1"),
        ];
        for (kind, name, version, url) in cases {
            let package = Package::new(kind, name, Some(version.to_owned()), "f", 1);
            assert_eq!(package.purl(), url);
            let read = parse(url).unwrap();
            assert_eq!((read.ecosystem.kind, read.name.as_str(), read.version.as_deref()), (kind, name, Some(version)));
        }
    }

    #[test]
    fn distributions_carry_release_and_source() {
        let read =
            parse("pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&distro=debian-12&upstream=openssl%403.0.11-1").unwrap();
        assert_eq!(read.ecosystem.to_string(), "Debian:12");
        assert_eq!(read.source.unwrap().name, "openssl");
        let read = parse("pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1").unwrap();
        assert_eq!(read.ecosystem.to_string(), "Alpine:v3.19");
        assert_eq!(release(Kind::Ubuntu, "22.04").as_deref(), Some("22.04:LTS"));
        assert_eq!(release(Kind::Ubuntu, "23.10").as_deref(), Some("23.10"));
    }

    #[test]
    fn what_is_no_url_is_none() {
        for bad in ["", "pkg:", "pkg:npm", "pkg:npm/", "http://x", "pkg:unknown/x@1", "pkg:npm/%zz@1", "pkg:npm/a@%"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}

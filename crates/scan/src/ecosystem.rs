//! Where packages come from, under the names that OSV and package URLs have for it.

use std::fmt;

/// A kind of package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Rust's crates.
    CratesIo,
    /// npm.
    Npm,
    /// Python's packages.
    PyPi,
    /// Go's modules.
    Go,
    /// Maven's artifacts.
    Maven,
    /// Ruby's gems.
    RubyGems,
    /// Debian's packages.
    Debian,
    /// Ubuntu's packages.
    Ubuntu,
    /// Alpine's packages.
    Alpine,
}

impl Kind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::CratesIo,
        Self::Npm,
        Self::PyPi,
        Self::Go,
        Self::Maven,
        Self::RubyGems,
        Self::Debian,
        Self::Ubuntu,
        Self::Alpine,
    ];

    /// The name in OSV's schema (ossf.github.io/osv-schema, "affected[].package field").
    pub fn name(self) -> &'static str {
        match self {
            Self::CratesIo => "crates.io",
            Self::Npm => "npm",
            Self::PyPi => "PyPI",
            Self::Go => "Go",
            Self::Maven => "Maven",
            Self::RubyGems => "RubyGems",
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
            Self::Alpine => "Alpine",
        }
    }

    /// The type in a package URL (github.com/package-url/purl-spec, types).
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::CratesIo => "cargo",
            Self::Npm => "npm",
            Self::PyPi => "pypi",
            Self::Go => "golang",
            Self::Maven => "maven",
            Self::RubyGems => "gem",
            Self::Debian | Self::Ubuntu => "deb",
            Self::Alpine => "apk",
        }
    }

    /// The kind with a name, whatever the case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Whether packages belong to a release of a distribution.
    pub fn is_distribution(self) -> bool {
        match self {
            Self::Debian | Self::Ubuntu | Self::Alpine => true,
            Self::CratesIo | Self::Npm | Self::PyPi | Self::Go | Self::Maven | Self::RubyGems => false,
        }
    }
}

/// A kind and, for distributions, the release, such as `Debian:12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ecosystem {
    /// What kind of package.
    pub kind: Kind,
    /// The release: `12`, `22.04:LTS`, `v3.19`.
    pub release: Option<String>,
}

impl Ecosystem {
    /// One without releases.
    pub fn of(kind: Kind) -> Self {
        Self { kind, release: None }
    }

    /// Reads OSV's form; none where the kind is not known.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, release) = text.split_once(':').map_or((text, None), |(name, release)| (name, Some(release)));
        let kind = Kind::named(name)?;
        let release = release.filter(|release| !release.is_empty() && kind.is_distribution());
        Some(Self { kind, release: release.map(str::to_owned) })
    }

    /// Whether what is said about an ecosystem in an advisory holds for a package of this one. An advisory that names
    /// no release is about all of them, and a package whose release is not known is not in any.
    pub fn is_meant_by(&self, advisory: &Self) -> bool {
        self.kind == advisory.kind
            && match (&self.release, &advisory.release) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(ours), Some(theirs)) => same_release(self.kind, ours, theirs),
            }
    }
}

/// Ubuntu's releases have notes such as `:LTS` and `Pro:` around the number that do not name another release of ours.
fn same_release(kind: Kind, ours: &str, theirs: &str) -> bool {
    match kind {
        Kind::Ubuntu => !theirs.starts_with("Pro") && theirs.trim_end_matches(":LTS") == ours.trim_end_matches(":LTS"),
        Kind::Alpine => ours.trim_start_matches('v') == theirs.trim_start_matches('v'),
        Kind::Debian | Kind::CratesIo | Kind::Npm | Kind::PyPi | Kind::Go | Kind::Maven | Kind::RubyGems => {
            ours == theirs
        }
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{}:{release}", self.kind.name()),
            None => f.write_str(self.kind.name()),
        }
    }
}

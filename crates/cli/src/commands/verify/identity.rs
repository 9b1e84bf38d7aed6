//! Identities whose signatures count, as cosign's flags name them.

use std::path::PathBuf;

use clap::Args;
use prograde_sign::keyless::{Certified, KeylessError, TrustedRoot};
use prograde_sign::{Evidence, Trust, TrustedIdentity, Wanted};
use serde_json::{Value, json};

use crate::commands::sign::keyless::keyless_report;
use crate::report::Report;

/// Who signed without a key.
#[derive(Debug, Args)]
#[command(next_help_heading = "Signatures without a key")]
pub(super) struct IdentityArgs {
    /// Signatures of an identity count; said by the flags below anyway
    #[arg(long, conflicts_with_all = ["key", "trust"], requires = "subject")]
    keyless: bool,
    /// The identity whose signatures count: an address of email, or of a workflow
    #[arg(long, value_name = "IDENTITY", groups = ["whose", "subject"], requires_all = ["issuer", "trusted_root"])]
    certificate_identity: Option<String>,
    /// The same as an expression, which has to match the whole identity
    #[arg(long, value_name = "REGEXP", groups = ["whose", "subject"], requires_all = ["issuer", "trusted_root"])]
    certificate_identity_regexp: Option<String>,
    /// Who has to vouch for the identity
    #[arg(long, value_name = "URL", group = "issuer", requires = "subject")]
    certificate_oidc_issuer: Option<String>,
    /// The same as an expression, which has to match the whole address
    #[arg(long, value_name = "REGEXP", group = "issuer", requires = "subject")]
    certificate_oidc_issuer_regexp: Option<String>,
    /// Whom to believe about certificates and time: a Sigstore `trusted_root.json`
    #[arg(long, value_name = "FILE", requires = "subject")]
    trusted_root: Option<PathBuf>,
}

impl IdentityArgs {
    /// What was said, if it was.
    pub(super) fn trust(&self) -> Result<Option<Trust>, Report> {
        let subject = wanted(self.certificate_identity.as_deref(), self.certificate_identity_regexp.as_deref());
        let issuer = wanted(self.certificate_oidc_issuer.as_deref(), self.certificate_oidc_issuer_regexp.as_deref());
        let (Some(subject), Some(issuer), Some(path)) = (subject, issuer, &self.trusted_root) else { return Ok(None) };
        let name = self.certificate_identity.as_ref().or(self.certificate_identity_regexp.as_ref());
        let name = name.map_or("", String::as_str);
        let identity = TrustedIdentity::new(name, issuer.map_err(keyless_report)?, subject.map_err(keyless_report)?);
        let root = TrustedRoot::read(path).map_err(keyless_report)?;
        Ok(Some(Trust::of_identity(identity, root)))
    }
}

fn wanted(text: Option<&str>, expression: Option<&str>) -> Option<Result<Wanted, KeylessError>> {
    text.map(Wanted::exactly).or_else(|| expression.map(Wanted::whole))
}

/// Who made what counts.
pub(super) fn told(evidence: &Evidence) -> String {
    match &evidence.certified {
        None => format!("key {}", evidence.key),
        Some(Certified { issuer, subject, times: (first, _), .. }) => {
            format!("identity {subject}, by the word of {issuer}, at {first:.0}")
        }
    }
}

pub(super) fn as_json(certified: &Certified) -> Value {
    let (first, last) = certified.times;
    json!({
        "identity": certified.subject, "issuer": certified.issuer,
        "signed_at": { "first": first.to_string(), "last": last.to_string() },
    })
}

//! What rules ask about an image, answered by the signatures and attestations that are beside it.
//!
//! Invariant: what can't be found out is never taken for a signature.

use jiff::Timestamp;
use prograde_policy::{Attested, Demand, Name, Signature, Signer};
use prograde_sign::key::PublicKey;
use prograde_sign::keyless::{KeylessError, TrustedRoot};
use prograde_sign::predicate::COSIGN_SIGN;
use prograde_sign::{Asked, Image, Store, Terms, Trust, TrustedIdentity, Wanted, verify};
use serde_json::Value;

use crate::events::chain;

/// Whom a policy names, for messages.
const NAMED: &str = "the policy's";
/// How many reasons are told.
const TOLD_MAX: usize = 5;

/// Who signs as a rule asks for it. Identities need a root that is trusted; its absence comes with what is to be done.
pub fn trust(signer: &Signer, root: Result<&TrustedRoot, &str>) -> Result<Trust, String> {
    let identity = match signer {
        Signer::Key(key) => {
            let key = PublicKey::from_pem("the policy's key", key).map_err(|error| chain(&error))?;
            return Ok(Trust::of(NAMED, key));
        }
        Signer::Identity(identity) => identity,
    };
    let root = root.map_err(|way| {
        format!("the rule names an identity without a key, and nothing says whom to believe about it: {way}")
    })?;
    let wanted = |name: &Name| -> Result<Wanted, KeylessError> {
        match name {
            Name::Exactly(text) => Wanted::exactly(text),
            Name::Whole(expression) => Wanted::whole(expression),
        }
    };
    let both = wanted(&identity.issuer).and_then(|issuer| Ok((issuer, wanted(&identity.subject)?)));
    let (issuer, subject) = both.map_err(|error| chain(&error))?;
    Ok(Trust::of_identity(TrustedIdentity::new(NAMED, issuer, subject), root.clone()))
}

/// What is beside an image of what a rule demands.
pub fn look(
    store: &dyn Store,
    image: &Image,
    demand: &Demand,
    trust: &Trust,
    at: Timestamp,
) -> Result<Signature, String> {
    let asked = match demand {
        Demand::Signature(annotations) => {
            let annotations = annotations.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
            Asked::Signatures(annotations.collect())
        }
        Demand::Attestation { kind, .. } => Asked::Attestations(Some(kind.clone())),
    };
    let found = verify(store, image, &asked, Terms { trust, at }).map_err(|error| chain(&error))?;
    if !found.holds() {
        return Ok(Signature::Refused(refusals(&found, demand)));
    }
    match demand {
        Demand::Signature(_) | Demand::Attestation { read: false, .. } => Ok(Signature::Good),
        Demand::Attestation { read: true, .. } => {
            let said = found.found.into_iter().filter_map(|one| one.verdict.ok()?.predicate);
            Ok(Signature::Attested(Attested::new(said.map(|(_, predicate)| predicate).collect())?))
        }
    }
}

fn refusals(found: &prograde_sign::Verified, demand: &Demand) -> String {
    let mut why: Vec<String> =
        found.found.iter().filter_map(|one| one.verdict.as_ref().err().map(ToString::to_string)).collect();
    why.dedup();
    why.truncate(TOLD_MAX);
    if !why.is_empty() {
        return why.join("; ");
    }
    // Signatures in bundles are attestations of a type of their own.
    let others = found.others.iter().map(String::as_str).filter(|kind| *kind != COSIGN_SIGN);
    let others: Vec<&str> = others.take(TOLD_MAX).collect();
    match demand {
        Demand::Signature(_) => "there is no signature".to_owned(),
        Demand::Attestation { .. } if others.is_empty() => "there is no attestation".to_owned(),
        Demand::Attestation { .. } => {
            format!("there are only attestations of other types, such as {}", others.join(", "))
        }
    }
}

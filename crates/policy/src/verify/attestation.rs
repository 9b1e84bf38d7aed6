//! One entry of `attestations`: a type, who has to have attested it, and conditions that what is attested has to meet.
//!
//! Source: Kyverno's documentation, "Verify Images Rules", "Verifying Image Attestations".

use std::collections::BTreeSet;

use serde_json::Value;

use super::asked::{Attested, Signature, SignedBy, Verified};
use super::attestors::{About, Attestors, Vouched};
use crate::conditions::Conditions;
use crate::context::Frame;
use crate::request::text;

/// cosign's type for anything, whose data is a text.
const CUSTOM: [&str; 2] = ["https://cosign.sigstore.dev/attestation/v1", "cosign.sigstore.dev/attestation/v1"];
/// Names that conditions may know from the request, whether or not this one has them.
const NAMES: [&str; 4] = ["images", "request", "serviceAccountName", "serviceAccountNamespace"];

/// An attestation that has to be there.
#[derive(Debug, Clone)]
pub(super) struct Attestation {
    kind: String,
    attestors: Vec<Attestors>,
    conditions: Conditions,
}

impl Attestation {
    pub(super) fn compile(value: &Value) -> Result<Self, String> {
        let kind = match (text(value, &["type"]), text(value, &["predicateType"])) {
            ("", "") => return Err("an attestation needs a type".to_owned()),
            (kind, "") | ("", kind) => kind,
            (kind, other) if kind == other => kind,
            (_, _) => return Err("an attestation has one type: take predicateType out".to_owned()),
        };
        let inside = |why: String| format!("attestation {kind}: {why}");
        Ok(Self {
            kind: kind.to_owned(),
            attestors: Attestors::all(value.get("attestors")).map_err(inside)?,
            conditions: Conditions::compile(value.get("conditions").unwrap_or(&Value::Null)).map_err(inside)?,
        })
    }

    fn about(&self) -> About<'_> {
        About::Attestation(&self.kind, !self.conditions.is_empty())
    }

    pub(super) fn names_identities(&self) -> bool {
        self.attestors.iter().any(Attestors::names_identities)
    }

    pub(super) fn asks(&self, image: &str, into: &mut BTreeSet<SignedBy>) {
        self.attestors.iter().for_each(|set| set.asks(image, self.about(), into));
    }

    /// Whether enough attestors attested it, and all that each of them attested meets the conditions.
    pub(super) fn vouch(&self, image: &str, verified: &Verified, frame: &Frame<'_>) -> Vouched {
        let told = |why: String| format!("attestation {}: {why}", self.kind);
        if self.attestors.is_empty() {
            return Vouched::No(told("the rule names nobody who could have attested it".to_owned()));
        }
        let mut unknown = None;
        for set in &self.attestors {
            match set.vouch(image, self.about(), &|asked| self.judge(verified.get(asked), frame)) {
                Vouched::Yes => {}
                Vouched::No(why) => return Vouched::No(told(why)),
                Vouched::Unknown(why) => unknown = unknown.or(Some(why)),
            }
        }
        unknown.map_or(Vouched::Yes, |why| Vouched::Unknown(told(why)))
    }

    fn judge(&self, found: Option<&Signature>, frame: &Frame<'_>) -> Vouched {
        match found {
            Some(Signature::Attested(attested)) => self.meets(attested, frame),
            Some(Signature::Good) if self.conditions.is_empty() => Vouched::Yes,
            Some(Signature::Good) => Vouched::Unknown("what it says was not looked up".to_owned()),
            Some(Signature::Promised) => Vouched::Yes,
            Some(Signature::Refused(why)) => Vouched::No(why.clone()),
            Some(Signature::Unreachable(why)) => Vouched::Unknown(why.clone()),
            None => Vouched::Unknown("attestations are verified when it is pulled".to_owned()),
        }
    }

    fn meets(&self, attested: &Attested, frame: &Frame<'_>) -> Vouched {
        if attested.predicates().is_empty() {
            return Vouched::No("there is none".to_owned());
        }
        for predicate in attested.predicates() {
            match self.met(predicate, frame) {
                Ok(None) => {}
                Ok(Some(unmet)) => return Vouched::No(unmet),
                Err(why) => return Vouched::Unknown(format!("its conditions can't be tried: {why}")),
            }
        }
        Vouched::Yes
    }

    /// Which condition what is attested does not meet, if any.
    fn met(&self, predicate: &Value, frame: &Frame<'_>) -> Result<Option<String>, String> {
        if self.conditions.is_empty() {
            return Ok(None);
        }
        let Value::Object(fields) = predicate else { return Err("what it says is no object".to_owned()) };
        // Whoever attests may not say what the policy's own names stand for.
        if let Some(taken) = fields.keys().find(|name| NAMES.contains(&name.as_str()) || frame.knows(name)) {
            return Err(format!("what it says has a field `{taken}`, which stands for something else in the policy"));
        }
        let fields = fields.iter().map(|(name, value)| (name.clone(), self.field(name, value)));
        let inner = frame.child(&[]).with_foreign(fields);
        let outcome = self.conditions.evaluate(&inner, frame.delete()).map_err(|error| error.to_string())?;
        let Some(unmet) = outcome.unmet else { return Ok(None) };
        let why = format!("{} does not hold", self.conditions.told(unmet));
        Ok(Some(if outcome.message.is_empty() { why } else { format!("{why}: {}", outcome.message) }))
    }

    /// What a field is for conditions: cosign's text, where it is an object.
    fn field(&self, name: &str, value: &Value) -> Value {
        let text = value.as_str().filter(|_| name == "Data" && CUSTOM.contains(&self.kind.as_str()));
        let object = text.and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(Value::is_object);
        object.unwrap_or_else(|| value.clone())
    }
}

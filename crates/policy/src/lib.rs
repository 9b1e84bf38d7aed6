//! Policies: what may run. Reads Kyverno's policies, Kubernetes' `ValidatingAdmissionPolicy` and the Pod Security
//! Standards, compiles them once and evaluates them without IO, clock or randomness: the same resource, policy and
//! request give the same answer at lint, at sync and at admission.
//!
//! Invariant: what is not understood is an error when a policy is loaded, never a rule that passes.

#![cfg_attr(test, allow(clippy::needless_pass_by_value, reason = "checks of tests are given literals"))]

mod admission;
mod anchor;
mod autogen;
mod cel;
mod conditions;
mod constraints;
mod context;
pub mod duration;
mod effect;
mod exception;
mod generate;
mod hooks;
pub mod image;
pub mod jmespath;
mod kyverno;
mod leaf;
mod manifests;
mod matching;
mod mutate;
pub mod patch;
mod pattern;
mod pss;
pub mod quantity;
mod reach;
pub mod report;
mod request;
mod rule;
mod schema;
mod selection;
mod set;
pub mod shipped;
mod template;
pub mod testing;
mod validate;
mod verification;
mod verify;
pub mod wildcard;
mod world;

pub use cel::Condition;
pub use exception::Exception;
pub use hooks::{Hook, kind_of};
pub use kyverno::{KyvernoPolicy, Purpose, RuleResult};
pub use reach::{Beyond, Reach};
pub use request::{Kind, Request, User};
pub use rule::Action;
pub use set::{Given, KIND, POLICY, Policy, PolicyResult, PolicySet, Stage};
pub use validate::Status;
pub use verify::{Attested, Demand, Identity, Name, PREDICATES_BYTES_MAX, Signature, SignedBy, Signer, Verified};
pub use world::{OfRules, Outside};

//! Applications from an ApplicationSet: its generators give sets of parameters, its template is filled in with each.
//! Pure: which files and clusters there are is asked of ports.
//!
//! Source: Argo CD 3.4, documentation, "Generators" and "Templates"; what it gives is compared with Argo CD's own code by
//! `tests/apps/argo.rs`.

mod clusters;
mod combine;
mod fill;
mod git;
mod list;

use std::cell::Cell;
use std::collections::BTreeMap;

use prograde_model::{Diagnostic, Diagnostics};
use serde_json::Value as Json;

pub use clusters::Cluster;
pub(crate) use clusters::IN_CLUSTER;

use crate::argo::application::Application;
use crate::argo::fields;
use crate::argo::set::ApplicationSet;
use crate::codes;
use crate::data::Params;
use crate::repository::Repositories;
use crate::schema::{Type, complete};
use crate::selector::Selector;
use crate::template::{Filler, Scope};

/// The most sets of parameters that one ApplicationSet may give, also between its generators.
pub const SETS_MAX: usize = 10_000;
/// How much text all applications of one ApplicationSet may have, in bytes.
pub(crate) const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What generators ask.
pub struct World<'a> {
    /// Repositories that are here.
    pub repositories: &'a dyn Repositories,
    /// The clusters that Argo CD knows, beside its own; nothing where that is not known.
    pub clusters: Option<&'a [Cluster]>,
}

/// What an ApplicationSet gives, in the order of the names.
pub fn generate(set: &ApplicationSet, world: &World<'_>) -> Result<Vec<Application>, Diagnostics> {
    let generation = Generation { set, world, filler: Filler::new(set.mode), sets: Cell::new(0), bytes: Cell::new(0) };
    let mut found = Vec::new();
    for generator in &set.generators {
        for (template, all) in generation.transformed(generator, None, true)? {
            for params in all {
                found.push(generation.application(&template, &params)?);
            }
        }
    }
    found.sort_by(|left, right| left.name().cmp(right.name()));
    for pair in found.windows(2) {
        if let [left, right] = pair
            && left.name() == right.name()
        {
            let message = format!("`{}` generates `{}` twice", set.metadata.name, left.name());
            let hint = "put a parameter into `template.metadata.name` that tells them apart";
            return Err(generation.wrong(codes::DUPLICATE, message, hint).into());
        }
    }
    Ok(found)
}

/// One run.
struct Generation<'a> {
    set: &'a ApplicationSet,
    world: &'a World<'a>,
    filler: Filler,
    sets: Cell<usize>,
    bytes: Cell<usize>,
}

/// A template, and the sets of parameters that it is filled in with.
type Transformed = (Json, Vec<Params>);

/// The kinds of generators, in Argo CD's order.
const KINDS: [&str; 9] =
    ["list", "clusters", "git", "scmProvider", "clusterDecisionResource", "pullRequest", "matrix", "merge", "plugin"];

impl Generation<'_> {
    fn wrong(&self, code: &str, message: impl Into<String>, hint: &str) -> Diagnostic {
        self.set.place.diagnostic(code, message, hint)
    }

    /// Counts sets of parameters.
    fn count(&self, more: usize) -> Result<(), Diagnostic> {
        let sets = self.sets.get().saturating_add(more);
        self.sets.set(sets);
        if sets <= SETS_MAX {
            return Ok(());
        }
        let message = format!("`{}` gives more than {SETS_MAX} sets of parameters", self.set.metadata.name);
        Err(self.wrong(codes::TOO_LARGE, message, "split it into several ApplicationSets"))
    }

    /// Counts text.
    fn spend(&self, bytes: usize) -> Result<(), Diagnostic> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() <= BYTES_MAX {
            return Ok(());
        }
        let message = format!("`{}` makes more than {BYTES_MAX} bytes", self.set.metadata.name);
        Err(self.wrong(codes::TOO_LARGE, message, "split it into several ApplicationSets"))
    }

    /// What one entry of `generators` gives. `outer` are the parameters that a generator before it gave.
    fn transformed(
        &self,
        generator: &Json,
        outer: Option<&Params>,
        is_top: bool,
    ) -> Result<Vec<Transformed>, Diagnostic> {
        let selector = Selector::read(generator.get("selector"))
            .map_err(|why| self.wrong(codes::GENERATOR, why, "see `selector` in Argo CD's documentation"))?;
        let filled;
        let generator = match outer.filter(|params| !params.is_empty()) {
            None => generator,
            Some(params) => {
                filled = fill::generator(self, generator, &Scope::new(params))?;
                &filled
            }
        };
        let mut found = Vec::new();
        for kind in KINDS {
            let Some(body) = generator.get(kind) else { continue };
            let template = if is_top { self.template_of(body) } else { Json::Null };
            let params = self.params(kind, body)?;
            let kept = params.into_iter().filter(|params| selector.as_ref().is_none_or(|one| one.holds_all(params)));
            found.push((template, kept.collect()));
        }
        if found.is_empty() {
            return Err(self.wrong(
                codes::GENERATOR,
                "a generator names no kind",
                "write `list`, `git`, `matrix` or another",
            ));
        }
        Ok(found)
    }

    fn template_of(&self, body: &Json) -> Json {
        let mut own = body.get("template").cloned().unwrap_or(Json::Null);
        complete(&mut own, &self.set.template, Type::Struct(&fields::TEMPLATE));
        own
    }

    fn params(&self, kind: &str, body: &Json) -> Result<Vec<Params>, Diagnostic> {
        match kind {
            "list" => list::params(self, body),
            "git" => git::params(self, body),
            "clusters" => clusters::params(self, body),
            "matrix" => combine::matrix(self, body),
            "merge" => combine::merge(self, body),
            other => {
                let message = format!("the generator `{other}` asks another machine");
                let hint = "run it in the cluster, or write what it gives into `list`";
                Err(self.wrong(codes::UNSUPPORTED, message, hint))
            }
        }
    }

    fn application(&self, template: &Json, params: &Params) -> Result<Application, Diagnostic> {
        let scope = Scope::new(params);
        let mut object = template.clone();
        if !scope.is_empty() {
            object = fill::all(self, template, &scope)?;
            fill::finalizer(&mut object, self.set.preserves_resources);
        }
        if let Some(patch) = &self.set.patch {
            fill::patch(self, &mut object, patch, &scope)?;
        }
        // An ApplicationSet makes applications in its own namespace and in no other.
        if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) {
            metadata.shift_remove("namespace");
            if !self.set.metadata.namespace.is_empty() {
                metadata.insert("namespace".to_owned(), Json::from(self.set.metadata.namespace.as_str()));
            }
        }
        let mut made = Application::new(self.set.place.clone(), Some(self.set.metadata.name.clone()), &object)?;
        made.outlives_set = self.set.lets_outlive();
        Ok(made)
    }

    /// `values` of a generator, filled in with its parameters and put beside them.
    fn with_values(&self, body: &Json, mut params: Params) -> Result<Params, Diagnostic> {
        let Some(values) = body.get("values").and_then(Json::as_object) else { return Ok(params) };
        let mut filled = BTreeMap::new();
        {
            let scope = Scope::new(&params);
            for (name, text) in values {
                let text = text.as_str().unwrap_or_default();
                filled.insert(name.clone(), fill::text(self, text, &scope, "`values`")?);
            }
        }
        match self.set.mode {
            crate::template::Mode::Go(_) if !filled.is_empty() => {
                params.insert("values".to_owned(), crate::data::Data::Texts(filled));
            }
            crate::template::Mode::Go(_) => {}
            crate::template::Mode::Fast => {
                let named = |(name, text)| (format!("values.{name}"), crate::data::Data::Text(text));
                params.extend(filled.into_iter().map(named));
            }
        }
        Ok(params)
    }
}

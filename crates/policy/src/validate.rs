//! Evaluates `validate`: deny, pattern, anyPattern and foreach.

use std::borrow::Cow;

use serde_json::Value;

use crate::context::Frame;
use crate::jmespath::Error;
use crate::pattern::{Mismatch, Pattern, shown};
use crate::request::Request;
use crate::rule::{Check, ForEach, PatternSource, Rule};
use crate::template;

/// What came of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It holds.
    Pass,
    /// It is broken.
    Fail,
    /// It is broken, and that is only a warning.
    Warn,
    /// It could not be told.
    Error,
    /// It does not apply, though its resource was selected.
    Skip,
}

impl Status {
    /// As policy reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Skip => "skip",
        }
    }
}

/// A status and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) message: String,
    /// Where in the resource, as `/spec/containers/0/image/`, or nothing.
    pub(crate) path: String,
}

impl Verdict {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), path: String::new() }
    }

    /// The same at a place in the resource.
    fn at(self, path: String) -> Self {
        Self { path, ..self }
    }

    pub(crate) fn error(what: &str, error: &Error) -> Self {
        Self::new(Status::Error, format!("{what}: {error}"))
    }
}

/// One run of a rule's checks.
pub(crate) struct Validation<'v> {
    pub(crate) rule: &'v Rule,
    pub(crate) request: &'v Request<'v>,
    pub(crate) resource: &'v Value,
}

impl Validation<'_> {
    /// Checks the whole resource, or the element it stands for. Nothing where nothing was checked.
    pub(crate) fn run(
        &self,
        check: &Check,
        frame: &Frame<'_>,
        element: Option<&Value>,
        nesting: usize,
    ) -> Option<Verdict> {
        if let Some(deny) = &check.deny {
            return Some(match deny.evaluate(frame, frame.delete()) {
                Err(error) => Verdict::error("the conditions of deny can't be evaluated", &error),
                Ok(outcome) if outcome.holds => Verdict::new(Status::Fail, self.denied(frame, &outcome.message)),
                Ok(_) => Verdict::new(Status::Pass, format!("rule {} holds", self.rule.name)),
            });
        }
        let resource = element.unwrap_or(self.resource);
        if element.is_none() && self.request.is_delete() && (check.pattern.is_some() || check.any_pattern.is_some()) {
            return None;
        }
        if let Some(pattern) = &check.pattern {
            return Some(self.pattern(pattern, frame, resource));
        }
        if let Some(patterns) = &check.any_pattern {
            return Some(self.any_pattern(patterns, frame, resource));
        }
        check.each.as_ref().and_then(|each| self.each(each, frame, nesting))
    }

    fn message(&self, frame: &Frame<'_>) -> String {
        template::render_text(&self.rule.message, frame, frame.delete())
            .map_or_else(|error| format!("{} ({error})", self.rule.message), |message| shown(&message).into_owned())
    }

    fn denied(&self, frame: &Frame<'_>, of_conditions: &str) -> String {
        let both: Vec<&str> =
            [self.rule.message.as_str(), of_conditions].into_iter().filter(|text| !text.is_empty()).collect();
        if both.is_empty() {
            return format!("rule {} is broken", self.rule.name);
        }
        let joined = both.join("; ");
        template::render_text(&joined, frame, frame.delete())
            .map_or_else(|error| format!("{joined} ({error})"), |message| shown(&message).into_owned())
    }

    fn broken(&self, frame: &Frame<'_>, what: &str) -> String {
        let message = self.message(frame);
        if message.is_empty() {
            format!("rule {} is broken {what}", self.rule.name)
        } else {
            format!("{message} ({what})")
        }
    }

    fn pattern(&self, source: &PatternSource, frame: &Frame<'_>, resource: &Value) -> Verdict {
        match matched(source, frame, resource) {
            Err(error) => Verdict::error("variables can't be replaced", &error),
            Ok(Ok(())) => Verdict::new(Status::Pass, format!("rule {} holds", self.rule.name)),
            Ok(Err(Mismatch::Skip(why))) => Verdict::new(Status::Skip, why),
            Ok(Err(Mismatch::Fail { path, why })) if path.is_empty() => {
                Verdict::new(Status::Error, self.broken(frame, &why))
            }
            Ok(Err(Mismatch::Fail { path, .. })) => {
                Verdict::new(Status::Fail, self.broken(frame, &format!("at {path}"))).at(path)
            }
        }
    }

    fn any_pattern(&self, sources: &[PatternSource], frame: &Frame<'_>, resource: &Value) -> Verdict {
        let (mut failed, mut skipped) = (Vec::new(), Vec::new());
        for (index, source) in sources.iter().enumerate() {
            match matched(source, frame, resource) {
                Err(error) => return Verdict::error("variables can't be replaced", &error),
                Ok(Ok(())) => {
                    return Verdict::new(Status::Pass, format!("rule {} holds by pattern {index}", self.rule.name));
                }
                Ok(Err(Mismatch::Skip(why))) => skipped.push(format!("pattern {index}: {why}")),
                Ok(Err(Mismatch::Fail { path, .. })) => failed.push(format!("pattern {index} at {path}")),
            }
        }
        if !failed.is_empty() {
            return Verdict::new(Status::Fail, self.broken(frame, &failed.join(", ")));
        }
        if !skipped.is_empty() {
            return Verdict::new(Status::Skip, skipped.join(" "));
        }
        Verdict::new(Status::Pass, self.message(frame))
    }

    fn each(&self, each: &[ForEach], frame: &Frame<'_>, nesting: usize) -> Option<Verdict> {
        let mut applied = 0;
        let mut trouble = None;
        for one in each {
            let elements = match elements(&one.list, frame) {
                Ok(elements) => elements,
                Err(Error::NotFound(_)) => continue,
                Err(error) => {
                    trouble = Some(error);
                    continue;
                }
            };
            match self.elements(one, &elements, frame, nesting) {
                Ok(count) => applied += count,
                Err(verdict) => return Some(verdict),
            }
        }
        if applied > 0 {
            return Some(Verdict::new(Status::Pass, format!("rule {} holds for each element", self.rule.name)));
        }
        trouble.map(|error| Verdict::error("the list can't be evaluated", &error))
    }

    /// How many elements were checked, or the first verdict that is not a pass.
    fn elements(
        &self,
        each: &ForEach,
        elements: &[Value],
        frame: &Frame<'_>,
        nesting: usize,
    ) -> Result<usize, Verdict> {
        let mut applied = 0;
        for (index, element) in elements.iter().enumerate().filter(|(_, element)| !element.is_null()) {
            if each.scope == Some(true) && !element.is_object() {
                return Err(Verdict::new(Status::Error, "elementScope needs elements that are mappings"));
            }
            let named = element_frame(frame, &each.context, element, index, nesting);
            // An element whose preconditions can't be evaluated is left out, as in Kyverno.
            let Ok(outcome) = each.preconditions.evaluate(&named, named.delete()) else { continue };
            if !outcome.holds {
                continue;
            }
            let scoped = each.scope.unwrap_or(element.is_object());
            match self.run(&each.check, &named, scoped.then_some(element), nesting + 1) {
                None => {}
                Some(verdict) => match verdict.status {
                    Status::Skip => {}
                    Status::Pass => applied += 1,
                    Status::Fail | Status::Warn | Status::Error => return Err(verdict),
                },
            }
        }
        Ok(applied)
    }
}

/// The elements of a list; what is no list is one element.
pub(crate) fn elements(list: &crate::jmespath::Expression, frame: &Frame<'_>) -> Result<Vec<Value>, Error> {
    Ok(match list.search(frame)?.into_owned() {
        Value::Array(items) => items,
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![other],
    })
}

/// The names that an element brings: `element`, `elementIndex`, and the same with the depth.
pub(crate) fn element_frame<'f>(
    frame: &'f Frame<'f>,
    context: &'f [crate::context::Entry],
    element: &Value,
    index: usize,
    nesting: usize,
) -> Frame<'f> {
    frame
        .child(context)
        .with("element", element.clone())
        .with(&format!("element{nesting}"), element.clone())
        .with("elementIndex", Value::from(index))
        .with(&format!("elementIndex{nesting}"), Value::from(index))
        .with_each(index)
}

fn matched(source: &PatternSource, frame: &Frame<'_>, resource: &Value) -> Result<Result<(), Mismatch>, Error> {
    match source {
        PatternSource::Ready(pattern) => Ok(pattern.check(resource)),
        PatternSource::Later(template) => {
            let rendered: Cow<'_, Value> = template.render(frame, frame.delete())?;
            let pattern = Pattern::compile(&rendered).map_err(Error::new)?;
            Ok(pattern.check(resource))
        }
    }
}

//! `ImageValidatingPolicy`: which images it is about, and who should have signed them.
//!
//! Source: Kyverno's documentation, "`ImageValidatingPolicy`".

use serde_json::Value;

use crate::cel::{Input, Policy as Expressions, Program};
use crate::request::{at, text};
use crate::rule::flag;
use crate::wildcard;

/// What an `ImageValidatingPolicy` says of images. Whether they are signed is asked of whoever pulls them, not here: an
/// expression that asks is an error, never a pass.
#[derive(Debug, Clone)]
pub(crate) struct Verification {
    globs: Vec<String>,
    expressions: Vec<Program>,
    images: Vec<(String, Program)>,
    required: bool,
    digest: bool,
    pins: bool,
    pub(crate) attestors: Value,
    pub(crate) attestations: Value,
}

impl Verification {
    pub(crate) fn compile(spec: &Value) -> Result<Self, String> {
        let list = |name: &str| spec.get(name).and_then(Value::as_array).into_iter().flatten();
        let named = |name: &str| -> Value {
            Value::Object(list(name).map(|item| (text(item, &["name"]).to_owned(), item.clone())).collect())
        };
        let (mut globs, mut expressions, mut images) = (Vec::new(), Vec::new(), Vec::new());
        for item in list("matchImageReferences") {
            match (text(item, &["glob"]), text(item, &["expression"])) {
                ("", source) => expressions.push(Program::compile(source)?),
                (glob, _) => globs.push(glob.to_owned()),
            }
        }
        for item in list("images") {
            images.push((text(item, &["name"]).to_owned(), Program::compile(text(item, &["expression"]))?));
        }
        let asked = |name: &str| flag(at(spec, &["validationConfigurations", name])).unwrap_or(true);
        Ok(Self {
            globs,
            expressions,
            images,
            required: asked("required"),
            digest: asked("verifyDigest"),
            pins: asked("mutateDigest"),
            attestors: named("attestors"),
            attestations: named("attestations"),
        })
    }

    /// Why images are not good, though all expressions hold. An expression that asks for a signature never holds here, so
    /// that none of them was verified.
    pub(crate) fn unmet(&self, lists: &Value, settled: bool) -> Option<String> {
        let lists = lists.as_object().into_iter().flatten().filter_map(|(_, items)| items.as_array());
        let mut images = lists.flatten().filter_map(Value::as_str);
        if self.required {
            return images.next().map(|image| format!("no expression asks who signed {image}, which is required"));
        }
        let image = images.find(|image| self.digest && (settled || !self.pins) && !image.contains('@'))?;
        Some(format!("{image} has no digest"))
    }

    /// The images that the policy is about, by list.
    pub(crate) fn images(&self, lists: &Value, with: &Expressions, input: &Input<'_>) -> Result<Value, String> {
        let mut lists = lists.clone();
        for (name, program) in &self.images {
            let found = with.value(program, input)?;
            lists.as_object_mut().map(|lists| lists.insert(name.clone(), found));
        }
        for items in
            lists.as_object_mut().into_iter().flat_map(|lists| lists.values_mut()).filter_map(Value::as_array_mut)
        {
            let mut kept = Vec::new();
            for image in items.drain(..) {
                if self.is_about(image.as_str().unwrap_or_default(), with, input)? {
                    kept.push(image);
                }
            }
            *items = kept;
        }
        Ok(lists)
    }

    fn is_about(&self, image: &str, with: &Expressions, input: &Input<'_>) -> Result<bool, String> {
        let whole = crate::image::Image::parse(image).map_or_else(|_| image.to_owned(), |image| image.to_string());
        let fits = |glob: &String| wildcard::matches(glob, image) || wildcard::matches(glob, &whole);
        if self.globs.iter().any(fits) {
            return Ok(true);
        }
        let reference = Value::from(image);
        for program in &self.expressions {
            if with.value(program, &Input { reference: Some(&reference), ..*input })? == Value::Bool(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

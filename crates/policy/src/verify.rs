//! `verifyImages`, as far as it can be told without a registry: which images a rule is about, and whether they have
//! digests. Whether a signature fits is told where images are pulled; until then such an image is an error, never a pass.

use serde_json::Value;

use crate::image::Image;
use crate::matching::texts;
use crate::request::{CONTAINERS, Request, images};
use crate::rule::flag;
use crate::validate::{Status, Verdict};
use crate::wildcard;

/// One entry of `verifyImages`.
#[derive(Debug, Clone)]
struct Entry {
    references: Vec<String>,
    skip: Vec<String>,
    verify_digest: bool,
    mutate_digest: bool,
    required: bool,
    attestors: bool,
}

/// `verifyImages`.
#[derive(Debug, Clone)]
pub(crate) struct VerifyImages {
    entries: Vec<Entry>,
}

/// Verified images by reference, as whoever pulls images knows them.
pub type Verified = std::collections::BTreeMap<String, Result<(), String>>;

impl VerifyImages {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let items = value.as_array().ok_or("verifyImages takes a list")?;
        let mut entries = Vec::new();
        for item in items {
            let mut references = texts(item.get("imageReferences"));
            references.extend(texts(item.get("image")));
            if references.is_empty() {
                return Err("verifyImages needs imageReferences".to_owned());
            }
            let given = |name: &str| item.get(name).is_some_and(|found| !found.is_null());
            entries.push(Entry {
                references,
                skip: texts(item.get("skipImageReferences")),
                verify_digest: flag(item.get("verifyDigest")).unwrap_or(true),
                mutate_digest: flag(item.get("mutateDigest")).unwrap_or(true),
                required: flag(item.get("required")).unwrap_or(true),
                attestors: given("attestors")
                    || given("attestations")
                    || given("key")
                    || given("subject")
                    || given("roots"),
            });
        }
        Ok(Self { entries })
    }

    /// What is known of the images of a resource; nothing where the rule is about none of them.
    pub(crate) fn run(&self, request: &Request<'_>, extracted: Option<&Value>, verified: &Verified) -> Option<Verdict> {
        let found = extracted.cloned().or_else(|| images(request.resource()));
        let mut about = 0;
        for image in found.iter().flat_map(all_images) {
            for entry in self.entries.iter().filter(|entry| entry.selects(&image)) {
                about += 1;
                if let Some(verdict) = entry.judge(&image, verified) {
                    return Some(verdict);
                }
            }
        }
        (about > 0).then(|| Verdict::new(Status::Pass, "all images are verified"))
    }
}

fn all_images(lists: &Value) -> Vec<Image> {
    let of_list = |list: &str| lists.get(list).and_then(Value::as_object).into_iter().flatten();
    let mut all = Vec::new();
    let custom = lists
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .filter(|name| !CONTAINERS.contains(name));
    for list in CONTAINERS.into_iter().chain(custom) {
        for (_, image) in of_list(list) {
            let field = |name: &str| image.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            all.push(Image {
                registry: field("registry"),
                path: field("path"),
                name: field("name"),
                tag: field("tag"),
                digest: field("digest"),
            });
        }
    }
    all
}

impl Entry {
    fn selects(&self, image: &Image) -> bool {
        let reference = image.to_string();
        let fits =
            |patterns: &[String]| patterns.iter().any(|pattern| wildcard::matches(&expanded(pattern), &reference));
        fits(&self.references) && !fits(&self.skip)
    }

    /// Nothing where the image is good.
    fn judge(&self, image: &Image, verified: &Verified) -> Option<Verdict> {
        if self.verify_digest && !self.mutate_digest && image.digest.is_empty() {
            return Some(Verdict::new(Status::Fail, format!("{image} has no digest")));
        }
        if !self.required {
            return None;
        }
        if !self.attestors {
            return Some(Verdict::new(
                Status::Fail,
                format!("{image} is not verified: the rule names nobody who could have signed it"),
            ));
        }
        match verified.get(&image.to_string()) {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(Verdict::new(Status::Fail, format!("{image}: {why}"))),
            None => {
                let why =
                    format!("it is not known whether {image} is signed: signatures are verified when it is pulled");
                Some(Verdict::new(Status::Error, why))
            }
        }
    }
}

/// A pattern with Docker's default registry, so that `nginx*` means what it says.
fn expanded(pattern: &str) -> String {
    let host = pattern.split('/').next().unwrap_or_default();
    let named = pattern.contains('/') && (host.contains(['.', ':', '*']) || host == "localhost");
    if named || pattern == "*" { pattern.to_owned() } else { format!("docker.io/{pattern}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_known_without_a_registry() {
        let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "ghcr.io/o/a:v1"}]}});
        let request = Request::create(&pod, jiff::Timestamp::UNIX_EPOCH);
        let run = |entry: Value, verified: &Verified| {
            let rule = VerifyImages::compile(&json!([entry])).unwrap();
            rule.run(&request, None, verified).map(|verdict| verdict.status)
        };
        let signed = json!({"imageReferences": ["ghcr.io/o/*"], "attestors": [{"count": 1}]});
        let none = Verified::new();
        assert_eq!(run(signed.clone(), &none), Some(Status::Error));
        assert_eq!(run(json!({"imageReferences": ["quay.io/*"], "attestors": []}), &none), None);
        let known = |result: Result<(), String>| Verified::from([("ghcr.io/o/a:v1".to_owned(), result)]);
        assert_eq!(run(signed.clone(), &known(Ok(()))), Some(Status::Pass));
        assert_eq!(run(signed, &known(Err("wrong key".to_owned()))), Some(Status::Fail));
        let digest = json!({"imageReferences": ["*"], "mutateDigest": false, "verifyDigest": true});
        assert_eq!(run(digest, &none), Some(Status::Fail));
    }
}

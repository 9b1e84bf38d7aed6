//! The message of a commit that sets images.
//!
//! Source: Flux 2.7, documentation, "Image Update Automations", "Message template".

use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_model::Diagnostic;
use prograde_template::{Call, CallError, Escape, Limits, Object, Templates, Value};

use crate::codes;
use crate::image::marker::{Change, ObjectId};
use crate::image::objects::ImageUpdateAutomation;
use crate::sprig;
use crate::template::Missing;

/// What Flux writes where no template is given.
const DEFAULT: &str = "Update from image update automation";
/// What a message may take.
const LIMITS: Limits = Limits { output_bytes_max: 256 * 1024, steps_max: 1_000_000, depth_max: 100 };

/// Something with fields, and a text that is printed for it.
#[derive(Debug)]
struct Named {
    name: &'static str,
    shown: Value,
    fields: Vec<(&'static str, Value)>,
    pairs: Option<Vec<(Value, Value)>>,
}

impl Object for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn member(&self, name: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        let found = self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone());
        found
            .map(Ok)
            .or_else(|| matches!(self.shown, Value::Text(_)).then(|| Err(CallError::new("there is no such field"))))
    }

    fn plain(&self) -> Value {
        self.shown.clone()
    }

    fn pairs(&self) -> Option<Vec<(Value, Value)>> {
        self.pairs.clone()
    }
}

/// The message for these changes.
pub fn message(automation: &ImageUpdateAutomation, changes: &[Change]) -> Result<String, Diagnostic> {
    let text = if automation.message.is_empty() { DEFAULT } else { &automation.message };
    let functions = sprig::functions(Missing::Zero);
    let mut templates = Templates::new();
    let told = |error: prograde_template::Error| {
        let hint = "it is given `.AutomationObject`, `.Changed` and `.Values`; `.Updated` is gone, write `.Changed`";
        automation.place.diagnostic(
            codes::MESSAGE,
            format!("`messageTemplate`, line {}: {}", error.line, error.message),
            hint,
        )
    };
    templates.add("commit message", text, &functions, &[]).map_err(told)?;
    let data = data(automation, changes);
    let call = Call { data, variables: &[], functions: &functions, limits: LIMITS, escape: Escape::Nothing };
    templates.execute("commit message", &call).map_err(told)
}

fn data(automation: &ImageUpdateAutomation, changes: &[Change]) -> Value {
    let (name, namespace) = (&automation.metadata.name, &automation.metadata.namespace);
    let itself = object(Named {
        name: "types.NamespacedName",
        shown: Value::from(format!("{namespace}/{name}")),
        fields: vec![("Name", Value::from(name.as_str())), ("Namespace", Value::from(namespace.as_str()))],
        pairs: None,
    });
    let mut files: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        files.entry(&change.file).or_default().push(change);
    }
    let by_file = files.iter().map(|(file, changes)| (Value::from(*file), by_object(changes))).collect();
    let all: Vec<&Change> = changes.iter().collect();
    let mut different: Vec<&Change> = Vec::new();
    for change in changes {
        let same = |other: &&Change| {
            (&other.old_value, &other.new_value, &other.setter)
                == (&change.old_value, &change.new_value, &change.setter)
        };
        if !different.iter().any(same) {
            different.push(change);
        }
    }
    let result = Value::record(
        "update.Result",
        vec![
            ("FileChanges", pairs(by_file)),
            ("Objects", by_object(&all)),
            ("Changes", Value::from(different.into_iter().map(one).collect::<Vec<_>>())),
        ],
    );
    let values = automation.message_values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Value::record(
        "source.TemplateData",
        vec![("AutomationObject", itself), ("Changed", result), ("Values", Value::texts(values))],
    )
}

fn object(named: Named) -> Value {
    Value::Object(Arc::new(named))
}

fn pairs(pairs: Vec<(Value, Value)>) -> Value {
    let shown = Value::from(pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    object(Named { name: "map", shown, fields: Vec::new(), pairs: Some(pairs) })
}

fn by_object(changes: &[&Change]) -> Value {
    let mut objects: BTreeMap<&ObjectId, Vec<Value>> = BTreeMap::new();
    for change in changes {
        objects.entry(&change.object).or_default().push(one(change));
    }
    pairs(objects.into_iter().map(|(id, changes)| (identity(id), Value::from(changes))).collect())
}

fn identity(id: &ObjectId) -> Value {
    let text = |text: &str| Value::from(text);
    object(Named {
        name: "update.ObjectIdentifier",
        shown: Value::from(format!("{}/{}/{}", id.kind, id.namespace, id.name).replace("//", "/")),
        fields: vec![
            ("APIVersion", text(&id.api_version)),
            ("Kind", text(&id.kind)),
            ("Name", text(&id.name)),
            ("Namespace", text(&id.namespace)),
        ],
        pairs: None,
    })
}

fn one(change: &Change) -> Value {
    Value::record(
        "update.Change",
        vec![
            ("OldValue", Value::from(change.old_value.as_str())),
            ("NewValue", Value::from(change.new_value.as_str())),
            ("Setter", Value::from(change.setter.as_str())),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(template: &str) -> String {
        let text = format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata: {{name: auto, namespace: flux}}\nspec:\n  interval: 5m\n  sourceRef: {{kind: GitRepository, name: g}}\n  git:\n    commit:\n      author: {{email: a@b}}\n      messageTemplateValues: {{cluster: prod}}\n      messageTemplate: {}\n",
            serde_json::Value::from(template)
        );
        let mut objects = crate::Objects::default();
        crate::read("a.yaml", &text, &mut objects);
        assert!(objects.problems.is_empty(), "{:?}", objects.problems);
        let change = |name: &str, line| Change {
            file: "apps/web.yaml".into(),
            line,
            object: ObjectId { kind: "Deployment".into(), name: name.into(), ..ObjectId::default() },
            old_value: "a:1".into(),
            new_value: "a:2".into(),
            setter: "flux:a".into(),
        };
        message(&objects.automations[0], &[change("web", 3), change("job", 9)])
            .unwrap_or_else(|problem| format!("error: {}", problem.message))
    }

    #[test]
    fn templates_see_what_flux_documents() {
        assert_eq!(told(""), "Update from image update automation");
        assert_eq!(
            told("{{ .AutomationObject }} {{ .AutomationObject.Name }} {{ .Values.cluster }}"),
            "flux/auto auto prod"
        );
        let files = "{{ range $filename, $_ := .Changed.FileChanges -}}\n- {{ $filename }}\n{{ end -}}";
        assert_eq!(told(files), "- apps/web.yaml\n");
        let objects = "{{ range $resource, $changes := .Changed.Objects -}}\n- {{ $resource.Kind }} {{ $resource.Name }}\n{{ range $_, $change := $changes }}  {{ $change.OldValue }} -> {{ $change.NewValue }}\n{{ end }}{{ end -}}";
        assert_eq!(told(objects), "- Deployment job\n  a:1 -> a:2\n- Deployment web\n  a:1 -> a:2\n");
        assert_eq!(told("{{ range .Changed.Changes }}{{ .Setter }} {{ end }}"), "flux:a ");
        assert!(told("{{ .Updated.Files }}").starts_with("error: "));
        assert!(told("{{ range until 9999999 }}{{ end }}").starts_with("error: "));
    }
}

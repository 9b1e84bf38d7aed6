//! What is known of the fields of kinds: which lists are merged by which keys, and which kinds have no namespace.
//! The Kubernetes API's own is built in as a table; a kustomization may bring another one.

mod built_in;

use std::borrow::Cow;
use std::collections::HashMap;

use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::codes;
use crate::id::Gvk;
use crate::place::Place;

/// The built-in schema alone.
static KUBERNETES: Table = Table { has_built_in: true, own: None };

/// A name of the built-in schema, which is never copied, or of another one.
type Name = Cow<'static, str>;

/// The type of a value.
#[derive(Debug, Clone)]
enum Type {
    /// What a definition says.
    Definition(usize),
    /// What is known here.
    Known(Known),
}

/// What is known of one value.
#[derive(Debug, Clone, Default)]
struct Known {
    /// In the order of their names.
    fields: Vec<(Name, Type)>,
    /// What other fields are.
    others: Option<Box<Type>>,
    /// What the items are, where the value is a list.
    items: Option<Box<Type>>,
    /// The keys that items are merged by, where they are; none for items that are texts.
    merged: Option<Vec<String>>,
}

impl Known {
    fn field(&self, name: &str) -> Option<&Type> {
        let at = self.fields.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.fields.get(at).map(|(_, of)| of)
    }
}

/// Definitions, and the kinds that have one: what is built in, what an OpenAPI document says, or both.
pub(crate) struct Table {
    has_built_in: bool,
    own: Option<Own>,
}

/// What an OpenAPI document says. Its definitions are numbered behind those that are built in.
#[derive(Default)]
struct Own {
    definitions: Vec<Known>,
    names: HashMap<String, usize>,
    kinds: HashMap<Gvk, usize>,
    namespaced: HashMap<Gvk, bool>,
}

/// Thousands of types: nobody reads them.
impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

/// The type of objects of a kind of Kubernetes' own API; none for other kinds.
pub fn kubernetes_type(api_version: &str, kind: &str) -> Option<TypeOf<'static>> {
    let (group, version) = Gvk::split(api_version);
    let number = built_in::kind(group, version, kind)?;
    Some(TypeOf { table: &KUBERNETES, of: Of::Definition(number) })
}

/// Whether objects of a kind of Kubernetes' own API have no namespace; none for other kinds.
pub fn is_cluster_scoped(api_version: &str, kind: &str) -> Option<bool> {
    let (group, version) = Gvk::split(api_version);
    let without = built_in::is_cluster_scoped(group, version, kind);
    (without || built_in::kind(group, version, kind).is_some()).then_some(without)
}

/// The type of one value.
#[derive(Debug, Clone, Copy)]
pub struct TypeOf<'a> {
    table: &'a Table,
    of: Of<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    Definition(usize),
    Known(&'a Known),
}

impl<'a> TypeOf<'a> {
    fn known(self) -> Option<&'a Known> {
        match self.of {
            Of::Definition(number) => self.table.definition(number),
            Of::Known(known) => Some(known),
        }
    }

    fn inner(self, found: &'a Type) -> Self {
        let of = match found {
            Type::Definition(number) => Of::Definition(*number),
            Type::Known(known) => Of::Known(known),
        };
        Self { table: self.table, of }
    }

    /// The type of a field.
    pub fn field(self, name: &str) -> Option<TypeOf<'a>> {
        let known = self.known()?;
        Some(self.inner(known.field(name).or(known.others.as_deref())?))
    }

    /// The type of a list's items.
    pub fn items(self) -> Option<TypeOf<'a>> {
        Some(self.inner(self.known()?.items.as_deref()?))
    }

    /// The keys that a list is merged by; `None` for one that is replaced as a whole.
    pub fn merge_keys(self) -> Option<&'a [String]> {
        self.known()?.merged.as_deref()
    }

    /// Whether this is a mapping from any name, such as labels.
    pub fn is_open(self) -> bool {
        self.known().is_some_and(|known| known.others.is_some() && known.fields.is_empty())
    }

    /// Whether this is a resource quantity such as `100m`.
    pub fn is_quantity(self) -> bool {
        self.is(*built_in::QUANTITY)
    }

    /// Whether this is a number or a text, such as the port of a probe.
    pub fn is_int_or_string(self) -> bool {
        self.is(*built_in::INT_OR_STRING)
    }

    fn is(self, definition: Option<usize>) -> bool {
        matches!(self.of, Of::Definition(number) if definition == Some(number))
    }
}

impl Table {
    fn definition(&self, number: usize) -> Option<&Known> {
        match number.checked_sub(built_in::COUNT) {
            None => built_in::definition(number),
            Some(number) => self.own.as_ref()?.definitions.get(number),
        }
    }

    fn kind(&self, gvk: &Gvk) -> Option<usize> {
        let own = self.own.as_ref().and_then(|own| own.kinds.get(gvk).copied());
        own.or_else(|| if self.has_built_in { built_in::kind(&gvk.group, &gvk.version, &gvk.kind) } else { None })
    }
}

impl Own {
    /// Reads the definitions and paths of an OpenAPI document. Definitions that it refers to and does not have are built in,
    /// where those hold beside it.
    fn read(document: &Json, has_built_in: bool) -> Self {
        let mut own = Self::default();
        let Some(definitions) = document.get("definitions").and_then(Json::as_object) else { return own };
        let numbers = (built_in::COUNT..).take(definitions.len());
        own.names = definitions.keys().cloned().zip(numbers.clone()).collect();
        for (schema, number) in definitions.values().zip(numbers) {
            own.definitions.push(own.read_schema(schema, has_built_in));
            let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Json::as_array);
            for kind in kinds.into_iter().flatten().filter_map(kind_of) {
                own.kinds.insert(kind, number);
            }
        }
        let paths = document.get("paths").and_then(Json::as_object);
        for (path, operations) in paths.into_iter().flatten() {
            let kind = operations.get("get").and_then(|get| get.get("x-kubernetes-group-version-kind"));
            let Some(kind) = kind.and_then(kind_of) else { continue };
            if path.contains("namespaces/{namespace}") {
                own.namespaced.insert(kind, true);
            } else {
                own.namespaced.entry(kind).or_insert(false);
            }
        }
        own
    }

    fn read_schema(&self, schema: &Json, has_built_in: bool) -> Known {
        let mut known = Known::default();
        for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            known.fields.push((name.clone().into(), self.type_of(field, has_built_in)));
        }
        known.fields.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
            known.others = Some(Box::new(self.type_of(others, has_built_in)));
        }
        if schema.get("type").and_then(Json::as_str) == Some("array")
            && let Some(items) = schema.get("items").filter(|items| items.is_object())
        {
            known.items = Some(Box::new(self.type_of(items, has_built_in)));
        }
        let strategy = schema.get("x-kubernetes-patch-strategy").and_then(Json::as_str).unwrap_or_default();
        if strategy.split(',').any(|part| part == "merge") {
            let list = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
            let single = schema.get("x-kubernetes-patch-merge-key").and_then(Json::as_str);
            known.merged = Some(match (list, single) {
                (Some(list), _) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
                (None, Some(single)) => vec![single.to_owned()],
                (None, None) => Vec::new(),
            });
        }
        known
    }

    fn type_of(&self, schema: &Json, has_built_in: bool) -> Type {
        let Some(target) = schema.get("$ref").and_then(Json::as_str) else {
            return Type::Known(self.read_schema(schema, has_built_in));
        };
        let name = target.rsplit('/').next().unwrap_or_default();
        let own = self.names.get(name).copied();
        let found = own.or_else(|| if has_built_in { built_in::named(name) } else { None });
        found.map_or_else(|| Type::Known(Known::default()), Type::Definition)
    }
}

fn kind_of(value: &Json) -> Option<Gvk> {
    let text = |name: &str| value.get(name).and_then(Json::as_str).map(str::to_owned);
    Some(Gvk { group: text("group").unwrap_or_default(), version: text("version")?, kind: text("kind")? })
}

/// The schemas that hold in one rendering.
pub(crate) struct Schemas {
    custom: Option<Table>,
    chosen: bool,
    /// Whether objects were read whose kind is not built in: Kustomize then keeps the built-in schema beside another.
    unknown_kinds: bool,
}

impl Schemas {
    /// The built-in schema.
    pub(crate) fn new() -> Self {
        Self { custom: None, chosen: false, unknown_kinds: false }
    }

    /// Takes a kustomization's own schema, unless an outer one has chosen already.
    pub(crate) fn choose(&mut self, document: Option<&Json>, place: &Place) -> Result<(), Diagnostic> {
        if self.chosen {
            return Ok(());
        }
        if let Some(document) = document {
            if !document.is_object() {
                return Err(place.diagnostic(codes::SCHEMA, "the schema is not an OpenAPI document", ""));
            }
            let has_built_in = self.unknown_kinds;
            self.custom = Some(Table { has_built_in, own: Some(Own::read(document, has_built_in)) });
        }
        self.chosen = true;
        Ok(())
    }

    /// Whether a kustomization has brought or named a schema.
    pub(crate) fn is_chosen(&self) -> bool {
        self.chosen
    }

    /// Takes note of a kind that was read.
    pub(crate) fn note(&mut self, gvk: &Gvk) {
        self.unknown_kinds = self.unknown_kinds || KUBERNETES.kind(gvk).is_none();
    }

    /// The type of a kind.
    pub(crate) fn of_kind(&self, gvk: &Gvk) -> Option<TypeOf<'_>> {
        let table = self.custom.as_ref().unwrap_or(&KUBERNETES);
        Some(TypeOf { table, of: Of::Definition(table.kind(gvk)?) })
    }

    /// Whether objects of a kind certainly have no namespace.
    pub(crate) fn is_cluster_scoped(&self, gvk: &Gvk) -> bool {
        let own = self.custom.as_ref().and_then(|table| table.own.as_ref());
        built_in::is_cluster_scoped(&gvk.group, &gvk.version, &gvk.kind)
            || own.is_some_and(|own| own.namespaced.get(gvk) == Some(&false))
    }
}

//! What is known of the fields of kinds: which lists are merged by which keys, and which kinds have no namespace.
//! The Kubernetes API's own is built in as a table; a kustomization may bring another one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::codes;
use crate::id::Gvk;
use crate::place::Place;

const BUILT_IN: &str = include_str!("../data/kubernetes.txt");

static KUBERNETES: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(Table::built_in()));

/// A name of the built-in table, which is never copied, or of another schema.
type Name = Cow<'static, str>;

/// What is known of one value.
#[derive(Debug, Clone, Default)]
struct Type {
    /// In the order of their names.
    fields: Vec<(Name, usize)>,
    /// What other fields are.
    others: Option<usize>,
    /// What the items are, where the value is a list.
    items: Option<usize>,
    /// The keys that items are merged by, where they are; none for items that are texts.
    merged: Option<Vec<String>>,
}

impl Type {
    fn field(&self, name: &str) -> Option<usize> {
        let at = self.fields.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.fields.get(at).map(|(_, index)| *index)
    }
}

/// All types, and the kinds that have one.
#[derive(Clone, Default)]
pub(crate) struct Table {
    types: Vec<Type>,
    names: HashMap<Name, usize>,
    kinds: HashMap<(Name, Name), usize>,
    namespaced: HashMap<(Name, Name), bool>,
    quantity: Option<usize>,
    int_or_string: Option<usize>,
}

/// Thousands of types: nobody reads them.
impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

/// The type of objects of a kind of Kubernetes' own API; none for other kinds.
pub fn kubernetes_type(api_version: &str, kind: &str) -> Option<TypeOf<'static>> {
    let table: &'static Table = &KUBERNETES;
    Some(TypeOf { table, index: table.kind(api_version, kind)? })
}

/// Whether objects of a kind of Kubernetes' own API have no namespace; none for other kinds.
pub fn is_cluster_scoped(api_version: &str, kind: &str) -> Option<bool> {
    let namespaced = KUBERNETES.is_namespaced(api_version, kind);
    let known = namespaced.is_some() || KUBERNETES.kind(api_version, kind).is_some();
    known.then_some(namespaced == Some(false))
}

/// The type of one value.
#[derive(Debug, Clone, Copy)]
pub struct TypeOf<'a> {
    table: &'a Table,
    index: usize,
}

impl<'a> TypeOf<'a> {
    fn of(self) -> Option<&'a Type> {
        self.table.types.get(self.index)
    }

    /// The type of a field.
    pub fn field(self, name: &str) -> Option<TypeOf<'a>> {
        let known = self.of()?;
        let index = known.field(name).or(known.others)?;
        Some(Self { table: self.table, index })
    }

    /// The type of a list's items.
    pub fn items(self) -> Option<TypeOf<'a>> {
        self.of()?.items.map(|index| Self { table: self.table, index })
    }

    /// The keys that a list is merged by; `None` for one that is replaced as a whole.
    pub fn merge_keys(self) -> Option<&'a [String]> {
        self.of()?.merged.as_deref()
    }

    /// Whether this is a mapping from any name, such as labels.
    pub fn is_open(self) -> bool {
        self.of().is_some_and(|known| known.others.is_some() && known.fields.is_empty())
    }

    /// Whether this is a resource quantity such as `100m`.
    pub fn is_quantity(self) -> bool {
        self.table.quantity == Some(self.index)
    }

    /// Whether this is a number or a text, such as the port of a probe.
    pub fn is_int_or_string(self) -> bool {
        self.table.int_or_string == Some(self.index)
    }
}

impl Table {
    fn kind(&self, api_version: &str, kind: &str) -> Option<usize> {
        self.kinds.get(&(Cow::Borrowed(api_version), Cow::Borrowed(kind))).copied()
    }

    fn is_namespaced(&self, api_version: &str, kind: &str) -> Option<bool> {
        self.namespaced.get(&(Cow::Borrowed(api_version), Cow::Borrowed(kind))).copied()
    }

    /// Read anew by each process that renders, so nothing is copied that need not be.
    fn built_in() -> Self {
        let mut table = Self::default();
        let definitions = BUILT_IN.lines().filter(|line| line.starts_with('D')).count();
        // The last one is of values of which nothing is known.
        table.types.resize(definitions + 1, Type::default());
        let mut at = 0;
        for line in BUILT_IN.lines() {
            let mut words = line.split(' ');
            match words.next() {
                Some("D") => {
                    table.names.insert(words.next().unwrap_or_default().into(), at);
                    let mut known = Type::default();
                    for (name, spec) in words.filter_map(|word| word.split_once('=')) {
                        let index = table.read_spec(spec, definitions);
                        if name == "*" {
                            known.others = Some(index);
                        } else {
                            known.fields.push((name.into(), index));
                        }
                    }
                    known.fields.sort();
                    if let Some(slot) = table.types.get_mut(at) {
                        *slot = known;
                    }
                    at += 1;
                }
                Some("K") => {
                    if let (Some(version), Some(kind), Some(index)) = (words.next(), words.next(), words.next()) {
                        let index = index.parse().unwrap_or(usize::MAX);
                        table.kinds.insert((version.into(), kind.into()), index);
                    }
                }
                Some("C") => {
                    if let (Some(version), Some(kind)) = (words.next(), words.next()) {
                        table.namespaced.insert((version.into(), kind.into()), false);
                    }
                }
                _ => {}
            }
        }
        table.quantity = table.names.get("io.k8s.apimachinery.pkg.api.resource.Quantity").copied();
        table.int_or_string = table.names.get("io.k8s.apimachinery.pkg.util.intstr.IntOrString").copied();
        table
    }

    fn add(&mut self, known: Type) -> usize {
        self.types.push(known);
        self.types.len() - 1
    }

    /// The type that a text of the table means; `unknown` is the one of which nothing is known.
    fn read_spec(&mut self, spec: &str, unknown: usize) -> usize {
        if let Some(index) = spec.strip_prefix('@') {
            return index.parse().unwrap_or(usize::MAX);
        }
        if let Some(inner) = spec.strip_prefix("{}") {
            let others = Some(self.read_spec(inner, unknown));
            return self.add(Type { others, ..Type::default() });
        }
        if let Some((keys, inner)) = spec.split_once("[]") {
            let items = Some(self.read_spec(inner, unknown));
            let merged = keys
                .strip_prefix('+')
                .map(|keys| keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect());
            return self.add(Type { items, merged, ..Type::default() });
        }
        unknown
    }

    /// Takes the definitions and paths of an OpenAPI document in.
    fn add_document(&mut self, document: &Json) {
        let Some(definitions) = document.get("definitions").and_then(Json::as_object) else { return };
        for name in definitions.keys() {
            let index = self.add(Type::default());
            self.names.insert(name.clone().into(), index);
        }
        let indices = self.names.clone();
        for (name, schema) in definitions {
            let Some(index) = indices.get(name.as_str()).copied() else { continue };
            let known = self.read_schema(schema, &indices);
            if let Some(slot) = self.types.get_mut(index) {
                *slot = known;
            }
            let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Json::as_array);
            for kind in kinds.into_iter().flatten().filter_map(kind_of) {
                self.kinds.insert(kind, index);
            }
        }
        let paths = document.get("paths").and_then(Json::as_object);
        for (path, operations) in paths.into_iter().flatten() {
            let kind = operations.get("get").and_then(|get| get.get("x-kubernetes-group-version-kind"));
            let Some(kind) = kind.and_then(kind_of) else { continue };
            if path.contains("namespaces/{namespace}") {
                self.namespaced.insert(kind, true);
            } else {
                self.namespaced.entry(kind).or_insert(false);
            }
        }
    }

    fn read_schema(&mut self, schema: &Json, indices: &HashMap<Name, usize>) -> Type {
        let mut known = Type::default();
        for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            let index = self.index_of(field, indices);
            known.fields.push((name.clone().into(), index));
        }
        known.fields.sort();
        if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
            known.others = Some(self.index_of(others, indices));
        }
        if schema.get("type").and_then(Json::as_str) == Some("array")
            && let Some(items) = schema.get("items").filter(|items| items.is_object())
        {
            known.items = Some(self.index_of(items, indices));
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

    fn index_of(&mut self, schema: &Json, indices: &HashMap<Name, usize>) -> usize {
        if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
            let name = target.rsplit('/').next().unwrap_or_default();
            return indices.get(name).copied().unwrap_or(usize::MAX);
        }
        let known = self.read_schema(schema, indices);
        self.add(known)
    }
}

fn kind_of(value: &Json) -> Option<(Name, Name)> {
    let text = |name: &str| value.get(name).and_then(Json::as_str);
    let (version, kind) = (text("version")?, text("kind")?);
    let api = match text("group") {
        Some(group) if !group.is_empty() => format!("{group}/{version}"),
        _ => version.to_owned(),
    };
    Some((api.into(), kind.to_owned().into()))
}

/// The schemas that hold in one rendering.
pub(crate) struct Schemas {
    built_in: Arc<Table>,
    custom: Option<Table>,
    chosen: bool,
    /// Whether objects were read whose kind is not built in: Kustomize then keeps the built-in schema beside another.
    unknown_kinds: bool,
}

impl Schemas {
    /// The built-in schema.
    pub(crate) fn new() -> Self {
        Self { built_in: Arc::clone(&KUBERNETES), custom: None, chosen: false, unknown_kinds: false }
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
            let mut table = if self.unknown_kinds { Table::clone(&self.built_in) } else { Table::default() };
            table.add_document(document);
            self.custom = Some(table);
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
        self.unknown_kinds |= self.built_in.kind(&gvk.api_version(), &gvk.kind).is_none();
    }

    /// The type of a kind.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<TypeOf<'_>> {
        let table = self.custom.as_ref().unwrap_or(&self.built_in);
        Some(TypeOf { table, index: table.kind(api_version, kind)? })
    }

    /// Whether objects of a kind certainly have no namespace.
    pub(crate) fn is_cluster_scoped(&self, gvk: &Gvk) -> bool {
        let api_version = gvk.api_version();
        let found = self.built_in.is_namespaced(&api_version, &gvk.kind);
        let custom = || self.custom.as_ref().and_then(|custom| custom.is_namespaced(&api_version, &gvk.kind));
        found.or_else(custom) == Some(false)
    }
}

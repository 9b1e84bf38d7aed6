//! What templates work on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::CallError;

/// A value. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Nil,
    /// Go's `bool`.
    Bool(bool),
    /// Go's `int`.
    Int(i64),
    /// Go's `float64`.
    Float(f64),
    /// Go's `string`. Always UTF-8 here.
    Text(Arc<str>),
    /// Go's slice.
    List(Arc<[Value]>),
    /// Go's map with strings as keys.
    Map(Arc<Map>),
    /// Go's struct: unlike a map, a field that it does not have is an error.
    Record(Arc<Record>),
    /// A value with methods.
    Object(Arc<dyn Object>),
    /// What `call` calls.
    Function(Function),
}

/// Values by name, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// What is there.
    pub entries: BTreeMap<Arc<str>, Value>,
    /// What is given for a name that is not there: in Go, the zero value of the map's type. [`Value::Nil`] is told as
    /// `<no value>`, an empty text as nothing.
    pub missing: Value,
}

/// Named fields, in the order in which they are printed.
#[derive(Debug, Clone)]
pub struct Record {
    /// What it is called in errors.
    pub name: &'static str,
    /// Its fields.
    pub fields: Vec<(&'static str, Value)>,
}

/// A value with methods, whose results are calculated when they are asked for.
pub trait Object: fmt::Debug + Send + Sync {
    /// What it is called in errors.
    fn name(&self) -> &'static str;
    /// What a method or field gives; `None` if there is none of that name.
    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>>;
    /// What it is where it is printed, compared, indexed or gone through. Not an object again.
    fn plain(&self) -> Value;
    /// What a range goes through, where that is a map whose keys are no texts; in the order in which it is gone through.
    fn pairs(&self) -> Option<Vec<(Value, Value)>> {
        None
    }
    /// Whether it is HTML already, which is not escaped again.
    fn is_markup(&self) -> bool {
        false
    }
}

/// HTML that is written as it is.
#[derive(Debug)]
struct Markup(Arc<str>);

impl Object for Markup {
    fn name(&self) -> &'static str {
        "template.HTML"
    }

    fn member(&self, _: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        None
    }

    fn plain(&self) -> Value {
        Value::Text(Arc::clone(&self.0))
    }

    fn is_markup(&self) -> bool {
        true
    }
}

/// A function as a value.
#[derive(Clone)]
pub struct Function(Arc<Callable>);

type Callable = dyn Fn(&[Value]) -> Result<Value, CallError> + Send + Sync;

impl Function {
    /// A value that calls `function`.
    pub fn new(function: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn call(&self, arguments: &[Value]) -> Result<Value, CallError> {
        (self.0)(arguments)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Function")
    }
}

impl Map {
    /// What is under a name, or what stands for one that is not there.
    pub fn get(&self, name: &str) -> &Value {
        self.entries.get(name).unwrap_or(&self.missing)
    }
}

impl Value {
    /// A map of texts, as labels are: a name that is not there gives an empty text.
    pub fn texts<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let entries = pairs.into_iter().map(|(name, text)| (Arc::from(name), Self::from(text))).collect();
        Self::Map(Arc::new(Map { entries, missing: Self::from("") }))
    }

    /// A struct.
    pub fn record(name: &'static str, fields: Vec<(&'static str, Value)>) -> Self {
        Self::Record(Arc::new(Record { name, fields }))
    }

    /// A text that is HTML already: what `safeHtml` gives.
    pub fn markup(text: Arc<str>) -> Self {
        Self::Object(Arc::new(Markup(text)))
    }

    pub(crate) fn is_markup(&self) -> bool {
        matches!(self, Self::Object(object) if object.is_markup())
    }

    /// An object as what it stands for; anything else as it is.
    #[must_use]
    pub fn plain(&self) -> Self {
        match self {
            Self::Object(object) => object.plain(),
            Self::Nil
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Record(_)
            | Self::Function(_) => self.clone(),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<Arc<str>> {
        if let Self::Text(text) = self.plain() { Some(text) } else { None }
    }

    /// What it is called in errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Record(record) => record.name,
            Self::Object(object) => object.name(),
            Self::Function(_) => "function",
        }
    }

    /// Whether it counts as true: anything but false, 0, nothing, and what is empty.
    pub fn is_true(&self) -> bool {
        match self.plain() {
            Self::Nil => false,
            Self::Bool(flag) => flag,
            Self::Int(number) => number != 0,
            Self::Float(number) => number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Record(_) | Self::Object(_) | Self::Function(_) => true,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Arc::from(text))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(Arc::from(list))
    }
}

//! The functions that a template may use beside Go's own.

use std::collections::BTreeMap;
use std::fmt;

use crate::builtins;
use crate::error::CallError;
use crate::value::Value;

/// Functions by name. One with the name of one of Go's own replaces it.
#[derive(Default)]
pub struct Functions<'f> {
    table: BTreeMap<&'static str, Box<Callable<'f>>>,
}

type Callable<'f> = dyn Fn(&[Value]) -> Result<Value, CallError> + 'f;

impl<'f> Functions<'f> {
    /// None but Go's own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function, whose arguments are what the template gives; what is piped into it is the last one.
    #[must_use]
    pub fn with(mut self, name: &'static str, function: impl Fn(&[Value]) -> Result<Value, CallError> + 'f) -> Self {
        self.table.insert(name, Box::new(function));
        self
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.table.contains_key(name) || builtins::knows(name)
    }

    /// Whether `and` and `or` are Go's, which leave out arguments that they need not know.
    pub(crate) fn is_lazy(&self, name: &str) -> bool {
        matches!(name, "and" | "or") && !self.table.contains_key(name)
    }

    pub(crate) fn call(&self, name: &str, arguments: &[Value], bytes_max: usize) -> Result<Value, CallError> {
        match self.table.get(name) {
            Some(function) => function(arguments),
            None => builtins::call(name, arguments, bytes_max),
        }
    }
}

impl fmt::Debug for Functions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.table.keys()).finish()
    }
}

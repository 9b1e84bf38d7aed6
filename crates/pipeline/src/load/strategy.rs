//! `strategy` and its matrix.

use prograde_yaml::{Node, Value};

use super::reader::Reader;
use crate::codes;
use crate::expression::Scope;
use crate::expression::check::{Facts, Place, names_context};
use crate::matrix::{self, CONTEXTS_LATER};
use crate::workflow::{Matrix, Strategy, Tree};

/// Reads `strategy`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, facts: &Facts) -> Strategy {
    reader.mapping(node, "strategy", &["matrix", "fail-fast", "max-parallel"], &[]);
    let matrix = node.get("matrix").and_then(|own| read_matrix(reader, own, facts));
    let mut template = |name: &str| node.get(name).map(|own| reader.template(own, Place::STRATEGY, facts));
    let (fail_fast, max_parallel) = (template("fail-fast"), template("max-parallel"));
    if let Some(own) = node.get("fail-fast")
        && !matches!(own.value, Value::Bool(_))
        && fail_fast.as_ref().is_some_and(crate::expression::Template::is_literal)
    {
        reader.wrong_kind(own, "fail-fast", "`true` or `false`");
    }
    if let Some(own) = node.get("max-parallel")
        && max_parallel.as_ref().is_some_and(crate::expression::Template::is_literal)
        && own.to_json().as_u64().is_none_or(|jobs| jobs == 0)
    {
        reader.wrong_kind(own, "max-parallel", "a whole number above 0");
    }
    Strategy { matrix, fail_fast, max_parallel }
}

fn read_matrix(reader: &mut Reader<'_>, node: &Node, facts: &Facts) -> Option<Matrix> {
    let matrix = match &node.value {
        Value::String(_) => Matrix::Expression(reader.template(node, Place::STRATEGY, facts)),
        Value::Mapping(entries) => {
            let mut dimensions = Vec::new();
            let (mut include, mut exclude) = (None, None);
            for (key, value) in entries {
                let tree = reader.tree(value, Place::STRATEGY, facts);
                match key.name.as_str() {
                    "include" => include = Some(tree),
                    "exclude" => exclude = Some(tree),
                    _ => dimensions.push((key.name.clone(), tree)),
                }
            }
            Matrix::Written { dimensions, include, exclude }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Sequence(_) => {
            reader.wrong_kind(node, "matrix", "a mapping of names to lists");
            return None;
        }
    };
    let later = matrix::expressions(&matrix).iter().any(|source| names_context(source, CONTEXTS_LATER));
    if !later
        && reader.findings.is_empty()
        && let Err(error) = matrix::expand(&matrix, &Scope::default())
    {
        reader.at_node(codes::MATRIX, node, error.to_string(), "");
    }
    Some(matrix)
}

/// The names that `matrix` has in a job; `None` where only the run can tell.
pub(super) fn keys(matrix: Option<&Matrix>) -> Option<Vec<String>> {
    let (dimensions, include) = match matrix {
        None => return Some(Vec::new()),
        Some(Matrix::Expression(_)) => return None,
        Some(Matrix::Written { dimensions, include, exclude: _ }) => (dimensions, include),
    };
    let mut keys: Vec<String> = dimensions.iter().map(|(name, _)| name.clone()).collect();
    match include {
        None => {}
        Some(Tree::List(items)) => {
            for item in items {
                match item {
                    Tree::Map(entries) => keys.extend(entries.iter().map(|(name, _)| name.clone())),
                    Tree::Leaf(_) | Tree::List(_) => return None,
                }
            }
        }
        Some(Tree::Leaf(_) | Tree::Map(_)) => return None,
    }
    Some(keys)
}

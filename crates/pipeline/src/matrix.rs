//! `strategy.matrix`: from dimensions to combinations (workflow syntax, `jobs.<job_id>.strategy.matrix`).

use serde_json::{Map, Value as Json};

use crate::expression::{EvaluationError, Scope, text_of};
use crate::workflow::{Matrix, Tree};

/// The most combinations that a matrix may have: GitHub's own limit.
pub const COMBINATIONS_MAX: usize = 256;

/// How many combinations there may be before `exclude` takes some away.
const PRODUCT_MAX: usize = 4096;

/// The longest text that names a combination, in characters.
const LABEL_CHARS_MAX: usize = 100;

/// The contexts that have values only once the run has begun.
pub(crate) const CONTEXTS_LATER: &[&str] = &["needs", "vars", "github", "inputs"];

/// One combination: what `matrix` holds in one job.
pub(crate) type Combination = Map<String, Json>;

/// Why a matrix can't be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MatrixError {
    #[error("the matrix's expression failed")]
    Evaluation(#[from] EvaluationError),
    #[error("`{0}` must be {1}")]
    Shape(String, &'static str),
    #[error("`{0}` has no values")]
    Empty(String),
    #[error("the matrix has more than {COMBINATIONS_MAX} combinations")]
    TooMany,
    #[error("the matrix has no combination left")]
    Nothing,
}

/// All the expressions in a matrix.
pub(crate) fn expressions(matrix: &Matrix) -> Vec<&str> {
    match matrix {
        Matrix::Expression(template) => template.expressions().collect(),
        Matrix::Written { dimensions, include, exclude } => {
            let trees = dimensions.iter().map(|(_, tree)| tree).chain(include).chain(exclude);
            trees.flat_map(Tree::expressions).collect()
        }
    }
}

/// The combinations of a matrix, in GitHub's order.
pub(crate) fn expand(matrix: &Matrix, scope: &Scope) -> Result<Vec<Combination>, MatrixError> {
    let mut dimensions = match matrix {
        Matrix::Expression(template) => object("matrix", template.value(scope)?)?,
        Matrix::Written { dimensions, include, exclude } => {
            let mut all = Map::new();
            for (name, tree) in dimensions {
                all.insert(name.clone(), value(tree, scope)?);
            }
            for (name, tree) in [("include", include), ("exclude", exclude)] {
                if let Some(tree) = tree {
                    all.insert(name.to_owned(), value(tree, scope)?);
                }
            }
            all
        }
    };
    let include = entries("include", dimensions.shift_remove("include"))?;
    let exclude = entries("exclude", dimensions.shift_remove("exclude"))?;
    let mut combinations = product(&dimensions)?;
    combinations.retain(|own| !exclude.iter().any(|entry| covers(entry, own)));
    let combinations = included(combinations, include, &dimensions)?;
    match combinations.len() {
        0 => Err(MatrixError::Nothing),
        1..=COMBINATIONS_MAX => Ok(combinations),
        _ => Err(MatrixError::TooMany),
    }
}

fn product(dimensions: &Map<String, Json>) -> Result<Vec<Combination>, MatrixError> {
    let mut combinations = if dimensions.is_empty() { Vec::new() } else { vec![Combination::new()] };
    for (name, values) in dimensions {
        let Json::Array(values) = values else { return Err(MatrixError::Shape(name.clone(), "a list of values")) };
        if values.is_empty() {
            return Err(MatrixError::Empty(name.clone()));
        }
        if combinations.len().saturating_mul(values.len()) > PRODUCT_MAX {
            return Err(MatrixError::TooMany);
        }
        let with = |own: &Combination, value: &Json| {
            let mut next = own.clone();
            next.insert(name.clone(), value.clone());
            next
        };
        combinations = combinations.iter().flat_map(|own| values.iter().map(move |value| with(own, value))).collect();
    }
    Ok(combinations)
}

/// Adds each entry to all combinations whose own values it does not change; one that fits none stands alone.
fn included(
    mut combinations: Vec<Combination>,
    include: Vec<Combination>,
    dimensions: &Map<String, Json>,
) -> Result<Vec<Combination>, MatrixError> {
    let mut alone = Vec::new();
    for entry in include {
        let mut fits = false;
        for own in &mut combinations {
            let changes = entry.iter().any(|(key, value)| dimensions.contains_key(key) && own.get(key) != Some(value));
            if !changes {
                fits = true;
                own.extend(entry.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        if !fits {
            alone.push(entry);
        }
        if combinations.len() + alone.len() > PRODUCT_MAX {
            return Err(MatrixError::TooMany);
        }
    }
    combinations.extend(alone);
    Ok(combinations)
}

/// Whether everything in `part` is in `whole` as well.
fn covers(part: &Combination, whole: &Combination) -> bool {
    part.iter().all(|(key, value)| match (value, whole.get(key)) {
        (Json::Object(part), Some(Json::Object(whole))) => covers(part, whole),
        (value, Some(own)) => value == own,
        (_, None) => false,
    })
}

fn value(tree: &Tree, scope: &Scope) -> Result<Json, MatrixError> {
    match tree {
        Tree::Leaf(template) => Ok(template.value(scope)?),
        Tree::List(items) => items.iter().map(|item| value(item, scope)).collect::<Result<_, _>>().map(Json::Array),
        Tree::Map(members) => {
            let mut object = Map::new();
            for (name, member) in members {
                object.insert(name.clone(), value(member, scope)?);
            }
            Ok(Json::Object(object))
        }
    }
}

fn object(name: &str, value: Json) -> Result<Map<String, Json>, MatrixError> {
    match value {
        Json::Object(members) => Ok(members),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(MatrixError::Shape(name.to_owned(), "a mapping"))
        }
    }
}

fn entries(name: &str, value: Option<Json>) -> Result<Vec<Combination>, MatrixError> {
    match value {
        None => Ok(Vec::new()),
        Some(Json::Array(items)) => items.into_iter().map(|item| object(name, item)).collect(),
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) => {
            Err(MatrixError::Shape(name.to_owned(), "a list of mappings"))
        }
    }
}

/// What tells a combination from the others: its values, as GitHub writes them after a job's name.
pub(crate) fn label(combination: &Combination) -> String {
    let mut values = Vec::new();
    for value in combination.values() {
        leaves(value, &mut values);
    }
    let label = values.join(", ");
    // Ids are shown on terminals and in logs: control characters have no place there.
    label.chars().filter(|c| !c.is_control()).take(LABEL_CHARS_MAX).collect()
}

fn leaves(value: &Json, into: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| leaves(item, into)),
        Json::Object(members) => members.values().for_each(|member| leaves(member, into)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => into.push(text_of(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Template;
    use serde_json::json;

    fn expanded(matrix: &Json) -> Result<Vec<String>, MatrixError> {
        let source = format!("${{{{ fromJSON('{matrix}') }}}}");
        let matrix = Matrix::Expression(Template::parse(&source).unwrap());
        let combinations = expand(&matrix, &Scope::default())?;
        Ok(combinations.into_iter().map(|own| Json::Object(own).to_string()).collect())
    }

    /// The example of GitHub's documentation of `include`.
    #[test]
    fn include_adds_as_githubs_documentation_says() {
        let found = expanded(&json!({
            "fruit": ["apple", "pear"],
            "animal": ["cat", "dog"],
            "include": [
                {"color": "green"},
                {"color": "pink", "animal": "cat"},
                {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"},
                {"fruit": "banana", "animal": "cat"},
            ],
        }));
        insta::assert_snapshot!(found.unwrap().join("\n"), @r#"
        {"fruit":"apple","animal":"cat","color":"pink","shape":"circle"}
        {"fruit":"apple","animal":"dog","color":"green","shape":"circle"}
        {"fruit":"pear","animal":"cat","color":"pink"}
        {"fruit":"pear","animal":"dog","color":"green"}
        {"fruit":"banana"}
        {"fruit":"banana","animal":"cat"}
        "#);
    }

    #[test]
    fn exclude_takes_away_what_it_covers_and_include_can_stand_alone() {
        let found = expanded(&json!({"a": [1, 2], "b": ["x", "y"], "exclude": [{"a": 1, "b": "y"}, {"a": 2}]}));
        assert_eq!(found.unwrap(), [r#"{"a":1,"b":"x"}"#]);
        assert_eq!(expanded(&json!({"include": [{"site": "a"}, {"site": "b"}]})).unwrap().len(), 2);
    }

    #[test]
    fn what_can_not_be_expanded_says_why() {
        let many: Vec<u32> = (0..257).collect();
        for (matrix, message) in [
            (json!({"a": many}), "the matrix has more than 256 combinations"),
            (json!({"a": vec![0; 200], "b": vec![0; 200]}), "the matrix has more than 256 combinations"),
            (json!({"a": []}), "`a` has no values"),
            (json!({"a": 1}), "`a` must be a list of values"),
            (json!({"a": [1], "exclude": [{"a": 1}]}), "the matrix has no combination left"),
            (json!({"include": {"a": 1}}), "`include` must be a list of mappings"),
            (json!([]), "`matrix` must be a mapping"),
        ] {
            assert_eq!(expanded(&matrix).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn labels_are_short_and_printable() {
        let combination = |value: Json| value.as_object().unwrap().clone();
        assert_eq!(label(&combination(json!({"os": "linux", "n": {"v": 18}, "x": [true]}))), "linux, 18, true");
        assert_eq!(label(&combination(json!({"os": "a\u{1b}[31m\nb"}))), "a[31mb");
        assert_eq!(label(&combination(json!({"os": "ü".repeat(500)}))).chars().count(), 100);
    }
}

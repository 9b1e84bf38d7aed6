//! Reads `prograde.yaml`, and says what is wrong with it and where.

use jiff::tz::TimeZone;
use prograde_model::service::{Problem, Service};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_yaml::Node;

/// The file's name, at the top of a repository.
pub const FILE: &str = "prograde.yaml";
/// The code of everything that the types can't refuse.
const CODE: &str = "PG0102";

/// Reads the text of a `prograde.yaml`.
pub fn read(text: &str) -> Result<Service, Diagnostics> {
    let service: Service = prograde_yaml::decode(FILE, text).map_err(|mut diagnostic| {
        if diagnostic.hint.is_empty() {
            "`prograde schema` prints the format; editors can use it".clone_into(&mut diagnostic.hint);
        }
        diagnostic
    })?;
    let mut problems = service.problems();
    problems.extend(service.zone_problems(&|name: &str| TimeZone::get(name).ok()));
    if problems.is_empty() {
        return Ok(service);
    }
    let documents = prograde_yaml::documents(FILE, text)?;
    Err(Diagnostics(problems.into_iter().map(|problem| located((CODE, FILE), problem, documents.first())).collect()))
}

/// The JSON Schema of `prograde.yaml`, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Service).to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("title".into(), "prograde.yaml".into());
    }
    schema
}

/// The deepest place on the problem's path that the document has.
pub(crate) fn located((code, file): (&str, &str), problem: Problem, document: Option<&Node>) -> Diagnostic {
    let found = Diagnostic::file(code, file, problem.message, problem.hint);
    let Some(mut node) = document else { return found };
    let (mut line, mut column) = (node.line, node.column);
    for part in &problem.path {
        let next = node.get(part).or_else(|| node.items().get(part.parse::<usize>().ok()?));
        let Some(next) = next else { break };
        (line, column) = node.key(part).map_or((next.line, next.column), |key| (key.line, key.column));
        node = next;
    }
    found.at(line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
service: pad
image: { artifact: pad, binary: pad }
environments:
  - name: test
  - name: production
    strategy: canary
    steps:
      - { weight: 1, bake: 5m }
      - { weight: 100, bake: 5m }
";

    fn errors(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_read() {
        let service = read(GOOD).unwrap();
        assert_eq!(service.environments.len(), 2);
        assert_eq!(service.members()[0].manifests_path(), "deploy");
    }

    #[test]
    fn every_error_names_its_line() {
        insta::assert_snapshot!(errors(&GOOD.replace("weight: 100", "weight: 1")), @r"
        prograde.yaml:10:11: weight 1% does not rise above 1%, the step before [PG0102]
          hint: let each step's weight rise; a canary that should go back is rolled back
        prograde.yaml:8:5: the last step has 1%, expected 100% [PG0102]
          hint: end with `{ weight: 100, bake: 5m }`
        ");
        for (text, place, message) in [
            (GOOD.replace("bake: 5m", "bake: soon"), "9:28", "\"soon\" is not a duration: a number and a unit"),
            (GOOD.replace("strategy", "stratgey"), "7:5", "unknown field `stratgey`, expected one of name, overlay"),
            (GOOD.replace("service: pad", "service: Pad!"), "2:10", "\"Pad!\" is not a service name"),
            (GOOD.replace("weight: 1,", "weight: 101,"), "9:19", "\"101\" is not a weight"),
            (GOOD.replace("version: 1\n", ""), "3:1", "missing field `version`"),
            ("version: [\n".to_owned(), "", "[PG0101]"),
            (GOOD.replace("image: { artifact: pad, binary: pad }\n", ""), "1:1", "missing field `image`"),
            (String::new(), "1:1", "unexpected end of input"),
        ] {
            let error = errors(&text);
            assert!(error.starts_with(&format!("prograde.yaml:{place}")) && error.contains(message), "{text}\n{error}");
        }
    }

    #[test]
    fn the_schema_names_every_field_of_the_example() {
        let schema = schema().to_string();
        for field in ["environments", "steps", "failure_share_max", "artifact", "approvals"] {
            assert!(schema.contains(&format!("\"{field}\"")), "{field}");
        }
    }
}

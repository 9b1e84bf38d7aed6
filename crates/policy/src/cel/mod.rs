//! CEL expressions: parsed once by the crate `cel`, evaluated here over borrowed JSON with a budget.
//!
//! Why the evaluator is our own is written down in `docs/decisions/0025-policy.md`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a function or an operator takes some types of values, and all others, also those to come, it does not take"
)]

mod condition;
mod eval;
mod functions;
mod generator;
mod kyverno;
mod net;
mod strings;
mod value;

use std::sync::Arc;

use cel::parser::{Expression, PrattParser};
use jiff::Timestamp;
use serde_json::Value;

use crate::request::text;
use crate::world::Outside;
use eval::Run;
use value::Val;

pub use condition::Condition;

/// The longest expression that is read, in bytes.
const LENGTH_MAX: usize = 16 * 1024;
/// How deep an expression may nest.
const DEPTH_MAX: u16 = 64;
/// How many nodes an expression may have.
const NODES_MAX: usize = 20_000;
/// How many steps one expression may take.
const STEPS_MAX: u64 = 1_000_000;
/// The largest text that an expression makes, in bytes.
const TEXT_MAX: usize = 1024 * 1024;
/// The stack that a parser and evaluator of long expressions are given, in bytes.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Error(String);

impl Error {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    expression: Arc<Expression>,
}

impl Program {
    /// Compiles an expression; the message says what is wrong.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        if source.trim().is_empty() {
            return Err("an expression is empty".to_owned());
        }
        if source.len() > LENGTH_MAX {
            return Err(format!("an expression has {} bytes, more than the {LENGTH_MAX} that are read", source.len()));
        }
        let parse = || {
            let parser = PrattParser::new()
                .enable_optional_syntax(true)
                .enable_ident_escape_syntax(true)
                .max_recursion_depth(DEPTH_MAX)
                .max_expression_node_count(NODES_MAX);
            let parsed = parser.parse(source).map_err(|errors| {
                let first = errors.errors.first().map(ToString::to_string).unwrap_or_default();
                format!(
                    "the expression `{}` can't be read: {}",
                    short(source),
                    first.lines().next().unwrap_or("syntax error")
                )
            })?;
            if depth(&parsed) > usize::from(DEPTH_MAX) * 8 {
                return Err(format!("the expression `{}` nests too deep", short(source)));
            }
            Ok(Self { expression: Arc::new(parsed) })
        };
        if source.len() < 512 { parse() } else { on_a_large_stack(parse) }
    }
}

fn on_a_large_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let worker = worker.map_err(|error| error.to_string())?;
        worker.join().unwrap_or_else(|_| Err("the expression's parser gave up".to_owned()))
    })
}

fn short(source: &str) -> String {
    let line: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 80 { format!("{}…", line.chars().take(79).collect::<String>()) } else { line }
}

/// How deep a tree is, without recursion.
fn depth(root: &Expression) -> usize {
    use cel::common::ast::{EntryExpr, Expr};
    let mut deepest = 0;
    let mut open = vec![(root, 1)];
    while let Some((node, level)) = open.pop() {
        deepest = deepest.max(level);
        let level = level + 1;
        match &node.expr {
            Expr::Call(call) => {
                open.extend(call.target.iter().map(|target| (target.as_ref(), level)));
                open.extend(call.args.iter().map(|arg| (arg, level)));
            }
            Expr::Comprehension(inner) => {
                let parts = [&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result];
                open.extend(parts.map(|part| (part, level)));
            }
            Expr::List(items) => open.extend(items.elements.iter().map(|item| (item, level))),
            Expr::Select(select) => open.push((&select.operand, level)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        open.extend([(&entry.key, level), (&entry.value, level)]);
                    }
                }
            }
            Expr::Struct(made) => {
                for entry in &made.entries {
                    if let EntryExpr::StructField(field) = &entry.expr {
                        open.push((&field.value, level));
                    }
                }
            }
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        }
    }
    deepest
}

/// One validation.
#[derive(Debug, Clone)]
struct Validation {
    program: Program,
    source: String,
    message: String,
    message_program: Option<Program>,
}

/// Variables, conditions and validations that belong together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    variables: Vec<(String, Program)>,
    conditions: Vec<(String, Program)>,
    validations: Vec<Validation>,
}

/// What expressions can see.
#[derive(Clone, Copy)]
pub(crate) struct Input<'i> {
    pub(crate) object: Option<&'i Value>,
    pub(crate) old: Option<&'i Value>,
    pub(crate) request: &'i Value,
    pub(crate) namespace: Option<&'i Value>,
    pub(crate) params: Option<&'i Value>,
    pub(crate) exceptions: Option<&'i Value>,
    pub(crate) images: Option<&'i Value>,
    /// Who signs, and what is attested, by name.
    pub(crate) attestors: Option<(&'i Value, &'i Value)>,
    /// The image that is asked about.
    pub(crate) reference: Option<&'i Value>,
    pub(crate) outside: &'i Outside,
    pub(crate) now: Timestamp,
}

/// What came of a policy's expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail(String),
    Error(String),
    /// A match condition does not hold.
    Unmatched(String),
}

fn named_programs(list: Option<&Value>) -> Result<Vec<(String, Program)>, String> {
    let mut made = Vec::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        let name = text(item, &["name"]);
        let program = Program::compile(text(item, &["expression"])).map_err(|why| format!("`{name}`: {why}"))?;
        made.push((name.to_owned(), program));
    }
    Ok(made)
}

impl Policy {
    /// Compiles `variables`, `matchConditions` and the list of validations, which has the given name.
    pub(crate) fn compile(spec: &Value, validations: &str) -> Result<Self, String> {
        let mut made = Self {
            variables: named_programs(spec.get("variables"))?,
            conditions: named_programs(spec.get("matchConditions"))?,
            validations: Vec::new(),
        };
        for item in spec.get(validations).and_then(Value::as_array).into_iter().flatten() {
            let source = text(item, &["expression"]);
            let message_source = text(item, &["messageExpression"]);
            made.validations.push(Validation {
                program: Program::compile(source)?,
                source: short(source),
                message: text(item, &["message"]).trim().to_owned(),
                message_program: (!message_source.is_empty()).then(|| Program::compile(message_source)).transpose()?,
            });
        }
        Ok(made)
    }

    /// The condition that does not hold, if there is one.
    pub(crate) fn unmatched(&self, input: &Input<'_>) -> Result<Option<String>, String> {
        let names = input.names();
        let run = Run::new(&names, &self.variables, input.outside, input.now);
        conditions_hold(&run, &self.conditions).map_err(|error| error.0)
    }

    /// The value of an expression that sees the policy's variables.
    pub(crate) fn value(&self, program: &Program, input: &Input<'_>) -> Result<Value, String> {
        let names = input.names();
        let run = Run::new(&names, &self.variables, input.outside, input.now);
        run.value(program).and_then(|value| run.document(&value)).map_err(|error| error.0)
    }

    /// The resources that an expression hands to the generator.
    pub(crate) fn generated(&self, program: &Program, input: &Input<'_>) -> Result<Vec<Value>, String> {
        let names = input.names();
        let run = Run::new(&names, &self.variables, input.outside, input.now);
        match run.value(program) {
            Ok(Val::Bool(true)) => Ok(run.generated.take()),
            Ok(Val::Bool(false)) => Err("the generation gives false".to_owned()),
            Ok(other) => Err(format!("the generation gives {}, not bool", other.type_name())),
            Err(error) => Err(error.0),
        }
    }

    /// The first validation that does not hold, or the first error.
    pub(crate) fn evaluate(&self, input: &Input<'_>) -> Outcome {
        let names = input.names();
        let run = Run::new(&names, &self.variables, input.outside, input.now);
        match conditions_hold(&run, &self.conditions) {
            Ok(None) => {}
            Ok(Some(name)) => return Outcome::Unmatched(name),
            Err(error) => return Outcome::Error(error.0),
        }
        for validation in &self.validations {
            match run.value(&validation.program) {
                Ok(Val::Bool(true)) => {}
                Ok(Val::Bool(false)) => return Outcome::Fail(validation.told(&run)),
                Ok(other) => {
                    return Outcome::Error(format!("`{}` gives {}, not bool", validation.source, other.type_name()));
                }
                Err(error) => return Outcome::Error(format!("`{}`: {error}", validation.source)),
            }
        }
        Outcome::Pass
    }
}

/// The name of the first condition that does not hold. An error counts only where no condition is false.
fn conditions_hold<'a>(run: &Run<'a>, conditions: &'a [(String, Program)]) -> Result<Option<String>, Error> {
    let mut trouble = None;
    for (name, program) in conditions {
        match run.value(program) {
            Ok(Val::Bool(true)) => {}
            Ok(Val::Bool(false)) => return Ok(Some(name.clone())),
            Ok(other) => {
                trouble = Some(Error::new(format!("the condition `{name}` gives {}, not bool", other.type_name())));
            }
            Err(error) => trouble = Some(Error::new(format!("the condition `{name}`: {error}"))),
        }
    }
    trouble.map_or(Ok(None), Err)
}

/// Whether conditions hold on their own.
pub(crate) fn matches(conditions: &[(String, Program)], input: &Input<'_>) -> Result<bool, String> {
    let names = input.names();
    let run = Run::new(&names, &[], input.outside, input.now);
    conditions_hold(&run, conditions).map(|failed| failed.is_none()).map_err(|error| error.0)
}

impl Validation {
    fn told<'a>(&'a self, run: &Run<'a>) -> String {
        if let Some(program) = &self.message_program {
            return match run.value(program) {
                Ok(Val::Text(message)) => message.into_owned(),
                Ok(other) => format!("the message is {}, not a text", other.type_name()),
                Err(error) => format!("the message can't be made: {error}"),
            };
        }
        if self.message.is_empty() { format!("failed expression: {}", self.source) } else { self.message.clone() }
    }
}

impl<'i> Input<'i> {
    fn names(&self) -> Vec<(&'static str, Val<'i>)> {
        let or_null = |value: Option<&'i Value>| value.map_or(Val::Null, value::json);
        let mut names = vec![
            ("object", or_null(self.object)),
            ("oldObject", or_null(self.old)),
            ("request", value::json(self.request)),
            ("namespaceObject", or_null(self.namespace)),
            ("variables", Val::Variables),
        ];
        names.extend(self.params.map(|params| ("params", value::json(params))));
        names.extend(self.exceptions.map(|exceptions| ("exceptions", value::json(exceptions))));
        names.extend(self.images.map(|images| ("images", value::json(images))));
        if let Some((attestors, attestations)) = self.attestors {
            names.extend([("attestors", value::json(attestors)), ("attestations", value::json(attestations))]);
        }
        names.extend(self.reference.map(|reference| ("ref", value::json(reference))));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(source: &str) -> Result<String, String> {
        let object = json!({
            "metadata": {"name": "x", "labels": {"app": "web"}, "creationTimestamp": "2024-01-02T03:04:05Z"},
            "spec": {"replicas": 3, "containers": [{"name": "a", "image": "ghcr.io/a/b:v1"}, {"name": "b", "image": "nginx"}]},
        });
        let program = Program::compile(source)?;
        let request = json!({"operation": "CREATE"});
        let outside = Outside::default();
        let input = Input {
            object: Some(&object),
            old: None,
            request: &request,
            namespace: None,
            params: None,
            exceptions: None,
            images: None,
            attestors: None,
            reference: None,
            outside: &outside,
            now: Timestamp::UNIX_EPOCH,
        };
        let variables = named_programs(Some(&json!([{"name": "all", "expression": "object.spec.containers"}])))?;
        let names = input.names();
        let shown = Run::new(&names, &variables, input.outside, input.now).value(&program).map(|value| value.shown());
        shown.map_err(|error| error.0)
    }

    fn holds(source: &str) {
        assert_eq!(run(source), Ok("true".to_owned()), "{source}");
    }

    #[test]
    fn the_language() {
        holds("object.spec.replicas == 3 && object.spec.replicas >= 2.5");
        holds("object.spec.containers.all(c, c.name in ['a', 'b'])");
        holds("object.spec.containers.exists(c, c.image.endsWith(':v1'))");
        holds("object.spec.containers.exists_one(c, c.name == 'a')");
        holds("object.spec.containers.map(c, c.name) == ['a', 'b']");
        holds("object.spec.containers.filter(c, c.name != 'a').size() == 1");
        holds("has(object.spec.replicas) && !has(object.spec.nothing)");
        holds("object.?spec.?nothing.orValue(7) == 7");
        holds("object.spec.?replicas.hasValue()");
        holds("object.metadata.labels[?'app'].orValue('') == 'web'");
        holds("object.spec.replicas.orValue(1) == 3");
        holds("(object.spec.nothing == 1) || true");
        holds("!(false && object.spec.nothing == 1)");
        holds("variables.all.size() == 2 ? true : false");
        holds("oldObject == null");
        holds("[1, 2] + [3] == [1, 2, 3]");
        holds("{'a': 1}.a == 1 && 'a' in {'a': 1}");
        holds("type(1) == int && string(1.5) == '1.5' && int('7') == 7");
        holds("timestamp(object.metadata.creationTimestamp).getFullYear() == 2024");
        holds("duration('1h') > duration('59m')");
        holds("object.metadata.labels.all(k, k.matches('^[a-z]+$'))");
        holds("optional.of(1).optMap(x, x + 1).value() == 2");
        holds("cel.bind(x, 2, x * x) == 4");
    }

    #[test]
    fn libraries() {
        holds("quantity('1Gi').isGreaterThan(quantity('1000Mi'))");
        holds("quantity('100m').compareTo(quantity('0.1')) == 0 && isQuantity('1') && !isQuantity('x')");
        holds("url('https://a.example:8080/p?x=1').getHostname() == 'a.example'");
        holds("isURL('https://a') && !isURL('a b')");
        holds("ip('127.0.0.1').isLoopback() && isIP('::1') && ip('::1').family() == 6");
        holds("cidr('10.0.0.0/8').containsIP('10.1.2.3') && !isCIDR('10.0.0.0/99')");
        holds("'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'");
        holds("'abc'.substring(1, 2) == 'b' && 'aXb'.lowerAscii() == 'axb' && ' a '.trim() == 'a'");
        holds("'a%b'.replace('%', '_') == 'a_b' && 'abc'.indexOf('c') == 2");
        holds("'%s has %d'.format(['x', 3]) == 'x has 3'");
        holds("'v12'.find('[0-9]+') == '12'");
        holds("sets.contains([1, 2, 3], [1]) && sets.intersects([1], [1, 2])");
        holds("[3, 1, 2].max() == 3 && [1, 2].isSorted() && [1, 2].sum() == 3");
        holds("math.greatest(1, 2) == 2");
        holds("image('ghcr.io/a/b:v1').registry() == 'ghcr.io' && image('nginx').tag() == 'latest'");
        holds("sha256('a').startsWith('ca978112') && md5('a') == '0cc175b9c0f1b6a831c399e269772661'");
        holds("regex.replace('docker.io/nginx', '^docker[.]io/(.*)', r'ghcr.io/\\1') == 'ghcr.io/nginx'");
        holds("regex.extract('v12', 'v([0-9]+)').value() == '12' && regex.extractAll('a1b2', '[0-9]') == ['1', '2']");
        holds("parseServiceAccount('system:serviceaccount:n:a').Namespace == 'n'");
        holds("listObjToMap([{'k': 'a'}], [{'v': 1}], 'k', 'v') == {'a': 1} && math.round(1.25, 1) == 1.3");
        holds("jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'");
        holds("semver('1.2.3').isLessThan(semver('1.10.0'))");
    }

    #[test]
    fn errors_are_errors() {
        for source in [
            "object.nothing",
            "1 / 0",
            "unknown",
            "'a' + 1",
            "object.spec.containers[9]",
            "[1][-1]",
            "nofunction(1)",
            "resource.Get('v1', 'pods', 'a', 'b')",
            "9223372036854775807 + 1",
            "1 +",
            "",
        ] {
            assert!(run(source).is_err(), "{source}");
        }
    }

    #[test]
    fn cost_is_bounded() {
        let nested = "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, true)))";
        assert!(run(nested).unwrap_err().contains("costs more than"));
        let doubled = "lists.range(64).map(x, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx').join('').replace('x', 'xxxxxxxxxxxxxxxx').replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')";
        assert!(run(doubled).unwrap_err().contains("more than"));
        assert!(run(&"(".repeat(5_000)).is_err());
        assert!(run(&format!("{}1{}", "[".repeat(4_000), "]".repeat(4_000))).is_err());
        assert!(run(&format!("1{}", " + 1".repeat(4_000))).is_err());
        assert!(run(&format!("object{}", ".a".repeat(8_000))).is_err());
        assert!(run(&"!".repeat(10_000)).is_err());
        assert!(run(&"a".repeat(20_000)).is_err());
    }
}

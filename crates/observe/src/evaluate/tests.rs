//! The bounds of a query, and how it reads its store. What it answers is asked of Prometheus in `tests/observe`.

use std::cell::{Cell, RefCell};

use super::{EvaluateError, Options, Value, instant, range};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::promql::{DEPTH_MAX, parse};
use crate::sample::{Sample, Series};
use crate::store::{Memory, Store, StoreError};

/// Counts what it is asked.
struct Counting {
    memory: Memory,
    asked: RefCell<Vec<(i64, i64)>>,
}

impl Store for Counting {
    fn select(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, StoreError> {
        self.asked.borrow_mut().push((from_ms, to_ms));
        self.memory.select(matchers, from_ms, to_ms)
    }
}

fn memory() -> Memory {
    let mut memory = Memory::default();
    for (job, factor) in [("a", 1.0), ("b", 2.0)] {
        let labels: Labels = [("__name__", "m"), ("job", job)].into_iter().collect();
        for index in 0..100_i32 {
            memory.push(&labels, Sample { timestamp: i64::from(index) * 1000, value: f64::from(index) * factor });
        }
    }
    memory
}

#[test]
fn each_selector_reads_the_store_once() {
    let store = Counting { memory: memory(), asked: RefCell::default() };
    let asked = |query: &str| {
        store.asked.borrow_mut().clear();
        range(&parse(query).unwrap(), &store, 1_000_000, 2_000_000, 1000, &Options::default()).unwrap();
        store.asked.take()
    };
    assert_eq!(asked("sum(m)"), [(700_000, 2_000_000)]);
    assert_eq!(asked("rate(m[1m])"), [(940_000, 2_000_000)]);
    assert_eq!(asked("rate(m[1m] offset 10s) + m @ 500"), [(930_000, 1_990_000), (200_000, 500_000)]);
    assert_eq!(asked("max_over_time(rate(m[10s])[1m:7s] @ end())"), [(1_936_000, 1_995_000)]);
}

#[test]
fn limits_are_errors() {
    let memory = memory();
    let few = Options { samples_max: 300, steps_max: 50, ..Options::default() };
    let asked = |query: &str| instant(&parse(query).unwrap(), &memory, 99_000, &few);
    assert!(asked("m").is_ok());
    for query in ["m + m", "m[5m:1ms]", "vector(1)[5m:1ms]", "sum_over_time(m[100y:1ms])"] {
        assert!(matches!(asked(query), Err(EvaluateError::TooManySamples { max: 300 })), "{query}");
    }
    let steps = |end, step| range(&parse("1").unwrap(), &memory, 0, end, step, &few).map(|series| series.len());
    assert!(matches!(steps(49, 1), Ok(1)));
    assert!(matches!(steps(50, 1), Err(EvaluateError::TooManySteps { max: 50 })));
    assert!(matches!(steps(50, 0), Err(EvaluateError::Step)));
    assert!(matches!(steps(-1, 1), Err(EvaluateError::EndBeforeStart)));
}

#[test]
fn a_query_is_given_up_when_nobody_waits() {
    let memory = memory();
    let questions = Cell::new(0);
    let goes_on = || {
        questions.set(questions.get() + 1);
        questions.get() < 3
    };
    let options = Options { goes_on: &goes_on, ..Options::default() };
    let expression = parse("sum(sum_over_time(m[1m]))").unwrap();
    let answer = range(&expression, &memory, 0, 1_000_000, 100, &options);
    assert!(matches!(answer, Err(EvaluateError::GivenUp)), "{answer:?}");
    assert_eq!(questions.get(), 3);
}

#[test]
fn a_store_that_fails_is_an_error() {
    struct Broken;
    impl Store for Broken {
        fn select(&self, _: &[Matcher], _: i64, _: i64) -> Result<Vec<Series>, StoreError> {
            Err(StoreError::new("a block is damaged"))
        }
    }
    let error = instant(&parse("sum(m) or vector(1)").unwrap(), &Broken, 0, &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "the series can't be read");
}

/// On the stack of a test's thread, 2 MiB.
#[test]
fn the_deepest_queries_are_evaluated() {
    let answer = |text: &str| match instant(&parse(text).unwrap(), &memory(), 5000, &Options::default()).unwrap() {
        Value::Vector(vector) => vector.floats.len(),
        other @ (Value::Scalar(_) | Value::Text(_) | Value::Matrix(_)) => panic!("{other:?}"),
    };
    let depth = 99;
    for (open, close) in [("abs(", ")"), ("-", ""), ("sum(", ")"), ("absent(", ")"), ("vector(scalar(", "))")] {
        let count = depth / open.matches('(').count().max(1);
        answer(&format!("{}m{}", open.repeat(count), close.repeat(count)));
    }
    assert_eq!(answer(&format!("{}m{}", "max_over_time(".repeat(depth), "[2s:1s])".repeat(depth))), 2);
    let chain = usize::try_from(DEPTH_MAX).unwrap() - 1;
    for operator in [" + m", " or m", " > bool m", " + 1", " unless on() n"] {
        assert_eq!(answer(&format!("m{}", operator.repeat(chain))), 2, "{operator}");
    }
}

#[test]
fn times_at_the_ends_of_time_do_no_harm() {
    let memory = memory();
    for at_ms in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        for query in
            ["m", "m offset 200y", "m offset -200y", "rate(m[200y])", "sum_over_time(m[1h:1m])", "time()", "m @ 0"]
        {
            assert!(instant(&parse(query).unwrap(), &memory, at_ms, &Options::default()).is_ok(), "{query} at {at_ms}");
        }
    }
}

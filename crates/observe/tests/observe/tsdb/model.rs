//! Whatever is appended, cut and reopened: the store answers as one that holds everything in memory.

use std::collections::HashMap;

use super::*;
use prograde_observe::Memory;
use proptest::prelude::*;
use proptest::sample::select;

/// Blocks are this long here, so that a few samples fill several.
const BLOCK_MS: i64 = 1000;

#[derive(Debug, Clone)]
enum Step {
    /// Samples of a series, each so much later than its series' latest one.
    Append(Vec<(usize, i64, u64)>),
    /// Time passes, and what is due is done.
    Maintain(i64),
    Reopen,
}

fn names() -> Vec<Labels> {
    let mut all = Vec::new();
    for (name, x, y) in [("a", "1", ""), ("a", "2", "p"), ("b", "1", "p"), ("b", "", "q"), ("c", "3", ""), ("", "", "")]
    {
        all.push(labels(&[("__name__", name), ("x", x), ("y", y)]));
    }
    all
}

fn step() -> impl Strategy<Value = Step> {
    let bits = prop_oneof![
        any::<u64>(),
        (0_i32..50).prop_map(|value| f64::from(value).to_bits()),
        Just(Sample::stale(0).value.to_bits())
    ];
    let later = prop_oneof![1_i64..40, Just(0), -20_i64..0, 0_i64..3000];
    let append = proptest::collection::vec((0_usize..6, later, bits), 1..60).prop_map(Step::Append);
    prop_oneof![6 => append, 2 => (0_i64..2500).prop_map(Step::Maintain), 1 => Just(Step::Reopen)]
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let one = (
        select(vec!["__name__", "x", "y", "z"]),
        select(vec!["=", "!=", "=~", "!~"]),
        select(vec!["", "a", "1", "a|b", "p?", ".+", "[12]"]),
    );
    proptest::collection::vec(one.prop_map(|(name, operator, value)| matcher(name, operator, value)), 0..3)
}

/// What the store should do, done plainly.
#[derive(Default)]
struct Model {
    memory: Memory,
    latest: HashMap<usize, (i64, u64)>,
    now_ms: i64,
}

impl Model {
    /// Says what becomes of each sample, given the store's own word on which were too old: that depends on what is cut.
    fn take(&mut self, name: &Labels, index: usize, sample: Sample, database: &Database) {
        let appended = database.append(&[Incoming { labels: name, sample }]).unwrap();
        let bits = sample.value.to_bits();
        let counts = [appended.kept, appended.out_of_order, appended.duplicate, appended.out_of_bounds];
        let expected = match self.latest.get(&index) {
            _ if appended.out_of_bounds == 1 => {
                let ahead = sample.timestamp > self.now_ms + 3_600_000;
                assert!(ahead || sample.timestamp < self.now_ms, "{sample:?} at {}", self.now_ms);
                [0, 0, 0, 1]
            }
            Some((time, _)) if sample.timestamp < *time => [0, 1, 0, 0],
            Some((time, known)) if sample.timestamp == *time => {
                if bits == *known {
                    [1, 0, 0, 0]
                } else {
                    [0, 0, 1, 0]
                }
            }
            Some(_) | None => [1, 0, 0, 0],
        };
        assert_eq!(counts, expected, "{name} {sample:?}");
        if appended.kept == 1 {
            self.latest.insert(index, (sample.timestamp, bits));
            self.memory.push(name, sample);
        }
    }
}

fn compare(database: &Database, model: &Model, matchers: &[Matcher], from_ms: i64, to_ms: i64) {
    assert_eq!(all(database, matchers, from_ms, to_ms), all(&model.memory, matchers, from_ms, to_ms));
    let exact: Vec<Labels> = model.memory.series(matchers, from_ms, to_ms).unwrap();
    let ever: Vec<Labels> = model.memory.series(matchers, i64::MIN, i64::MAX).unwrap();
    let found = database.series(matchers, from_ms, to_ms).unwrap();
    assert!(found.is_sorted() && exact.iter().all(|labels| found.contains(labels)), "{exact:?} {found:?}");
    assert!(found.iter().all(|labels| ever.contains(labels)), "{ever:?} {found:?}");
    assert_eq!(database.series(matchers, i64::MIN, i64::MAX).unwrap(), ever);
    let names = |store: &dyn Store, from, to| store.label_names(matchers, from, to).unwrap();
    assert_eq!(names(database, i64::MIN, i64::MAX), names(&model.memory, i64::MIN, i64::MAX));
    let narrow = names(database, from_ms, to_ms);
    assert!(names(&model.memory, from_ms, to_ms).iter().all(|name| narrow.contains(name)));
    let values = |store: &dyn Store| store.label_values("x", matchers, i64::MIN, i64::MAX).unwrap();
    assert_eq!(values(database), values(&model.memory));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_memory_does(
        steps in proptest::collection::vec(step(), 1..25),
        queries in proptest::collection::vec((matchers(), -500_i64..20_000, 0_i64..5000), 1..6),
    ) {
        let fixture = Fixture::new();
        let open = |now_ms| {
            Database::open(Options { block_ms: BLOCK_MS, now_ms, ..fixture.options() }).unwrap()
        };
        let names = names();
        let mut model = Model { now_ms: NOW_MS, ..Model::default() };
        let mut database = open(NOW_MS);
        for step in steps {
            match step {
                Step::Append(samples) => {
                    for (index, later, bits) in samples {
                        let latest = model.latest.get(&index).map_or(model.now_ms - 100, |(time, _)| *time);
                        let sample = Sample { timestamp: latest + later, value: f64::from_bits(bits) };
                        model.take(&names[index], index, sample, &database);
                    }
                }
                Step::Maintain(later) => {
                    model.now_ms += later;
                    database.maintain(model.now_ms).unwrap();
                }
                Step::Reopen => {
                    drop(database);
                    database = open(model.now_ms);
                    prop_assert_eq!(&database.recovery().torn, &None);
                }
            }
        }
        compare(&database, &model, &[], i64::MIN, i64::MAX);
        for (matchers, from, length) in queries {
            compare(&database, &model, &matchers, NOW_MS + from, NOW_MS + from + length);
        }
        drop(database);
        compare(&open(model.now_ms), &model, &[], i64::MIN, i64::MAX);
    }
}

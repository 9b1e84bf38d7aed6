//! Histograms as text, as Prometheus writes them: `{count:3, sum:4.5, [-0.001,0.001]:1, (1,2]:2}`.

use std::fmt;

use super::Histogram;
use super::bounds::{Bounded, Edges};

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", General(self.count), General(self.sum))?;
        for Bounded { lower, upper, edges, count } in self.buckets() {
            let open = if edges == Edges::Upper { '(' } else { '[' };
            let close = if edges == Edges::Lower { ')' } else { ']' };
            write!(f, ", {open}{},{}{close}:{}", General(lower), General(upper), General(count))?;
        }
        f.write_str("}")
    }
}

/// A number as Go's `%g` has it: as few digits as tell it apart, with an exponent below 1e-4 and from 1e21 on.
struct General(f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        let size = value.abs();
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        if size == 0.0 || (1e-4..1e21).contains(&size) {
            return write!(f, "{value}");
        }
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        write!(f, "{digits}e{sign}{exponent:0>2}")
    }
}

#[cfg(test)]
mod tests {
    use crate::histogram::{Bucket, Histogram};

    #[test]
    fn buckets_are_told_from_the_lowest_on() {
        let histogram = Histogram {
            zero_threshold: 0.00001,
            zero_count: 1.0,
            count: 4.5,
            sum: -1.5,
            positive: vec![Bucket { index: 1, count: 2.0 }],
            negative: vec![Bucket { index: 0, count: 0.5 }, Bucket { index: 3, count: 1.0 }],
            ..Histogram::default()
        };
        let wanted = "{count:4.5, sum:-1.5, [-8,-4):1, [-1,-0.5):0.5, [-1e-05,1e-05]:1, (1,2]:2}";
        assert_eq!(histogram.to_string(), wanted);
        assert_eq!(Histogram::default().to_string(), "{count:0, sum:0}");
    }
}

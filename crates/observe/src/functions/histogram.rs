//! Quantiles of conventional histograms: counters of what is not above a bound.
//!
//! Source: Prometheus documentation, "Functions", `histogram_quantile`.

/// A bucket's upper bound; nothing if the label is no number.
pub(crate) fn bound(label: &str) -> Option<f64> {
    let bound = label.parse::<f64>().ok()?;
    // Go refuses what a float can't hold, where Rust makes an infinity of it.
    let says_infinity = label.to_ascii_lowercase().contains("inf");
    (bound.is_finite() || bound.is_nan() || says_infinity).then_some(bound)
}

/// The quantile of buckets with their bounds and counts, sorted by bound; evenly distributed within a bucket.
pub(crate) fn quantile(share: f64, buckets: &[(f64, f64)]) -> f64 {
    if share.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&share) {
        return if share < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let buckets = cumulative(buckets);
    let (Some(last), Some(before_last)) = (buckets.last(), buckets.iter().rev().nth(1)) else { return f64::NAN };
    if last.0 < f64::INFINITY || last.0.is_nan() || last.1.abs() <= 0.0 {
        return f64::NAN;
    }
    let rank = share * last.1;
    let inner = buckets.get(..buckets.len() - 1).unwrap_or_default();
    let index = inner.iter().position(|(_, count)| *count >= rank).unwrap_or(inner.len());
    let Some((end, count)) = inner.get(index).copied() else { return before_last.0 };
    let Some((start, below)) = index.checked_sub(1).and_then(|index| inner.get(index)).copied() else {
        // The lowest bucket begins at nothing, unless its bound is lower still.
        return if end <= 0.0 { end } else { end * (rank / count) };
    };
    start + (end - start) * ((rank - below) / (count - below))
}

/// Buckets of the same bound put together, and counts that never fall: a scrape may catch a histogram between two counters.
fn cumulative(buckets: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut merged: Vec<(f64, f64)> = Vec::with_capacity(buckets.len());
    for (bound, count) in buckets {
        match merged.last_mut() {
            Some(last) if last.0.total_cmp(bound).is_eq() => last.1 += count,
            Some(_) | None => merged.push((*bound, *count)),
        }
    }
    let mut most = f64::NAN;
    for (index, (_, count)) in merged.iter_mut().enumerate() {
        if index == 0 || *count > most {
            most = *count;
        } else if *count < most {
            *count = most;
        }
    }
    merged
}

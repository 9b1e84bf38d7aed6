//! The few statistics that small numbers allow.

/// The standard normal distribution's 0.975 quantile, for intervals of 95%.
const Z: f64 = 1.959_963_984_540_054;

/// The smallest value that at least `percent` of all do not exceed: always one that was measured. `values` are in order
/// (Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50, 1996: definition 1).
pub(super) fn quantile(values: &[u64], percent: usize) -> Option<u64> {
    let rank = values.len().saturating_mul(percent).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

/// Between which shares the true one lies, in 19 of 20 cases, when `hits` of `of` were seen (Wilson, "Probable Inference, the
/// Law of Succession, and Statistical Inference", Journal of the American Statistical Association 22, 1927). It holds for few
/// as well, where the usual interval does not (Brown, Cai and `DasGupta`, Statistical Science 16, 2001, section 4).
pub(super) fn wilson(hits: u64, of: u64) -> Option<(f64, f64)> {
    if of == 0 || hits > of {
        return None;
    }
    let (n, p) = (float(of), float(hits) / float(of));
    let z2 = Z * Z;
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    let low = if hits == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if hits == of { 1.0 } else { (middle + half).min(1.0) };
    Some((low, high))
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no journal has 2^53 deployments, nor do 2^53 milliseconds pass")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let cases: [(&[u64], usize, Option<u64>); 7] = [
            (&[], 50, None),
            (&[7], 50, Some(7)),
            (&[7], 90, Some(7)),
            (&[1, 2], 50, Some(1)),
            (&[1, 2, 3], 50, Some(2)),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 90, Some(9)),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 90, Some(10)),
        ];
        for (values, percent, expected) in cases {
            assert_eq!(quantile(values, percent), expected, "{values:?} {percent}");
        }
    }

    #[test]
    fn intervals_are_wilsons() {
        // From the formula by hand, to four digits; 0 of 10 and 15 of 148 are in Newcombe, Statistics in Medicine 17, 1998.
        for (hits, of, low, high) in
            [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (15, 148, 0.0624, 0.1605), (10, 10, 0.7225, 1.0)]
        {
            let found = wilson(hits, of).unwrap();
            assert!((found.0 - low).abs() < 5e-5 && (found.1 - high).abs() < 5e-5, "{hits}/{of}: {found:?}");
        }
        assert_eq!(wilson(0, 0), None);
        assert_eq!(wilson(2, 1), None);
    }
}

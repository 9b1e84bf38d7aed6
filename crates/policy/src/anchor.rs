//! Anchors: keys in brackets that say how their value counts.
//!
//! Source: Kyverno's documentation, "Validate Rules", "Anchors", and "Mutate Rules", "Anchors".

/// What an anchor means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Anchor {
    /// `(key)`: where this fits, the rest has to.
    Condition,
    /// `<(key)`: where this does not fit anywhere, the whole rule is left out.
    Global,
    /// `X(key)`: the key must not be there.
    Negation,
    /// `+(key)`: add where it is not there.
    AddIfNotPresent,
    /// `=(key)`: where the key is there, its value has to fit.
    Equality,
    /// `^(key)`: one item of the list has to fit.
    Existence,
}

/// The anchor of a key and the key within it.
pub(crate) fn parse(key: &str) -> Option<(Anchor, &str)> {
    let key = key.trim();
    let (anchor, rest) = match key.chars().next()? {
        '(' => (Anchor::Condition, key),
        '<' => (Anchor::Global, key.get(1..)?),
        'X' => (Anchor::Negation, key.get(1..)?),
        '+' => (Anchor::AddIfNotPresent, key.get(1..)?),
        '=' => (Anchor::Equality, key.get(1..)?),
        '^' => (Anchor::Existence, key.get(1..)?),
        _ => return None,
    };
    let inner = rest.strip_prefix('(')?.strip_suffix(')')?;
    (!inner.is_empty()).then_some((anchor, inner))
}

/// The key without its anchor.
pub(crate) fn bare(key: &str) -> &str {
    parse(key).map_or(key, |(_, inner)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_and_without_anchors() {
        assert_eq!(parse("(name)"), Some((Anchor::Condition, "name")));
        assert_eq!(parse("<(image)"), Some((Anchor::Global, "image")));
        assert_eq!(parse("=(a(b))"), Some((Anchor::Equality, "a(b)")));
        for text in ["name", "()", "X", "(a", "a(b)", "", "Y(a)"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

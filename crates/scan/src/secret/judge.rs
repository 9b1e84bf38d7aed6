//! Whether what a rule found is a secret.

use super::rules::{Check, Rule, Rules};

/// How many same characters in a row no drawn secret has.
const RUN_MAX: usize = 6;
/// How far behind a keyword an assignment may stand.
const ASSIGNED_WITHIN: usize = 48;

/// A quick look at what follows a keyword, for rules whose keywords are everywhere.
pub(super) fn may_follow(rule: &Rule, content: &[u8], at: usize) -> bool {
    let next = |length: usize| content.get(at..content.len().min(at + length)).unwrap_or_default();
    match rule.check {
        Check::Assigned => {
            let rest = next(ASSIGNED_WITHIN);
            let name = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')).count();
            let quotes = |b: &&u8| matches!(b, b'"' | b'\'' | b']' | b' ' | b'\t');
            let after = rest.get(name..).unwrap_or_default();
            let skipped = after.iter().take_while(quotes).count();
            matches!(after.get(skipped), Some(b'=' | b':' | b'|' | b'?' | b'<'))
        }
        Check::Password if rule.keywords.iter().any(|keyword| keyword == "://") => {
            let stop =
                |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'@' | b')');
            let rest = next(200);
            rest.iter().position(stop).and_then(|at| rest.get(at)) == Some(&b'@')
        }
        Check::Form | Check::Token | Check::Password => true,
    }
}

/// Whether it is one.
pub(super) fn is_secret(rules: &Rules, rule: &Rule, name: &str, content: &[u8], at: usize, secret: &[u8]) -> bool {
    if entropy(secret) < rule.entropy {
        return false;
    }
    let Ok(text) = std::str::from_utf8(secret) else { return false };
    if rules.values.contains(text) || text.ends_with("EXAMPLE") || text.ends_with("EXAMPLEKEY") {
        return false;
    }
    if !rule.runs && rule.entropy > 0.0 && longest_run(secret) >= RUN_MAX {
        return false;
    }
    match rule.check {
        Check::Form => true,
        Check::Token => !rules.placeholders.is_match(secret) && digits(secret) >= 1,
        Check::Password => {
            let host = content.get(at + secret.len()..).unwrap_or_default();
            let plain = secret.iter().all(u8::is_ascii_lowercase) || secret.iter().all(u8::is_ascii_uppercase);
            !plain && !rules.placeholders.is_match(secret) && !is_local(host)
        }
        Check::Assigned => !rules.placeholders.is_match(secret) && is_assigned(name, content, at, secret),
    }
}

/// Shannon's entropy, in bits a byte.
pub(super) fn entropy(text: &[u8]) -> f64 {
    if text.is_empty() {
        return 0.0;
    }
    let mut counts = [0_u32; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(counts.iter().sum::<u32>());
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

fn longest_run(text: &[u8]) -> usize {
    let (mut longest, mut run, mut last) = (0, 0, None);
    for byte in text {
        run = if last == Some(byte) { run + 1 } else { 1 };
        last = Some(byte);
        longest = longest.max(run);
    }
    longest
}

fn digits(text: &[u8]) -> usize {
    text.iter().filter(|b| b.is_ascii_digit()).count()
}

/// After the `@` of an address: this machine, or what documentation is written about.
fn is_local(rest: &[u8]) -> bool {
    let host = rest.strip_prefix(b"@").unwrap_or(rest);
    let length = host.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
    let host = String::from_utf8_lossy(host.get(..length).unwrap_or_default()).to_ascii_lowercase();
    let reserved =
        ["localhost", "127.0.0.1", "0.0.0.0", "example.com", "example.org", "example.net", "host", "hostname"];
    reserved.iter().any(|name| host == *name || host.ends_with(&format!(".{name}")))
        || host.ends_with(".example")
        || host.ends_with(".test")
        || host.ends_with(".invalid")
}

/// Whether the value of an assignment looks drawn at random: letters and digits that change places often, no name, path
/// or address. Without quotes it has to stand in a file in which values do.
fn is_assigned(name: &str, content: &[u8], at: usize, secret: &[u8]) -> bool {
    let quoted =
        at.checked_sub(1).and_then(|before| content.get(before)).is_some_and(|b| matches!(b, b'"' | b'\'' | b'`'));
    // What begins with `$` is a variable, or a hash of a password.
    if (!quoted && !is_configuration(name)) || secret.starts_with(b"$") {
        return false;
    }
    let (lower, upper) = (
        secret.iter().filter(|b| b.is_ascii_lowercase()).count(),
        secret.iter().filter(|b| b.is_ascii_uppercase()).count(),
    );
    let digits = digits(secret);
    if lower + upper < 2 || (digits < 2 && (lower == 0 || upper == 0)) || is_uuid(secret) {
        return false;
    }
    if secret.iter().any(|b| matches!(b, b'/' | b'.')) && wordlike(secret) {
        return false;
    }
    let changes = secret.windows(2).filter(|pair| matches!(pair, [one, two] if class(*one) != class(*two))).count();
    // Names written in one word change between cases once or twice a word; the fewer digits, the likelier it is one.
    let needed = match digits {
        0 => 42,
        1 => 33,
        _ => 25,
    };
    changes * 100 >= secret.len() * needed
}

fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    }
}

/// A path, an address or a dotted name: its parts are words and numbers.
fn wordlike(text: &[u8]) -> bool {
    let mut parts = text.split(|b| matches!(b, b'/' | b'.' | b'-' | b'_' | b':')).filter(|part| !part.is_empty());
    let word = |part: &[u8]| {
        part.iter().all(u8::is_ascii_digit)
            || part.iter().all(|b| b.is_ascii_alphabetic() || *b == b'$')
            || part.len() <= 3
    };
    let (mut words, mut all) = (0, 0);
    for part in parts.by_ref() {
        all += 1;
        words += usize::from(word(part));
    }
    words * 2 >= all
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text
            .iter()
            .enumerate()
            .all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// Files in which values stand without quotes.
fn is_configuration(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let endings = [
        ".env",
        ".ini",
        ".cfg",
        ".conf",
        ".config",
        ".properties",
        ".yaml",
        ".yml",
        ".toml",
        ".txt",
        ".tfvars",
        ".sh",
        ".bash",
        ".zsh",
        ".npmrc",
        ".pypirc",
        ".netrc",
        ".envrc",
        ".md",
        ".json",
        ".xml",
        ".tf",
        ".dockerfile",
        ".ps1",
        ".bat",
        ".cmd",
        ".log",
        ".plist",
    ];
    !file.contains('.')
        || file.starts_with(".env")
        || file.contains(".env.")
        || endings.iter().any(|ending| file.ends_with(ending))
}

/// What tools make: lock files, minified code and maps. Only rules that are sure of what they find look into them.
pub(super) fn is_generated(name: &str, content: &[u8]) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let locks = [
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "cargo.lock",
        "poetry.lock",
        "uv.lock",
        "pdm.lock",
        "pipfile.lock",
        "gemfile.lock",
        "composer.lock",
        "go.sum",
        "go.work.sum",
        "gradle.lockfile",
        "flake.lock",
        "mix.lock",
        "packages.lock.json",
        "podfile.lock",
        "deno.lock",
        "bun.lock",
        ".terraform.lock.hcl",
    ];
    let endings =
        [".min.js", ".min.css", ".map", ".svg", ".bundle.js", ".chunk.js", ".snap", ".ipynb", ".pbxproj", ".resx"];
    locks.contains(&file.as_str()) || endings.iter().any(|ending| file.ends_with(ending)) || is_minified(&file, content)
}

/// Code with lines of thousands of characters.
fn is_minified(file: &str, content: &[u8]) -> bool {
    let code = [".js", ".css", ".html", ".mjs", ".cjs"].iter().any(|ending| file.ends_with(ending));
    let start = content.get(..content.len().min(20_000)).unwrap_or_default();
    code && start.len() > 4000 && start.len() / (memchr::memchr_iter(b'\n', start).count() + 1) > 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_shannons() {
        assert!(entropy(b"") < 0.001 && entropy(b"aaaa") < 0.001);
        assert!((entropy(b"abcd") - 2.0).abs() < 0.001 && (entropy(b"aabb") - 1.0).abs() < 0.001);
    }

    #[test]
    fn names_are_no_values() {
        for name in ["config.database.password1", "path/to/file22/x1", "v1.2.3-alpha.10"] {
            assert!(wordlike(name.as_bytes()), "{name}");
        }
        assert!(is_uuid(b"123e4567-e89b-12d3-a456-426614174000"));
        assert_eq!(longest_run(b"abbbc"), 3);
    }
}

//! What things of OpenTelemetry are called in Prometheus.

/// Units that are written out; those of time and size first, as they are by far the most frequent.
const UNITS: [(&str, &str); 30] = [
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("min", "minutes"),
    ("h", "hours"),
    ("d", "days"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("bit", "bits"),
    ("Bi", "bits"),
    ("wk", "weeks"),
    ("mo", "months"),
    ("y", "years"),
];

/// A metric's name, with its unit and, where it only goes up, `_total`.
pub(super) fn metric(name: &str, unit: &str, is_counter: bool, is_gauge: bool) -> String {
    let mut words: Vec<String> = words(name);
    words.retain(|word| !(is_counter && word == "total"));
    for unit in unit_words(unit, is_gauge) {
        if !words.contains(&unit) {
            words.push(unit);
        }
    }
    if is_counter {
        words.push("total".to_owned());
    }
    let joined = words.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("_{joined}") } else { joined }
}

/// What stands between characters that no name may hold.
fn words(name: &str) -> Vec<String> {
    let parts = name.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `By/s` is `bytes_per_second`; what is in braces is a remark.
fn unit_words(unit: &str, is_gauge: bool) -> Vec<String> {
    if unit.trim() == "1" {
        return if is_gauge { vec!["ratio".to_owned()] } else { Vec::new() };
    }
    let (main, per) = unit.split_once('/').map_or((unit, ""), |(main, per)| (main, per));
    let is_remark = |unit: &str| unit.contains(['{', '}']) || unit.trim().is_empty();
    let mut all = Vec::new();
    if !is_remark(main) {
        let known = UNITS.iter().find(|(short, _)| *short == main.trim());
        all.extend(known.map_or_else(|| words(main), |(_, long)| vec![(*long).to_owned()]));
    }
    if !is_remark(per) {
        let known = UNITS.iter().find(|(short, _)| *short == per.trim());
        let one = known.map_or(per.trim(), |(_, long)| long.strip_suffix('s').unwrap_or(long));
        all.push("per".to_owned());
        all.extend(words(one));
    }
    all
}

/// A label's name.
pub(super) fn label(key: &str) -> String {
    let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || (name.starts_with('_') && !name.starts_with("__")) {
        return format!("key_{}", name.trim_start_matches('_'));
    }
    // Two underscores at the beginning are Prometheus' own.
    name.strip_prefix("__").map_or(name.clone(), |rest| format!("key_{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_called_as_the_specification_says() {
        for (name, unit, is_counter, is_gauge, wanted) in [
            ("http.server.request.duration", "s", false, false, "http_server_request_duration_seconds"),
            ("requests", "{request}", true, false, "requests_total"),
            ("requests_total", "1", true, false, "requests_total"),
            ("system.cpu.utilization", "1", false, true, "system_cpu_utilization_ratio"),
            ("memory_bytes", "By", false, true, "memory_bytes"),
            ("io", "By/s", false, true, "io_bytes_per_second"),
            ("2xx--rate", "", false, true, "_2xx_rate"),
            ("a.b", "furlong", true, false, "a_b_furlong_total"),
            ("é", "", false, true, ""),
        ] {
            assert_eq!(metric(name, unit, is_counter, is_gauge), wanted, "{name}");
        }
    }

    #[test]
    fn labels_are_letters_digits_and_underscores() {
        for (key, wanted) in [
            ("http.method", "http_method"),
            ("1st", "key_1st"),
            ("_x", "key_x"),
            ("__name__", "key_name__"),
            ("a", "a"),
        ] {
            assert_eq!(label(key), wanted);
        }
    }
}

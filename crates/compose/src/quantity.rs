//! Sizes (`512m`) and times (`1m30s`) as compose writes them.

use std::time::Duration;

use engine_api::timestamp::parse_go_duration;

/// Bytes of a size: a number with an optional unit `b`, `k`, `m`, `g` or `t` (powers of 1024), as in docker's options.
///
/// `-1` stands for "unlimited". `None` when the text is neither.
pub fn bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    if text == "-1" {
        return Some(-1);
    }
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(1_i64 << shift);
    }
    let fraction: f64 = number.parse().ok()?;
    let bytes = fraction * (1_u64 << shift) as f64;
    // Exact up to 2^53, far above any machine's memory.
    (bytes < 9e15).then_some(bytes as i64)
}

/// A time in Go's notation, as `engine_api` reads it; a bare number is seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => parse_go_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("512m", Some(512 << 20)),
            ("1G", Some(1 << 30)),
            ("1.5gb", Some(3 << 29)),
            ("65536", Some(65536)),
            ("10k", Some(10 << 10)),
            ("-1", Some(-1)),
            ("", None),
            ("12x", None),
            ("-5m", None),
            ("9999999999999999t", None),
            ("1.2.3", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, want) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5s", Some(1500)),
            ("10", Some(10_000)),
            ("", None),
            ("5 s", None),
            ("s", None),
            ("-1s", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(duration(text), want.map(Duration::from_millis), "{text}");
        }
    }
}

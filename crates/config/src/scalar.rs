//! What an unquoted scalar means: YAML 1.2 core schema plus the YAML 1.1 booleans that RancherOS users write.

use crate::Value;

/// Gives an unquoted scalar a type when no schema says one.
pub(crate) fn resolve(text: &str) -> Value {
    if is_null(text) {
        return Value::Null;
    }
    if let Some(b) = boolean(text) {
        return Value::Bool(b);
    }
    if let Some(n) = integer(text) {
        return Value::Int(n);
    }
    float(text).map_or_else(|| Value::String(text.to_owned()), Value::Float)
}

/// Whether the text is one of YAML's spellings of nothing.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The boolean a scalar spells, YAML 1.1 words included (<https://yaml.org/type/bool.html>, without `y` and `n`).
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The whole number a scalar spells: decimal, `0x`, `0o`, `0b`; a leading zero alone is decimal, as in YAML 1.2.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = if let Some(rest) = digits.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = digits.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = digits.strip_prefix("0b") {
        (2, rest)
    } else {
        (10, digits)
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let n = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -n } else { n })
}

/// The fraction a scalar spells; words such as `inf` and `nan` are text.
pub(crate) fn float(text: &str) -> Option<f64> {
    let first = text.trim_start_matches(['-', '+']);
    if !first.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !text.contains(['.', 'e', 'E'])
        || !text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
    {
        return None;
    }
    text.parse::<f64>().ok().filter(|n| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_scalars_get_the_type_users_expect() {
        for (text, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("yes", Value::Bool(true)),
            ("off", Value::Bool(false)),
            ("12", Value::Int(12)),
            ("-7", Value::Int(-7)),
            ("0x1f", Value::Int(31)),
            ("0644", Value::Int(644)),
            ("1.5", Value::Float(1.5)),
            ("1.2.3", Value::String("1.2.3".into())),
            ("nan", Value::String("nan".into())),
            ("--", Value::String("--".into())),
            (
                "99999999999999999999",
                Value::String("99999999999999999999".into()),
            ),
            ("1.5k", Value::String("1.5k".into())),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }
}

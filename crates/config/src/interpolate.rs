//! `${VAR}` in service definitions, filled from `rancher.environment`.

use std::collections::BTreeMap;

/// A string after substitution and the variables that had no value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interpolated {
    /// The result; a variable without a value became nothing.
    pub text: String,
    /// Names without a value and without a default.
    pub missing: Vec<String>,
}

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}`; `$$` is one dollar.
///
/// A dollar that begins none of these stays as it is, so that shell text in a command survives. Substituted values
/// are not scanned again.
pub fn interpolate(text: &str, variables: &BTreeMap<String, String>) -> Interpolated {
    let mut out = Interpolated::default();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.text.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.text.push('$');
            rest = tail;
        } else if let Some((body, tail)) = braced(after) {
            substitute(&mut out, body, variables);
            rest = tail;
        } else {
            let length = name_length(after);
            if length == 0 {
                out.text.push('$');
            } else {
                substitute(&mut out, &after[..length], variables);
            }
            rest = &after[length..];
        }
    }
    out.text.push_str(rest);
    out
}

fn braced(after: &str) -> Option<(&str, &str)> {
    let (body, tail) = after.strip_prefix('{')?.split_once('}')?;
    (name_length(body) > 0).then_some((body, tail))
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

fn substitute(out: &mut Interpolated, body: &str, variables: &BTreeMap<String, String>) {
    let (name, suffix) = body.split_at(name_length(body));
    let value = variables.get(name).map(String::as_str);
    if let Some(default) = suffix.strip_prefix(":-") {
        out.text
            .push_str(value.filter(|v| !v.is_empty()).unwrap_or(default));
    } else if let Some(default) = suffix.strip_prefix('-') {
        out.text.push_str(value.unwrap_or(default));
    } else if let Some(value) = value {
        out.text.push_str(value);
    } else {
        out.missing.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let variables = BTreeMap::from([
            ("VERSION".to_owned(), "1.0".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ]);
        for (text, want) in [
            ("os-base:${VERSION}${EMPTY}", "os-base:1.0"),
            ("$VERSION-x", "1.0-x"),
            ("$$HOME costs 5$", "$HOME costs 5$"),
            ("${NONE:-d}${EMPTY:-e}${EMPTY-f}", "de"),
            ("$(cmd) ${bad", "$(cmd) ${bad"),
            ("${1}", "${1}"),
        ] {
            let result = interpolate(text, &variables);
            assert_eq!(result.text, want, "{text}");
            assert!(result.missing.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_variable_without_a_value_is_named() {
        let result = interpolate("a${NOPE}b", &BTreeMap::new());
        assert_eq!(result.text, "ab");
        assert_eq!(result.missing, ["NOPE"]);
    }
}

//! `$private_ipv4`, `$public_ipv4`, `$private_ipv6`, `$public_ipv6` in user data and in the machine's own files (CoreOS's and
//! RancherOS's), filled from the datasource.

use std::sync::Arc;

use config::{Location, Problem};

use crate::Metadata;

/// A file's text with its variables filled in; what the datasource does not know stays and is a problem.
pub(crate) fn fill_file(
    name: &str,
    text: String,
    metadata: &Metadata,
    problems: &mut Vec<Problem>,
) -> String {
    if !text.contains('$') {
        return text;
    }
    let (filled, unknown) = fill(&text, metadata);
    for variable in unknown {
        let has_it = |line: &str| {
            line.contains(&format!("${variable}")) || line.contains(&format!("${{{variable}}}"))
        };
        let line = text.lines().position(has_it).map_or(1, |index| index + 1);
        let at = Location::new(&Arc::from(name), line, 1);
        let message =
            format!("${variable} is not known to this machine's datasource and stays as it is");
        problems.push(Problem::warning(&at, "", message));
    }
    filled
}

/// Text with its variables filled in, and those that the datasource does not know, each once: they stay as they are.
pub fn fill(text: &str, metadata: &Metadata) -> (String, Vec<&'static str>) {
    let variables = [
        ("private_ipv4", &metadata.private_ipv4),
        ("public_ipv4", &metadata.public_ipv4),
        ("private_ipv6", &metadata.private_ipv6),
        ("public_ipv6", &metadata.public_ipv6),
    ];
    let mut filled = String::with_capacity(text.len());
    let mut unknown = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        let found = variables
            .iter()
            .find_map(|(name, value)| Some((*name, *value, length(after, name)?)));
        match found {
            // `\$private_ipv4` is meant as it stands (CoreOS).
            Some((_, _, length)) if before.ends_with('\\') => {
                filled.pop();
                filled.push('$');
                filled.push_str(&after[1..length]);
                rest = &after[length..];
            }
            Some((_, Some(value), length)) => {
                filled.push_str(value);
                rest = &after[length..];
            }
            other => {
                if let Some((name, None, _)) = other
                    && !unknown.contains(&name)
                {
                    unknown.push(name);
                }
                filled.push('$');
                rest = &after[1..];
            }
        }
    }
    filled.push_str(rest);
    (filled, unknown)
}

/// Bytes of `$NAME` or `${NAME}` at the start, when no longer name begins there.
fn length(text: &str, name: &str) -> Option<usize> {
    let text = text.strip_prefix('$')?;
    if let Some(rest) = text.strip_prefix('{') {
        return rest
            .strip_prefix(name)?
            .starts_with('}')
            .then_some(name.len() + 3);
    }
    let next = text.strip_prefix(name)?.chars().next();
    let goes_on = next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    (!goes_on).then_some(name.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_filled_in() {
        let metadata = Metadata {
            private_ipv4: Some("10.0.0.2".into()),
            public_ipv4: Some("192.0.2.1".into()),
            ..Metadata::default()
        };
        for (text, want, missing) in [
            (
                "a: $private_ipv4\nb: ${public_ipv4}:80",
                "a: 10.0.0.2\nb: 192.0.2.1:80",
                &[][..],
            ),
            (
                "$private_ipv4s $private_ipv",
                "$private_ipv4s $private_ipv",
                &[],
            ),
            ("\\$private_ipv4 \\$x", "$private_ipv4 \\$x", &[]),
            (
                "$public_ipv6 $public_ipv6",
                "$public_ipv6 $public_ipv6",
                &["public_ipv6"],
            ),
            ("cost: 5$", "cost: 5$", &[]),
            ("${private_ipv4", "${private_ipv4", &[]),
        ] {
            assert_eq!(
                fill(text, &metadata),
                (want.to_owned(), missing.to_vec()),
                "{text}"
            );
        }
    }
}

//! Path patterns of `images.toml`: `*` stands for any part of a name, `**` for any number of names.

/// Whether `pattern` matches the whole of `path`; both without a slash at the front.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    names(&pattern, &path)
}

fn names(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| names(rest, &path[skipped..])),
        ([first, pattern @ ..], [name, path @ ..]) => {
            letters(first.as_bytes(), name.as_bytes()) && names(pattern, path)
        }
        _ => false,
    }
}

fn letters(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|skipped| letters(rest, &name[skipped..])),
        [first, rest @ ..] => name.first() == Some(first) && letters(rest, &name[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_name_and_double_stars_do_not() {
        assert!(matches("usr/share/doc", "usr/share/doc"));
        assert!(matches("/usr/share/*", "usr/share/doc"));
        assert!(!matches("usr/share/*", "usr/share/doc/a"));
        assert!(matches("usr/**/*.so.*", "usr/lib/x/libc.so.6"));
        assert!(matches("usr/**/*.so.*", "usr/libc.so.6"));
        assert!(matches("**", "a/b"));
        assert!(!matches("usr/lib*.a", "usr/lib/x.a"));
    }
}

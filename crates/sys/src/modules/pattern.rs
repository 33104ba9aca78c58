//! Shell patterns as modules.alias has them: `*`, `?` and `[...]` (fnmatch(3) without flags).

/// Whether the whole of `text` matches. Takes time in proportion to both lengths: only the last `*` is tried again.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match one(&pattern[p..], text[t]) {
            Some(length) => {
                p += length;
                t += 1;
            }
            None => match &mut retry {
                Some((after_star, from)) => {
                    *from += 1;
                    (p, t) = (*after_star, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Length of the pattern's first element if `byte` matches it.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => set(pattern, byte),
        literal => (literal == byte).then_some(1),
    }
}

fn set(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    // A `]` in the first place is a member.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|b| *b == b']')?;
    let members = &pattern[start..end];
    let mut found = false;
    let mut at = 0;
    while at < members.len() {
        if members.get(at + 1) == Some(&b'-') && at + 2 < members.len() {
            found |= (members[at]..=members[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= members[at] == byte;
            at += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_sets_and_single_characters() {
        assert!(matches(
            "pci:v*d0000100Esv*",
            "pci:v00008086d0000100Esv00001AF4"
        ));
        assert!(matches("usb:v04[0-9]*d?", "usb:v0451d3"));
        assert!(matches("a[!b]c", "axc") && !matches("a[!b]c", "abc"));
        assert!(matches("*", "") && matches("", "") && !matches("", "x") && !matches("x", ""));
        assert!(!matches("a*b", "ac") && matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a[", "a["));
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!matches(&"a*".repeat(50), &format!("{}b", "a".repeat(20))));
    }
}

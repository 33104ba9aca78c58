//! Shell patterns as Go's `path.Match` reads them; Docker's `reference` filter uses them.

/// Whether `text` matches: `*` and `?` stop at slashes, `[a-z]` and `[^a]` are sets, a backslash quotes. `None`: the
/// pattern is malformed.
pub(super) fn matches(pattern: &str, text: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    check(&pattern)?;
    Some(walk(&pattern, &text))
}

fn check(pattern: &[char]) -> Option<()> {
    let mut position = 0;
    while position < pattern.len() {
        position += match pattern[position] {
            '\\' => {
                pattern.get(position + 1)?;
                2
            }
            '[' => set(&pattern[position..])?.1,
            _ => 1,
        };
    }
    Some(())
}

/// Iterative matching with one point of return: linear in pattern times text.
fn walk(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            back = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if t < text.len()
            && p < pattern.len()
            && let Some(width) = one(&pattern[p..], text[t])
        {
            p += width;
            t += 1;
            continue;
        }
        match back {
            Some((after, from)) if from < text.len() && text[from] != '/' => {
                back = Some((after, from + 1));
                p = after;
                t = from + 1;
            }
            _ => return false,
        }
    }
}

/// Length of the pattern element that matches `c`.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => (c != '/').then_some(1),
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        '[' => {
            let (ranges, width, negated) = set(pattern)?;
            let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
            (inside != negated).then_some(width)
        }
        literal => (literal == c).then_some(1),
    }
}

/// Ranges of a set, its length in the pattern, and whether it is negated.
#[allow(clippy::type_complexity, reason = "read only here")]
fn set(pattern: &[char]) -> Option<(Vec<(char, char)>, usize, bool)> {
    let mut position = 1;
    let negated = pattern.get(1) == Some(&'^');
    position += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let c = *pattern.get(position)?;
        if c == ']' && !ranges.is_empty() {
            return Some((ranges, position + 1, negated));
        }
        let (low, width) = character(&pattern[position..])?;
        position += width;
        let mut high = low;
        if pattern.get(position) == Some(&'-') {
            let (end, width) = character(pattern.get(position + 1..)?)?;
            high = end;
            position += 1 + width;
        }
        ranges.push((low, high));
    }
}

fn character(pattern: &[char]) -> Option<(char, usize)> {
    match *pattern.first()? {
        '\\' => Some((*pattern.get(1)?, 2)),
        '-' | ']' => None,
        c => Some((c, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_go() {
        for (pattern, text, expected) in [
            ("busy*", "busybox", Some(true)),
            ("busy*:la*", "busybox:latest", Some(true)),
            ("*", "rancher/os", Some(false)),
            ("*/*", "rancher/os", Some(true)),
            ("a?c", "abc", Some(true)),
            ("a?c", "a/c", Some(false)),
            ("[a-c]x", "bx", Some(true)),
            ("[^a-c]x", "bx", Some(false)),
            ("\\*", "*", Some(true)),
            ("a*b*c", "axxbyyc", Some(true)),
            ("a*b*c", "axxbyy", Some(false)),
            ("", "", Some(true)),
            ("[", "a", None),
            ("[]a]", "]", None),
            ("a\\", "a", None),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }
}

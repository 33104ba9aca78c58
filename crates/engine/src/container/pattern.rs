//! The small part of regular expressions that people use in `name=` and `id=` filters: literals, `.`, `*`, `+`, `?`,
//! `[sets]`, `\` escapes, `|` between whole alternatives, `^` and `$`. Unanchored patterns match anywhere.

/// Longest pattern looked at, in bytes; longer ones match nothing.
const LENGTH_MAX: usize = 256;
/// Repetitions in one pattern; each multiplies the work.
const REPEATS_MAX: usize = 6;

#[derive(Debug)]
enum Atom<'a> {
    Any,
    Byte(u8),
    Set(&'a [u8], bool),
}

#[derive(Debug)]
struct Piece<'a> {
    atom: Atom<'a>,
    least: usize,
    most: usize,
}

/// Whether `text` matches `pattern`; a pattern outside the supported part matches only itself, literally.
#[must_use]
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    if pattern.len() > LENGTH_MAX {
        return false;
    }
    pattern.split('|').any(|alternative| {
        let (anchored, rest) = alternative
            .strip_prefix('^')
            .map_or((false, alternative), |rest| (true, rest));
        let (ends, rest) = match rest.strip_suffix('$') {
            Some(rest) if !rest.ends_with('\\') => (true, rest),
            _ => (false, rest),
        };
        let Some(pieces) = parse(rest.as_bytes()) else {
            return text == alternative;
        };
        let starts = if anchored { 0..1 } else { 0..text.len() + 1 };
        starts
            .into_iter()
            .any(|start| here(&pieces, &text.as_bytes()[start..], ends))
    })
}

fn parse(mut pattern: &[u8]) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut repeats = 0;
    while let Some((&first, rest)) = pattern.split_first() {
        pattern = rest;
        let atom = match first {
            b'.' => Atom::Any,
            b'\\' => {
                let (&escaped, rest) = pattern.split_first()?;
                pattern = rest;
                match escaped {
                    b'd' => Atom::Set(b"0-9", false),
                    b'w' => Atom::Set(b"0-9A-Za-z_", false),
                    other if other.is_ascii_alphanumeric() => return None,
                    other => Atom::Byte(other),
                }
            }
            b'[' => {
                let end = pattern
                    .iter()
                    .position(|byte| *byte == b']')
                    .filter(|end| *end > 0)?;
                let set = &pattern[..end];
                pattern = &pattern[end + 1..];
                match set.strip_prefix(b"^") {
                    Some(set) => Atom::Set(set, true),
                    None => Atom::Set(set, false),
                }
            }
            b'(' | b')' | b'{' | b'}' | b'*' | b'+' | b'?' => return None,
            literal => Atom::Byte(literal),
        };
        let (least, most) = match pattern.first() {
            Some(b'*') => (0, usize::MAX),
            Some(b'+') => (1, usize::MAX),
            Some(b'?') => (0, 1),
            _ => (1, 1),
        };
        if (least, most) != (1, 1) {
            pattern = &pattern[1..];
            repeats += 1;
        }
        pieces.push(Piece { atom, least, most });
    }
    (repeats <= REPEATS_MAX).then_some(pieces)
}

fn here(pieces: &[Piece<'_>], text: &[u8], ends: bool) -> bool {
    let Some((piece, rest)) = pieces.split_first() else {
        return !ends || text.is_empty();
    };
    let run = text
        .iter()
        .take(piece.most)
        .take_while(|byte| accepts(&piece.atom, **byte))
        .count();
    (piece.least..=run)
        .rev()
        .any(|count| here(rest, &text[count..], ends))
}

fn accepts(atom: &Atom<'_>, byte: u8) -> bool {
    match atom {
        Atom::Any => true,
        Atom::Byte(wanted) => byte == *wanted,
        Atom::Set(set, negated) => in_set(set, byte) != *negated,
    }
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    while let Some((&first, rest)) = set.split_first() {
        if let [b'-', last, after @ ..] = rest {
            if (first..=*last).contains(&byte) {
                return true;
            }
            set = after;
        } else {
            if first == byte {
                return true;
            }
            set = rest;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn the_usual_patterns_work() {
        for (pattern, text) in [
            ("web", "my-web-1"),
            ("^web$", "web"),
            ("^/?web", "web"),
            ("^web-[0-9]+$", "web-12"),
            ("a|^b$", "b"),
            (".*", ""),
            ("w.b", "web"),
            ("^db\\.local$", "db.local"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("^web$", "web-1"),
            ("[^w]eb", "web"),
            ("web+$", "we"),
            ("(", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn hostile_patterns_are_cheap() {
        let pattern = ".*".repeat(100) + "x";
        assert!(!matches(&pattern, &"a".repeat(255)));
        assert!(!matches(&"a".repeat(300), "a"));
    }
}

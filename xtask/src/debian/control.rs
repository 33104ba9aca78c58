//! Control files: stanzas of `Field: value` lines (deb822(5)).

/// One stanza; fields in file order, continuation lines joined by newlines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stanza<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Stanza<'a> {
    /// The value of a field, compared without regard to case.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Whether no field was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// All stanzas of a text. Lines that are neither a field nor a continuation are skipped.
pub(crate) fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (block, tail) = rest.split_once("\n\n").unwrap_or((rest, ""));
            rest = tail.trim_start_matches('\n');
            let stanza = parse(block);
            if !stanza.is_empty() {
                return Some(stanza);
            }
        }
    })
}

/// Parses one stanza; a value that goes on in indented lines keeps their newlines.
pub(crate) fn parse(block: &str) -> Stanza<'_> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let mut start = 0;
    while start < block.len() {
        let end = field_end(block, start);
        let text = &block[start..end];
        if !text.starts_with('#')
            && let Some((name, value)) = text.split_once(':')
            && !name.is_empty()
            && !name.contains(char::is_whitespace)
        {
            fields.push((name, value.trim()));
        }
        start = end + 1;
    }
    Stanza { fields }
}

/// Where the field that starts at `start` ends: at the first newline that no indented line follows.
fn field_end(block: &str, start: usize) -> usize {
    let bytes = block.as_bytes();
    let mut from = start;
    while let Some(offset) = block[from..].find('\n') {
        let newline = from + offset;
        match bytes.get(newline + 1) {
            Some(b' ' | b'\t') => from = newline + 1,
            _ => return newline,
        }
    }
    block.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_separated_by_blank_lines() {
        let text = "Package: a\nVersion: 1\n\n\nPackage: b\nDescription: short\n long\n .\n more\nSize: 3\n";
        let found: Vec<_> = stanzas(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("version"), Some("1"));
        assert_eq!(found[1].get("Description"), Some("short\n long\n .\n more"));
        assert_eq!(found[1].get("Size"), Some("3"));
        assert_eq!(found[1].get("Depends"), None);
    }

    #[test]
    fn comments_and_noise_are_skipped() {
        let stanza = parse("# Types: no\nTypes: deb\nnoise\nURIs: http://a/b");
        assert_eq!(stanza.get("Types"), Some("deb"));
        assert_eq!(stanza.get("URIs"), Some("http://a/b"));
    }
}

//! Splitting a string into words as a POSIX shell does, for `command:` and `entrypoint:` given as one string.

/// Why a string has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A quote was opened and not closed.
    #[error("a quote is not closed")]
    UnclosedQuote,
    /// The string ends in a backslash.
    #[error("it ends in a backslash")]
    TrailingBackslash,
}

/// Words of `text`: blanks separate, quotes and backslashes protect; nothing is expanded.
///
/// # Errors
/// An unclosed quote or a trailing backslash.
pub fn split(text: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(Error::UnclosedQuote)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => {
                let c = chars.next().ok_or(Error::TrailingBackslash)?;
                word.get_or_insert_default().push(c);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Error> {
    loop {
        match chars.next().ok_or(Error::UnclosedQuote)? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(Error::UnclosedQuote)? {
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => {
                    word.push('\\');
                    word.push(c);
                }
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, want) in [
            ("", vec![]),
            ("  a  b ", vec!["a", "b"]),
            ("sh -c 'echo \"hi\"'", vec!["sh", "-c", "echo \"hi\""]),
            ("a\\ b c\"d e\"f", vec!["a b", "cd ef"]),
            ("'' x", vec!["", "x"]),
            ("\"a\\\"b\\n\"", vec!["a\"b\\n"]),
        ] {
            assert_eq!(split(text).unwrap(), want, "{text}");
        }
        assert_eq!(split("'a"), Err(Error::UnclosedQuote));
        assert_eq!(split("a\\"), Err(Error::TrailingBackslash));
    }
}

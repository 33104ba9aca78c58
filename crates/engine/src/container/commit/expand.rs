//! Words of Dockerfile instructions: quotes, escapes and `$VARIABLE`, as Docker's documentation of the Dockerfile has them.

use std::iter::Peekable;
use std::str::Chars;

use engine_api::{Error, Result};

/// Defaults within defaults at most, such as `${A:-${B:-c}}`: a request must not exhaust the stack.
const DEPTH_MAX: usize = 16;

/// Splits at blanks outside quotes; quotes and backslashes stay, for [`expand`].
pub(in crate::container) fn fields(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_at(word_length(rest));
        rest = after.trim_start();
        Some(word)
    })
}

fn word_length(text: &str) -> usize {
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => drop(letters.next()),
            ('"' | '\'', None) => quote = Some(letter),
            (end, Some(begin)) if end == begin => quote = None,
            (blank, None) if blank.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// Takes quotes and escapes away and puts values in for variables, which count outside of single quotes.
///
/// # Errors
/// 400 when a `${` is not closed or asks for what is not known.
pub(in crate::container) fn expand(text: &str, env: &[String]) -> Result<String> {
    expand_at(text, env, 0)
}

fn expand_at(text: &str, env: &[String], depth: usize) -> Result<String> {
    if depth > DEPTH_MAX {
        return Err(Error::bad_parameter(format!(
            "variables are nested deeper than {DEPTH_MAX}"
        )));
    }
    let mut letters = text.chars().peekable();
    let mut word = String::new();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None) => word.extend(letters.next()),
            ('\\', Some('"')) => match letters.next_if(|next| matches!(next, '"' | '$' | '\\')) {
                Some(escaped) => word.push(escaped),
                None => word.push('\\'),
            },
            ('"' | '\'', None) => quote = Some(letter),
            (end, Some(begin)) if end == begin => quote = None,
            ('$', None | Some('"')) => word.push_str(&variable(&mut letters, env, depth)?),
            _ => word.push(letter),
        }
    }
    Ok(word)
}

/// What stands behind a `$`.
fn variable(letters: &mut Peekable<Chars<'_>>, env: &[String], depth: usize) -> Result<String> {
    if letters.next_if_eq(&'{').is_none() {
        let name = name(letters);
        // A lone `$` is one.
        return Ok(match name.as_str() {
            "" => "$".to_owned(),
            name => value(name, env).unwrap_or_default().to_owned(),
        });
    }
    let name = name(letters);
    let mut modifier = String::new();
    let mut open = 1;
    for letter in letters {
        match letter {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return modified(&name, &modifier, env, depth);
        }
        modifier.push(letter);
    }
    Err(Error::bad_parameter(format!(
        "failed to process \"${{{name}{modifier}\": syntax error: missing '}}'"
    )))
}

/// `${NAME}`, `${NAME:-otherwise}`, `${NAME:+instead}`; without the colon an empty value counts as one.
fn modified(name: &str, modifier: &str, env: &[String], depth: usize) -> Result<String> {
    let (modifier, empty_counts) = match modifier.strip_prefix(':') {
        Some(rest) => (rest, false),
        None => (modifier, true),
    };
    let found = value(name, env).filter(|value| empty_counts || !value.is_empty());
    let mut rest = modifier.chars();
    match (rest.next(), found) {
        (None, found) if empty_counts => Ok(found.unwrap_or_default().to_owned()),
        (Some('-'), Some(found)) => Ok(found.to_owned()),
        (Some('-'), None) | (Some('+'), Some(_)) => expand_at(rest.as_str(), env, depth + 1),
        (Some('+'), None) => Ok(String::new()),
        _ => Err(Error::bad_parameter(format!(
            "unsupported modifier ({modifier}) in substitution"
        ))),
    }
}

fn name(letters: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(letter) =
        letters.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
    {
        name.push(letter);
    }
    name
}

fn value<'a>(name: &str, env: &'a [String]) -> Option<&'a str> {
    env.iter()
        .filter_map(|variable| variable.split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_expanded() {
        let env = ["A=1".to_owned(), "EMPTY=".to_owned()];
        let cases = [
            ("$A-${A}x", "1-1x"),
            ("'$A' \"$A\"", "$A 1"),
            ("\\$A \"\\$A\\n\"", "$A $A\\n"),
            ("$ $B.", "$ ."),
            ("${B:-x$A} ${EMPTY:-y} ${EMPTY-y}", "x1 y "),
            ("${A:+z} ${EMPTY:+z} ${EMPTY+z}", "z  z"),
        ];
        for (text, wanted) in cases {
            assert_eq!(expand(text, &env).unwrap(), wanted, "{text}");
        }
        assert!(expand("${A", &env).is_err());
        assert!(expand("${A:?no}", &env).is_err());
        let deep = format!("{}x{}", "${B:-".repeat(5000), "}".repeat(5000));
        assert!(expand(&deep, &env).is_err());
        let words: Vec<_> = fields(" a=\"b c\"  d\\ e 'f g' ").collect();
        assert_eq!(words, ["a=\"b c\"", "d\\ e", "'f g'"]);
    }
}

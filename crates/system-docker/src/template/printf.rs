//! Go's `print`, `println` and `printf`.

use serde_json::Value;

use super::value::{Item, kind};
use super::{Result, TemplateError};

/// Widest column and longest fraction: a number without a bound would be the machine's memory.
const MOST_WIDE: usize = 4096;

/// All arguments, with a space between two that are not strings.
pub(super) fn print(arguments: &[Item]) -> Result<String> {
    let mut text = String::new();
    for (at, argument) in arguments.iter().enumerate() {
        let are_texts =
            at == 0 || argument.value.is_string() || arguments[at - 1].value.is_string();
        if !are_texts {
            text.push(' ');
        }
        text.push_str(&argument.print()?);
    }
    Ok(text)
}

/// All arguments with a space between, and the end of the line.
pub(super) fn print_line(arguments: &[Item]) -> Result<String> {
    let words: Result<Vec<String>> = arguments.iter().map(Item::print).collect();
    Ok(words?.join(" ") + "\n")
}

/// How one argument is shown: `%-08.3f`.
#[derive(Debug, Default)]
struct Verb {
    left: bool,
    zeros: bool,
    plus: bool,
    alternate: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

/// Arguments in a format. As in Go, a verb that does not fit is shown and not an error.
pub(super) fn printf(format: &str, arguments: &[Item]) -> Result<String> {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let (verb, after) = verb(&rest[at + 1..])?;
        let mut letters = after.chars();
        let letter = letters.next();
        rest = letters.as_str();
        match letter {
            Some('%') => text.push('%'),
            Some(letter) => match arguments.next() {
                Some(argument) => text.push_str(&verb.pad(&verb.show(letter, argument)?, letter)),
                None => text.push_str(&format!("%!{letter}(MISSING)")),
            },
            None => text.push_str("%!(NOVERB)"),
        }
    }
    text.push_str(rest);
    let more: Result<Vec<String>> = arguments.map(typed).collect();
    let more = more?;
    if !more.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", more.join(", ")));
    }
    Ok(text)
}

fn typed(argument: &Item) -> Result<String> {
    Ok(match &argument.value {
        Value::Null => "<nil>".to_owned(),
        value => format!("{}={}", kind(value), argument.print()?),
    })
}

/// Reads flags, width and precision; what follows is the letter.
fn verb(text: &str) -> Result<(Verb, &str)> {
    let mut verb = Verb::default();
    let flags = text.find(|c| !"-0+# ".contains(c)).unwrap_or(text.len());
    for flag in text[..flags].chars() {
        match flag {
            '-' => verb.left = true,
            '0' => verb.zeros = true,
            '+' => verb.plus = true,
            '#' => verb.alternate = true,
            _ => verb.space = true,
        }
    }
    let (width, rest) = number(&text[flags..])?;
    verb.width = width.unwrap_or(0);
    match rest.strip_prefix('.') {
        Some(rest) => {
            let (precision, rest) = number(rest)?;
            verb.precision = Some(precision.unwrap_or(0));
            Ok((verb, rest))
        }
        None => Ok((verb, rest)),
    }
}

fn number(text: &str) -> Result<(Option<usize>, &str)> {
    if text.starts_with(['*', '[']) {
        return Err(TemplateError::NotHere(format!("%{}", &text[..1])));
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let number = digits.parse().ok().filter(|number| *number <= MOST_WIDE);
    let wide = || TemplateError::Failed(format!("printf: {digits} is too wide"));
    number.map(|number| (Some(number), rest)).ok_or_else(wide)
}

impl Verb {
    fn show(&self, letter: char, argument: &Item) -> Result<String> {
        let cut = |text: &str| match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_owned(),
        };
        Ok(match (letter, &argument.value) {
            ('v', Value::String(text)) if self.alternate => format!("{text:?}"),
            ('v', Value::Number(_)) if !self.alternate => self.signed(argument.print()?),
            ('v', _) if !self.alternate => argument.print()?,
            ('s', Value::String(text)) => cut(text),
            // A list of strings, and nothing at all.
            ('s', Value::Array(_)) => argument.print()?,
            ('q', Value::String(text)) => format!("{:?}", cut(text)),
            ('x', Value::String(text)) => hex(text),
            ('X', Value::String(text)) => hex(text).to_uppercase(),
            ('t', Value::Bool(set)) => set.to_string(),
            ('T', value) => kind(value).to_owned(),
            ('d' | 'x' | 'X' | 'o' | 'b' | 'c', Value::Number(number)) => match number.as_i64() {
                Some(number) => self.integer(letter, number),
                None => format!("%!{letter}({})", typed(argument)?),
            },
            ('f' | 'F' | 'e' | 'g', Value::Number(number)) if number.is_f64() => {
                let number = number.as_f64().unwrap_or_default();
                let digits = self.precision.unwrap_or(6);
                self.signed(match letter {
                    'g' => number.to_string(),
                    'e' => exponent(number, digits),
                    _ => format!("{number:.digits$}"),
                })
            }
            _ => format!("%!{letter}({})", typed(argument)?),
        })
    }

    fn integer(&self, letter: char, number: i64) -> String {
        let sign = if number < 0 { "-" } else { "" };
        let size = number.unsigned_abs();
        let prefix = if self.alternate { "0x" } else { "" };
        let text = match letter {
            'x' => format!("{sign}{prefix}{size:x}"),
            'X' => format!("{sign}{}{size:X}", prefix.to_uppercase()),
            'o' => format!("{sign}{size:o}"),
            'b' => format!("{sign}{size:b}"),
            'c' => {
                let letter = u32::try_from(number).ok().and_then(char::from_u32);
                return letter.unwrap_or(char::REPLACEMENT_CHARACTER).to_string();
            }
            _ => number.to_string(),
        };
        self.signed(text)
    }

    fn signed(&self, text: String) -> String {
        match (text.starts_with('-'), self.plus, self.space) {
            (false, true, _) => format!("+{text}"),
            (false, false, true) => format!(" {text}"),
            _ => text,
        }
    }

    fn pad(&self, text: &str, letter: char) -> String {
        let blank = self.width.saturating_sub(text.chars().count());
        if self.left {
            return format!("{text}{}", " ".repeat(blank));
        }
        let numeric = matches!(
            letter,
            'd' | 'x' | 'X' | 'o' | 'b' | 'f' | 'F' | 'e' | 'g' | 'v'
        );
        if self.zeros && numeric {
            let digits = text.find(|c| !"+-".contains(c)).unwrap_or(0);
            return format!(
                "{}{}{}",
                &text[..digits],
                "0".repeat(blank),
                &text[digits..]
            );
        }
        format!("{}{text}", " ".repeat(blank))
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Go writes at least two digits of the exponent, and its sign.
fn exponent(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$e}");
    let (fraction, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{fraction}e{sign}{exponent:0>2}")
}

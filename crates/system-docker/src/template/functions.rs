//! The functions of templates: Go's own, and docker's.

use std::cmp::Ordering;

use serde_json::Value;

use super::value::{Item, kind};
use super::{Result, TemplateError, printf};

/// All that are there.
const KNOWN: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "join", "json", "le", "len", "lower", "lt", "ne",
    "not", "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate",
    "upper",
];
/// Go's that are not.
pub(super) const NOT_HERE: &[&str] = &["call", "js", "urlquery"];

/// Whether there is a function of this name.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Whether a function changes only how a text looks: a table's heading stays as it is.
pub(super) fn keeps_headings(name: &str) -> bool {
    matches!(
        name,
        "join" | "json" | "lower" | "pad" | "split" | "title" | "truncate" | "upper"
    )
}

/// Calls a function; `and` and `or` are the renderer's, which does not look at all of their arguments.
///
/// # Errors
/// For arguments of the wrong number or kind.
pub(super) fn call(name: &str, arguments: &[Item]) -> Result<Item> {
    let text = |text: String| Ok(Item::from(Value::from(text)));
    match (name, arguments) {
        ("json", [subject]) => text(subject.value.to_string()),
        ("len", [subject]) => length(subject).map(|length| Value::from(length).into()),
        ("lower", [subject]) => text(words(name, subject)?.to_lowercase()),
        ("upper", [subject]) => text(words(name, subject)?.to_uppercase()),
        ("title", [subject]) => text(title(words(name, subject)?)),
        ("html", [subject]) => text(escaped(&subject.print()?)),
        ("not", [subject]) => Ok(Value::from(!subject.truth()).into()),
        ("print", all) => printf::print(all).and_then(text),
        ("println", all) => printf::print_line(all).and_then(text),
        ("printf", [format, all @ ..]) => printf::printf(words(name, format)?, all).and_then(text),
        ("join", [list, separator]) => {
            let items = match &list.value {
                Value::Array(items) => items.as_slice(),
                Value::Null => &[],
                _ => return Err(wrong(name, list)),
            };
            let items: Result<Vec<String>> = items
                .iter()
                .map(|item| Item::from(item.clone()).print())
                .collect();
            text(items?.join(words(name, separator)?))
        }
        ("split", [subject, separator]) => {
            let parts = words(name, subject)?.split(words(name, separator)?);
            Ok(parts.collect::<Value>().into())
        }
        ("pad", [subject, before, after]) => {
            let (before, after) = (count(name, before)?, count(name, after)?);
            let subject = words(name, subject)?;
            // Go pads the empty text with nothing.
            let (before, after) = if subject.is_empty() {
                (0, 0)
            } else {
                (before, after)
            };
            text(format!(
                "{}{subject}{}",
                " ".repeat(before),
                " ".repeat(after)
            ))
        }
        ("truncate", [subject, length]) => {
            let letters = words(name, subject)?.chars();
            text(letters.take(count(name, length)?).collect())
        }
        ("index", [subject, keys @ ..]) => keys
            .iter()
            .try_fold(subject.clone(), |subject, key| subject.element(&key.value)),
        ("slice", [subject, bounds @ ..]) if bounds.len() <= 2 => slice(subject, bounds),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            for other in others {
                if equal(first, other)? {
                    return Ok(Value::from(true).into());
                }
            }
            Ok(Value::from(false).into())
        }
        ("ne", [first, second]) => Ok(Value::from(!equal(first, second)?).into()),
        ("lt", [first, second]) => Ok(Value::from(order(first, second)?.is_lt()).into()),
        ("le", [first, second]) => Ok(Value::from(order(first, second)?.is_le()).into()),
        ("gt", [first, second]) => Ok(Value::from(order(first, second)?.is_gt()).into()),
        ("ge", [first, second]) => Ok(Value::from(order(first, second)?.is_ge()).into()),
        _ => Err(TemplateError::Failed(format!(
            "wrong number of args for {name}: got {}",
            arguments.len()
        ))),
    }
}

fn wrong(name: &str, item: &Item) -> TemplateError {
    TemplateError::Failed(format!(
        "error calling {name}: wrong type {}",
        kind(&item.value)
    ))
}

fn words<'a>(name: &str, item: &'a Item) -> Result<&'a str> {
    item.value.as_str().ok_or_else(|| wrong(name, item))
}

/// Longest text that `pad` adds: a number without a bound would be the machine's memory.
const MOST_COUNT: usize = 4096;

fn count(name: &str, item: &Item) -> Result<usize> {
    let number = item
        .value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| *number <= MOST_COUNT)
        .ok_or_else(|| wrong(name, item))
}

fn length(item: &Item) -> Result<usize> {
    match &item.value {
        Value::String(text) => Ok(text.len()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(items) => Ok(items.len()),
        Value::Null if item.print()?.ends_with("[]") => Ok(0),
        other => Err(TemplateError::Failed(format!(
            "error calling len: len of type {}",
            kind(other)
        ))),
    }
}

fn slice(subject: &Item, bounds: &[Item]) -> Result<Item> {
    let bound = |at: usize, default: usize| {
        bounds
            .get(at)
            .map_or(Ok(default), |one| count("slice", one))
    };
    let length = length(subject)?;
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    let out = || {
        TemplateError::Failed(format!(
            "error calling slice: index out of range: {from}:{to} of {length}"
        ))
    };
    match &subject.value {
        Value::String(text) => text.get(from..to).map(|text| Value::from(text).into()),
        Value::Array(items) => items.get(from..to).map(|items| Value::from(items).into()),
        _ => return Err(wrong("slice", subject)),
    }
    .ok_or_else(out)
}

fn incomparable() -> TemplateError {
    TemplateError::Failed("incompatible types for comparison".to_owned())
}

fn equal(first: &Item, second: &Item) -> Result<bool> {
    match (&first.value, &second.value) {
        (Value::Number(_), Value::Number(_)) => Ok(order(first, second)?.is_eq()),
        (Value::Null, _) | (_, Value::Null) => {
            // The empty value of a text, or nothing.
            let blank = |item: &Item| item.value.is_null() && item.print().as_deref() == Ok("");
            Ok(match (&first.value, &second.value) {
                (Value::Null, Value::Null) => true,
                (Value::String(text), _) => blank(second) && text.is_empty(),
                (_, Value::String(text)) => blank(first) && text.is_empty(),
                _ => false,
            })
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(incomparable())
        }
        (first, second) if kind(first) == kind(second) => Ok(first == second),
        _ => Err(incomparable()),
    }
}

fn order(first: &Item, second: &Item) -> Result<Ordering> {
    match (&first.value, &second.value) {
        (Value::String(first), Value::String(second)) => Ok(first.cmp(second)),
        (Value::Number(first), Value::Number(second)) => match (first.as_i64(), second.as_i64()) {
            (Some(first), Some(second)) => Ok(first.cmp(&second)),
            _ => first
                .as_f64()
                .partial_cmp(&second.as_f64())
                .ok_or_else(incomparable),
        },
        _ => Err(incomparable()),
    }
}

/// The first letter of each word as a capital.
fn title(text: &str) -> String {
    let mut begins = true;
    let capital = |letter: char| {
        let shown = if begins {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        begins = letter.is_whitespace();
        shown
    };
    text.chars().map(capital).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

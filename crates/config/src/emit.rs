//! A located tree back to YAML, as `ros config get` and `export` print it.

use std::fmt::Write as _;

use crate::{Node, Value, scalar};

/// Block-style YAML, two spaces of indentation, sequences not indented, as go-yaml and therefore RancherOS printed it.
pub fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Map(map) if !map.is_empty() => block(&mut out, node, 0),
        Value::List(items) if !items.is_empty() => block(&mut out, node, 0),
        _ => {
            inline(&mut out, node, 0);
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn block(out: &mut String, node: &Node, depth: usize) {
    match &node.value {
        Value::Map(map) => {
            for (key, entry) in map {
                indent(out, depth);
                text(out, key);
                out.push(':');
                value(out, &entry.node, depth);
            }
        }
        Value::List(items) => {
            for item in items {
                indent(out, depth);
                out.push('-');
                match &item.value {
                    Value::Map(map) if !map.is_empty() => first_on_line(out, item, depth + 1),
                    Value::List(inner) if !inner.is_empty() => first_on_line(out, item, depth + 1),
                    _ => value(out, item, depth),
                }
            }
        }
        _ => {}
    }
}

/// A nested block after `- `: its first line loses the indentation it would have had.
fn first_on_line(out: &mut String, node: &Node, depth: usize) {
    let mut inner = String::new();
    block(&mut inner, node, depth);
    out.push(' ');
    out.push_str(inner.trim_start_matches(' '));
}

fn value(out: &mut String, node: &Node, depth: usize) {
    match &node.value {
        Value::Map(map) if !map.is_empty() => {
            out.push('\n');
            block(out, node, depth + 1);
        }
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            block(out, node, depth);
        }
        _ => {
            out.push(' ');
            inline(out, node, depth + 1);
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
    }
}

fn inline(out: &mut String, node: &Node, depth: usize) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Float(n) => {
            let _ = write!(out, "{n:?}");
        }
        Value::Plain(plain) if scalar::is_null(plain) => out.push_str("null"),
        Value::Plain(plain) if !matches!(scalar::resolve(plain), Value::String(_)) => {
            out.push_str(plain)
        }
        Value::Plain(plain) => text(out, plain),
        Value::String(string) if is_literal_block(string) => {
            out.push_str(if string.ends_with('\n') {
                "|\n"
            } else {
                "|-\n"
            });
            for line in string.lines() {
                if !line.is_empty() {
                    indent(out, depth.max(1));
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        Value::String(string) => text(out, string),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

/// Whether a string survives as a `|` block: several lines, no odd characters, no trailing or leading blank lines.
fn is_literal_block(string: &str) -> bool {
    let body = string.strip_suffix('\n').unwrap_or(string);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && string
            .chars()
            .all(|c| c == '\n' || (c >= ' ' && c != '\u{7f}' && !is_odd(c)))
}

fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{feff}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A one-line string: plain when it reads back as the same string, double quoted otherwise.
fn text(out: &mut String, string: &str) {
    if is_safe_plain(string) {
        out.push_str(string);
        return;
    }
    out.push('"');
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_odd(c) && u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn is_safe_plain(string: &str) -> bool {
    matches!(scalar::resolve(string), Value::String(_))
        && string != "<<"
        && !string.starts_with(|c: char| c.is_whitespace() || "-?:,[]{}#&*!|>'\"%@`=.".contains(c))
        && !string.ends_with(|c: char| c.is_whitespace() || c == ':')
        && !string.contains(": ")
        && !string.contains(" #")
        && !string.chars().any(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn what_is_printed_reads_back_the_same() {
        for text in [
            "a: 1\nb: [x, {c: d, e: [1, 2]}, []]\n",
            "a: \"yes\"\nb: yes\nc: '012'\n",
            "a: |\n  line one\n  line: two\n\n  four\n",
            "a: |-\n  no\n  newline\n",
            "'key: odd': '- x'\n\"#c\": '@'\n",
            "- [[1], [2, 3]]\n- {}\n",
            "a: \"tab\\tand \\\\ and \\u0007\"\n",
            "a: \" lead\"\nb: 'trail '\nc: ''\nd: ' \n\n x'\n",
        ] {
            let node = parse("in", text).unwrap().0;
            let printed = to_yaml(&node);
            let again = parse("out", &printed).unwrap().0;
            assert_eq!(again.to_json(), node.to_json(), "{text}\n->\n{printed}");
        }
    }
}

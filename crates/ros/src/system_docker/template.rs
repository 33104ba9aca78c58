//! `--format` templates: the part of Go's text/template that people use with docker.
//!
//! Fields (`{{.State.Pid}}`), `json`, `index`, `len`, `join`, `lower`, `upper`, `println`, `range`,
//! `if`, `else`, `with` and `end`. Anything else is an error that names it, never a wrong output.

use serde_json::Value;
use thiserror::Error;

/// Why a template is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// `{{` without `}}`, or a block without `{{end}}`.
    #[error("template parsing error: unclosed {0}")]
    Unclosed(&'static str),
    /// `{{end}}` or `{{else}}` outside a block.
    #[error("template parsing error: unexpected {{{{{0}}}}}")]
    Unexpected(String),
    /// A function or an expression that this subset does not have.
    #[error("template parsing error: function {0:?} not defined")]
    Unknown(String),
    /// A field that the object does not have.
    #[error("template: <{0}>: map has no entry for key {0:?}")]
    NoField(String),
    /// A block inside too many others.
    #[error("template parsing error: more than {MOST_BLOCKS} nested blocks")]
    TooDeep,
}

/// Nobody nests by hand this deep; the parser recurses.
const MOST_BLOCKS: usize = 16;

#[derive(Debug)]
enum Node {
    Text(String),
    Print(Vec<Word>),
    Block {
        kind: Kind,
        subject: Vec<Word>,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Range,
    If,
    With,
}

#[derive(Clone, Debug)]
enum Word {
    Field(Vec<String>),
    Text(String),
    Number(usize),
    Function(String),
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template(Vec<Node>);

impl Template {
    /// Parses a template; `\t` and `\n` stand for themselves as in docker.
    pub(crate) fn parse(text: &str) -> Result<Template, TemplateError> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let mut rest = text.as_str();
        let (nodes, end) = parse_nodes(&mut rest, 0)?;
        match end {
            None => Ok(Template(nodes)),
            Some(word) => Err(TemplateError::Unexpected(word)),
        }
    }

    /// Fills the template in with `value`.
    pub(crate) fn render(&self, value: &Value) -> Result<String, TemplateError> {
        let mut output = String::new();
        render_nodes(&self.0, value, &mut output)?;
        Ok(output)
    }
}

/// Parses up to the end or to `{{end}}` or `{{else}}`, which it returns.
fn parse_nodes(
    rest: &mut &str,
    depth: usize,
) -> Result<(Vec<Node>, Option<String>), TemplateError> {
    if depth > MOST_BLOCKS {
        return Err(TemplateError::TooDeep);
    }
    let mut nodes = Vec::new();
    while let Some(start) = rest.find("{{") {
        if start > 0 {
            nodes.push(Node::Text(rest[..start].to_owned()));
        }
        let inside = &rest[start + 2..];
        let end = inside.find("}}").ok_or(TemplateError::Unclosed("action"))?;
        let action = inside[..end].trim();
        *rest = &inside[end + 2..];
        let (first, tail) = action
            .split_once(char::is_whitespace)
            .unwrap_or((action, ""));
        let kind = match first {
            "end" | "else" => return Ok((nodes, Some(first.to_owned()))),
            "range" => Kind::Range,
            "if" => Kind::If,
            "with" => Kind::With,
            _ => {
                nodes.push(Node::Print(words(action)?));
                continue;
            }
        };
        nodes.push(parse_block(kind, words(tail)?, rest, depth)?);
    }
    if !rest.is_empty() {
        nodes.push(Node::Text((*rest).to_owned()));
        *rest = "";
    }
    Ok((nodes, None))
}

fn parse_block(
    kind: Kind,
    subject: Vec<Word>,
    rest: &mut &str,
    depth: usize,
) -> Result<Node, TemplateError> {
    let (body, mut end) = parse_nodes(rest, depth + 1)?;
    let mut otherwise = Vec::new();
    if end.as_deref() == Some("else") {
        (otherwise, end) = parse_nodes(rest, depth + 1)?;
    }
    match end.as_deref() {
        Some("end") => Ok(Node::Block {
            kind,
            subject,
            body,
            otherwise,
        }),
        _ => Err(TemplateError::Unclosed("block")),
    }
}

fn words(action: &str) -> Result<Vec<Word>, TemplateError> {
    let mut result = Vec::new();
    let mut rest = action.trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').ok_or(TemplateError::Unclosed("string"))?;
            result.push(Word::Text(quoted[..end].to_owned()));
            rest = quoted[end + 1..].trim_start();
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = rest[end..].trim_start();
        result.push(match (word.strip_prefix('.'), word.parse()) {
            (Some(path), _) => Word::Field(
                path.split('.')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            (None, Ok(number)) => Word::Number(number),
            (None, Err(_)) => Word::Function(word.to_owned()),
        });
    }
    Ok(result)
}

fn render_nodes(nodes: &[Node], value: &Value, output: &mut String) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(text) => output.push_str(text),
            Node::Print(words) => output.push_str(&printed(&evaluate(words, value)?)),
            Node::Block {
                kind,
                subject,
                body,
                otherwise,
            } => {
                let subject = evaluate(subject, value)?;
                if !truth(&subject) {
                    render_nodes(otherwise, value, output)?;
                    continue;
                }
                match (kind, &subject) {
                    (Kind::If, _) => render_nodes(body, value, output)?,
                    (Kind::Range, Value::Array(items)) => {
                        items
                            .iter()
                            .try_for_each(|item| render_nodes(body, item, output))?;
                    }
                    (Kind::Range, Value::Object(items)) => {
                        items
                            .values()
                            .try_for_each(|item| render_nodes(body, item, output))?;
                    }
                    (Kind::With | Kind::Range, _) => render_nodes(body, &subject, output)?,
                }
            }
        }
    }
    Ok(())
}

fn evaluate(words: &[Word], value: &Value) -> Result<Value, TemplateError> {
    let (first, arguments) = match words {
        [] => return Err(TemplateError::Unknown(String::new())),
        [Word::Function(name), arguments @ ..] => (name.as_str(), arguments),
        [word, ..] => return operand(word, value),
    };
    let arguments = arguments
        .iter()
        .map(|word| operand(word, value))
        .collect::<Result<Vec<_>, _>>()?;
    match (first, arguments.as_slice()) {
        ("json", [subject]) => Ok(Value::String(subject.to_string())),
        ("len", [subject]) => Ok(Value::from(length(subject))),
        ("lower", [subject]) => Ok(Value::String(printed(subject).to_lowercase())),
        ("upper", [subject]) => Ok(Value::String(printed(subject).to_uppercase())),
        ("println", [subject]) => Ok(Value::String(format!("{}\n", printed(subject)))),
        ("join", [Value::Array(items), Value::String(separator)]) => Ok(Value::String(
            items
                .iter()
                .map(printed)
                .collect::<Vec<_>>()
                .join(separator),
        )),
        ("index", [subject, keys @ ..]) => {
            Ok(keys.iter().fold(subject.clone(), |subject, key| match key {
                Value::String(key) => subject.get(key).cloned().unwrap_or(Value::Null),
                Value::Number(at) => at
                    .as_u64()
                    .and_then(|at| subject.get(usize::try_from(at).ok()?))
                    .cloned()
                    .unwrap_or(Value::Null),
                _ => Value::Null,
            }))
        }
        _ => Err(TemplateError::Unknown(first.to_owned())),
    }
}

fn operand(word: &Word, value: &Value) -> Result<Value, TemplateError> {
    match word {
        Word::Text(text) => Ok(Value::String(text.clone())),
        Word::Number(number) => Ok(Value::from(*number)),
        Word::Function(name) => Err(TemplateError::Unknown(name.clone())),
        Word::Field(path) => {
            let mut current = value;
            for part in path {
                current = match current {
                    Value::Null => current,
                    _ => current
                        .get(part)
                        .ok_or_else(|| TemplateError::NoField(part.clone()))?,
                };
            }
            Ok(current.clone())
        }
    }
}

/// Go's truth: not the zero value of its kind.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(_) | Value::Array(_) | Value::Object(_) => length(value) > 0,
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(items) => items.len(),
        _ => 0,
    }
}

/// How Go prints a value with `%v`.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(printed).collect::<Vec<_>>().join(" ")
        ),
        Value::Object(items) => {
            let pairs: Vec<String> = items
                .iter()
                .map(|(key, value)| format!("{key}:{}", printed(value)))
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str) -> Result<String, TemplateError> {
        let value = json!({
            "Id": "abc", "State": { "Pid": 7, "Running": true, "Error": "" },
            "Mounts": [{ "Source": "/a" }, { "Source": "/b" }],
            "Config": { "Labels": { "io.rancher.os.scope": "system" }, "Cmd": ["sh", "-c"], "Env": null },
        });
        Template::parse(template)?.render(&value)
    }

    #[test]
    fn fields_functions_and_blocks() {
        let cases = [
            ("{{.Id}} {{ .State.Pid }}", "abc 7"),
            ("{{.State.Running}}", "true"),
            ("{{json .Config.Cmd}}", "[\"sh\",\"-c\"]"),
            ("{{.Config.Cmd}}", "[sh -c]"),
            ("{{index .Config.Labels \"io.rancher.os.scope\"}}", "system"),
            ("{{index .Config.Cmd 1}}", "-c"),
            ("{{range .Mounts}}{{.Source}}:{{end}}", "/a:/b:"),
            ("{{if .State.Error}}bad{{else}}good{{end}}", "good"),
            ("{{with .State}}{{.Pid}}{{end}}", "7"),
            ("{{len .Mounts}}\\t{{join .Config.Cmd \",\"}}", "2\tsh,-c"),
            ("{{.Config.Env}}", "<no value>"),
        ];
        for (template, expected) in cases {
            assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(
            render("{{.Nothing}}"),
            Err(TemplateError::NoField("Nothing".to_owned()))
        );
        assert_eq!(
            render("{{printf \"%s\" .Id}}"),
            Err(TemplateError::Unknown("printf".to_owned()))
        );
        assert_eq!(render("{{.Id"), Err(TemplateError::Unclosed("action")));
        assert_eq!(render("{{if .Id}}x"), Err(TemplateError::Unclosed("block")));
        assert_eq!(
            render("{{end}}"),
            Err(TemplateError::Unexpected("end".to_owned()))
        );
        assert_eq!(
            render(&"{{if .Id}}".repeat(100)),
            Err(TemplateError::TooDeep)
        );
    }
}

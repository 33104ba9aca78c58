//! The kernel command line: `rancher.*` and `cc.*` as configuration, the rest for whoever asks.
//!
//! Rules of RancherOS's `config/cmdline`: dotted keys nest, a bare key is `true`, values are YAML but `:` and `?` do
//! not make maps of them, spaces inside quotes or brackets do not split, of two equal keys the last one counts.

use std::sync::Arc;

use crate::check::nearest;
use crate::schema::{CLOUD_CONFIG, Kind};
use crate::{Location, Node, Problem, Value, parse};

/// The name problems of the command line are reported under.
pub const NAME: &str = "/proc/cmdline";

/// Longest line read, in bytes; Linux takes 2048 on x86 and arm64, boot loaders more.
pub const MAX_BYTES: usize = 64 << 10;

/// Deepest dotted key.
const MAX_KEY_PARTS: usize = 16;

/// Keys whose every occurrence counts (RancherOS scans the line for them).
const REPEATABLE: &[&str] = &["rancher.autologin"];

/// The parameters, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommandLine {
    parameters: Vec<Parameter>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// What stands before the first `=`.
    pub key: String,
    /// What stands after it, quotes removed; `None` for a bare key.
    pub value: Option<String>,
    /// Column of its first character, from 1.
    pub column: usize,
}

impl CommandLine {
    /// Splits the line into parameters; text after [`MAX_BYTES`] is ignored.
    pub fn parse(line: &str) -> Self {
        let mut end = line.len().min(MAX_BYTES);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let parameters = split(line[..end].trim_end())
            .into_iter()
            .map(|(column, raw)| {
                let raw = unquote(&raw);
                let (key, value) = match raw.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(unquote(value))),
                    None => (raw, None),
                };
                Parameter { key, value, column }
            })
            .collect();
        Self { parameters }
    }

    /// All parameters in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Every value of `key`, in order; a bare key counts as an empty value.
    pub fn values<'c>(&'c self, key: &'c str) -> impl Iterator<Item = &'c str> {
        self.parameters
            .iter()
            .filter(move |parameter| parameter.key == key)
            .map(|parameter| parameter.value.as_deref().unwrap_or(""))
    }

    /// The devices named by `console=`, without options such as `,115200n8`.
    pub fn consoles(&self) -> Vec<&str> {
        let mut consoles: Vec<&str> = Vec::new();
        for value in self.values("console") {
            let name = value.split(',').next().unwrap_or("");
            if !name.is_empty() && !consoles.contains(&name) {
                consoles.push(name);
            }
        }
        consoles
    }

    /// The configuration the line carries, not yet checked against the schema.
    pub fn to_node(&self) -> (Node, Vec<Problem>) {
        let file: Arc<str> = Arc::from(NAME);
        let mut root = Node::empty();
        let mut problems = Vec::new();
        for parameter in &self.parameters {
            let at = Location::new(&file, 1, parameter.column);
            let key = match parameter.key.strip_prefix("cc.") {
                Some(rest) => rest,
                None if parameter.key.starts_with("rancher.") => parameter.key.as_str(),
                None => {
                    problems.extend(misspelt_prefix(parameter, &at));
                    continue;
                }
            };
            let parts: Vec<&str> = key.split('.').collect();
            if parts.len() > MAX_KEY_PARTS || parts.iter().any(|part| part.is_empty()) {
                let message = "not a key of the configuration, it is ignored";
                problems.push(Problem::warning(&at, &parameter.key, message));
                continue;
            }
            let parts = join_free_key(&parts);
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let value = value_node(parameter.value.as_deref(), &at);
            match root.get(key).map(|node| node.value.clone()) {
                Some(Value::List(mut items)) if REPEATABLE.contains(&key) => {
                    items.push(value);
                    root.set(&parts, &at, Node::new(at.clone(), Value::List(items)));
                }
                _ if REPEATABLE.contains(&key) && !matches!(value.value, Value::List(_)) => {
                    root.set(&parts, &at, Node::new(at.clone(), Value::List(vec![value])));
                }
                _ => root.set(&parts, &at, value),
            }
        }
        (root, problems)
    }
}

/// The parts of a dotted key as the schema has them: below a map with free string keys the rest is one.
pub fn key_parts(key: &str) -> Vec<String> {
    join_free_key(&key.split('.').collect::<Vec<_>>())
}

/// Below a map with free string keys (`rancher.sysctl.net.ipv4.ip_forward`) the rest of the path is one key.
fn join_free_key(parts: &[&str]) -> Vec<String> {
    let mut kind = CLOUD_CONFIG;
    for (index, part) in parts.iter().enumerate() {
        kind = match kind {
            Kind::Object(fields) => match fields.iter().find(|field| field.name == *part) {
                Some(field) => field.kind,
                None => break,
            },
            Kind::MapOf(inner) => *inner,
            Kind::StringMap => {
                let mut keys: Vec<String> = parts[..index].iter().map(|&s| s.to_owned()).collect();
                keys.push(parts[index..].join("."));
                return keys;
            }
            _ => break,
        };
    }
    parts.iter().map(|&part| part.to_owned()).collect()
}

/// `ranchr.debug` and `Rancher.debug` deserve a word; other programs' parameters do not.
fn misspelt_prefix(parameter: &Parameter, at: &Location) -> Option<Problem> {
    let (prefix, _) = parameter.key.split_once('.')?;
    nearest(prefix, ["rancher"].into_iter())?;
    let message = format!("unknown parameter, did you mean \"rancher.\" instead of \"{prefix}.\"?");
    Some(Problem::warning(at, &parameter.key, message))
}

/// A value as YAML; what would be a map, or is not YAML, stays text.
fn value_node(value: Option<&str>, at: &Location) -> Node {
    let Some(value) = value else {
        return Node::new(at.clone(), Value::Bool(true));
    };
    if value.starts_with('[') && value.ends_with(']') {
        if let Some(items) = flow_list(value) {
            let items = items
                .into_iter()
                .map(|item| value_node(Some(&item), at))
                .collect();
            return Node::new(at.clone(), Value::List(items));
        }
        return Node::new(at.clone(), Value::Plain(value.to_owned()));
    }
    if value.starts_with('{')
        && value.ends_with('}')
        && let Ok((node, _)) = parse(NAME, value)
    {
        return relocate(node, at);
    }
    Node::new(at.clone(), Value::Plain(value.to_owned()))
}

/// Items of `[a, b]`: commas inside quotes, brackets or braces do not separate. `None` when brackets do not match.
fn flow_list(value: &str) -> Option<Vec<String>> {
    let inner = value.strip_prefix('[')?.strip_suffix(']')?;
    let mut items = Vec::new();
    let mut item = String::new();
    let mut depth = 0_usize;
    let mut quote = None;
    for c in inner.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.checked_sub(1)?,
            (None, ',') if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    if depth != 0 || quote.is_some() {
        return None;
    }
    items.push(item);
    // A nested list deeper than one level is walked again by value_node; the depth is bounded by the line's length.
    const DEEPEST: usize = 32;
    if value.bytes().filter(|b| *b == b'[').count() > DEEPEST {
        return None;
    }
    Some(
        items
            .iter()
            .map(|item| unquote(item.trim()))
            .filter(|item| !item.is_empty())
            .collect(),
    )
}

fn relocate(mut node: Node, at: &Location) -> Node {
    node.at = at.clone();
    match &mut node.value {
        Value::List(items) => {
            for item in items {
                *item = relocate(item.clone(), at);
            }
        }
        Value::Map(map) => {
            for entry in map.values_mut() {
                entry.key_at = at.clone();
                entry.node = relocate(entry.node.clone(), at);
            }
        }
        _ => {}
    }
    node
}

/// Raw parameters with their columns: spaces split except inside quotes and brackets.
fn split(line: &str) -> Vec<(usize, String)> {
    // The boot loader may have escaped quotes.
    let mut parameters = Vec::new();
    let mut current = String::new();
    let mut start = 0;
    let mut quote: Option<char> = None;
    let mut depth = 0_usize;
    let mut chars = line.chars().enumerate().peekable();
    while let Some((column, mut c)) = chars.next() {
        if c == '\\' && chars.peek().is_some_and(|(_, next)| *next == '"') {
            c = '"';
            chars.next();
        }
        if c.is_whitespace() && quote.is_none() && depth == 0 {
            if !current.is_empty() {
                parameters.push((start + 1, std::mem::take(&mut current)));
            }
            continue;
        }
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            // An apostrophe in the middle of a word (don't) opens nothing.
            (None, '"') => quote = Some(c),
            (None, '\'') if current.ends_with(['=', '[', ',', ' ']) => quote = Some(c),
            (None, '[') if current.contains('=') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if current.is_empty() {
            start = column;
        }
        current.push(c);
    }
    if !current.is_empty() {
        parameters.push((start + 1, current));
    }
    parameters
}

fn unquote(text: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(line: &str) -> serde_json::Value {
        CommandLine::parse(line).to_node().0.to_json()
    }

    #[test]
    fn parameters_become_configuration() {
        use serde_json::json;
        for (line, want) in [
            ("quiet console=ttyS0,115200 root=/dev/sda1", json!({})),
            ("rancher.debug", json!({"rancher": {"debug": true}})),
            ("rancher.debug=false", json!({"rancher": {"debug": false}})),
            (
                "rancher.state.dev=LABEL=RANCHER_STATE",
                json!({"rancher": {"state": {"dev": "LABEL=RANCHER_STATE"}}}),
            ),
            (
                "rancher.state.autoformat=[/dev/sda,/dev/vda]",
                json!({"rancher": {"state": {"autoformat": ["/dev/sda", "/dev/vda"]}}}),
            ),
            (
                "rancher.state.autoformat=[/dev/sda, /dev/vda] x",
                json!({"rancher": {"state": {"autoformat": ["/dev/sda", "/dev/vda"]}}}),
            ),
            ("cc.hostname=foo", json!({"hostname": "foo"})),
            (
                "cc.ssh_authorized_keys=[\"ssh-ed25519 AAAA a b\",ssh-rsa]",
                json!({"ssh_authorized_keys": ["ssh-ed25519 AAAA a b", "ssh-rsa"]}),
            ),
            (
                "cc.ssh_authorized_keys=['ssh-ed25519 AAAA a']",
                json!({"ssh_authorized_keys": ["ssh-ed25519 AAAA a"]}),
            ),
            ("\"cc.hostname=a b\" x", json!({"hostname": "a b"})),
            (
                "cc.ssh_authorized_keys=\"ssh-rsa A b\"",
                json!({"ssh_authorized_keys": "ssh-rsa A b"}),
            ),
            (
                r#"cc.ssh_authorized_keys=[\"ssh-rsa A\"]"#,
                json!({"ssh_authorized_keys": ["ssh-rsa A"]}),
            ),
            (
                "rancher.password=it:is?x",
                json!({"rancher": {"password": "it:is?x"}}),
            ),
            ("rancher.a=1 rancher.a=2", json!({"rancher": {"a": 2}})),
            (
                "rancher.autologin=tty1 rancher.autologin=ttyS0",
                json!({"rancher": {"autologin": ["tty1", "ttyS0"]}}),
            ),
            (
                "rancher.autologin=[tty1,tty2] rancher.autologin=ttyS0",
                json!({"rancher": {"autologin": ["tty1", "tty2", "ttyS0"]}}),
            ),
            (
                "rancher.network.interfaces.eth1.address=10.1.0.41/24",
                json!({"rancher": {"network": {"interfaces": {"eth1": {"address": "10.1.0.41/24"}}}}}),
            ),
            (
                "rancher.sysctl.net.ipv4.ip_forward=1",
                json!({"rancher": {"sysctl": {"net.ipv4.ip_forward": 1}}}),
            ),
            (
                "cc.write_files=[{path: /a, content: \"x y\"}]",
                json!({"write_files": [{"path": "/a", "content": "x y"}]}),
            ),
            (
                "rancher.state.dev=",
                json!({"rancher": {"state": {"dev": null}}}),
            ),
        ] {
            assert_eq!(json(line), want, "{line}");
        }
    }

    #[test]
    fn consoles_are_listed_once_without_options() {
        let line = CommandLine::parse("console=tty0 console=ttyS0,115200n8 console=ttyS0 a=b\n");
        assert_eq!(line.consoles(), ["tty0", "ttyS0"]);
    }

    #[test]
    fn a_misspelt_prefix_or_an_empty_part_is_reported() {
        for line in ["ranchr.debug=1", "rancher..x=1", "rancher.=2", "cc.=x"] {
            let (node, problems) = CommandLine::parse(line).to_node();
            assert_eq!(problems.len(), 1, "{line}");
            assert_eq!(node.to_json(), serde_json::json!({}), "{line}");
        }
    }

    #[test]
    fn hostile_lines_are_bounded() {
        for line in [
            "rancher.a=".to_owned() + &"[".repeat(5000) + &"]".repeat(5000),
            "rancher.".to_owned() + &"a.".repeat(30_000),
            "x".repeat(MAX_BYTES * 2),
            "cc.x='".to_owned(),
            "\u{e9}".repeat(MAX_BYTES),
            "=".to_owned(),
        ] {
            let _ = CommandLine::parse(&line).to_node();
        }
    }
}

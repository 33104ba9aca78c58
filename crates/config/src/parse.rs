//! YAML text to a located tree, with limits for hostile input.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::{Entry, Location, Node, Problem, Value};

/// Largest document in bytes; EC2 and OpenStack hand out 16 to 64 KiB, write_files may carry more.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;
/// Deepest nesting; RancherOS's schema needs 8.
pub const MAX_DEPTH: usize = 64;
/// Most nodes of a document after aliases are expanded; stops "billion laughs".
pub const MAX_NODES: usize = 100_000;

/// Bytes of a scalar that count as one more node, so that copies of a long text by aliases are bounded too.
const BYTES_PER_NODE: usize = 256;

type Parsed<'t> = Parser<'t, serde_saphyr::granit_parser::StrInput<'t>>;

/// Parses one document; an empty one is an empty map, `name` is what it is reported under.
///
/// # Errors
/// A syntax error or a limit, as the one [`Problem`] that stops the document. The problems of an `Ok` are survivable.
pub fn parse(name: &str, text: &str) -> Result<(Node, Vec<Problem>), Problem> {
    let file: Arc<str> = Arc::from(name);
    let start = Location::new(&file, 1, 1);
    if text.len() > MAX_DOCUMENT_BYTES {
        let message = format!(
            "the document has {} bytes, more than {MAX_DOCUMENT_BYTES}",
            text.len()
        );
        return Err(Problem::error(&start, "", message));
    }
    let mut composer = Composer {
        parser: Parser::new_from_str(text),
        file,
        anchors: HashMap::new(),
        nodes: 0,
        problems: Vec::new(),
    };
    let node = composer
        .document()?
        .unwrap_or_else(|| Node::new(start, Value::Map(BTreeMap::new())));
    Ok((node, composer.problems))
}

/// An anchored node and how many nodes its expansion costs.
struct Anchor {
    node: Node,
    cost: usize,
}

struct Composer<'t> {
    parser: Parsed<'t>,
    file: Arc<str>,
    anchors: HashMap<usize, Anchor>,
    nodes: usize,
    problems: Vec<Problem>,
}

impl<'t> Composer<'t> {
    /// The first document of the stream; a second one is an error, as in every cloud-config reader.
    fn document(&mut self) -> Result<Option<Node>, Problem> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                event => {
                    if root.is_some() {
                        let message = "a second document in one file is not read";
                        self.problems
                            .push(Problem::error(&self.at(&span), "", message));
                        break;
                    }
                    root = Some(self.node(event, &span, 0)?);
                }
            }
        }
        Ok(root.filter(|node| !node.value.is_nothing()))
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Problem> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(pair)) => Ok(Some(pair)),
            Some(Err(error)) => {
                let mark = error.marker();
                let at = Location::new(&self.file, mark.line(), mark.col() + 1);
                Err(Problem::error(
                    &at,
                    "",
                    format!("not valid YAML: {}", error.info()),
                ))
            }
        }
    }

    fn at(&self, span: &Span) -> Location {
        Location::new(&self.file, span.start.line(), span.start.col() + 1)
    }

    fn charge(&mut self, cost: usize, at: &Location) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(cost);
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values after aliases are expanded");
            return Err(Problem::error(at, "", message));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Node, Problem> {
        let at = self.at(span);
        if depth > MAX_DEPTH {
            return Err(Problem::error(
                &at,
                "",
                format!("nested deeper than {MAX_DEPTH}"),
            ));
        }
        let before = self.nodes;
        let bytes = match &event {
            Event::Scalar(text, ..) => text.len(),
            _ => 0,
        };
        self.charge(1 + bytes / BYTES_PER_NODE, &at)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(text.into_owned(), style, tag.as_deref()), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (Value::List(self.list(depth)?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Map(self.map(depth)?), anchor),
            Event::Alias(id) => return self.alias(id, at, depth),
            other => {
                return Err(Problem::error(
                    &at,
                    "",
                    format!("unexpected YAML event {other:?}"),
                ));
            }
        };
        let node = Node::new(at, value);
        if anchor != 0 {
            let cost = self.nodes - before;
            // The copy kept for aliases is a copy: it costs as much again.
            self.charge(cost, &node.at)?;
            self.anchors.insert(
                anchor,
                Anchor {
                    node: node.clone(),
                    cost,
                },
            );
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, at: Location, depth: usize) -> Result<Node, Problem> {
        let cost = self.anchors.get(&id).map_or(0, |anchor| anchor.cost);
        self.charge(cost, &at)?;
        let Some(anchor) = self.anchors.get(&id) else {
            return Err(Problem::error(
                &at,
                "",
                "an alias to a value that contains it",
            ));
        };
        if depth + height(&anchor.node) > MAX_DEPTH {
            return Err(Problem::error(
                &at,
                "",
                format!("nested deeper than {MAX_DEPTH}"),
            ));
        }
        Ok(anchor.node.clone())
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
        Ok(items)
    }

    fn map(&mut self, depth: usize) -> Result<BTreeMap<String, Entry>, Problem> {
        let mut map = BTreeMap::new();
        let mut merged: Vec<Node> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key_node = self.node(event, &span, depth + 1)?;
            let key_at = key_node.at.clone();
            let Some((event, span)) = self.next()? else {
                break;
            };
            let node = self.node(event, &span, depth + 1)?;
            match key_node.value {
                Value::Plain(key) if key == "<<" => merged.push(node),
                Value::Plain(key) | Value::String(key) => {
                    if map.contains_key(&key) {
                        let message = "the key stands twice in one map, the last one counts";
                        self.problems.push(Problem::warning(&key_at, &key, message));
                    }
                    map.insert(key, Entry { key_at, node });
                }
                _ => self.problems.push(Problem::error(
                    &key_at,
                    "",
                    "a key must be a scalar; the entry is ignored",
                )),
            }
        }
        for node in merged {
            self.merge_key(&mut map, node);
        }
        Ok(map)
    }

    /// YAML 1.1's `<<`: keys of the given map, or maps, that are not present yet (<https://yaml.org/type/merge.html>).
    fn merge_key(&mut self, map: &mut BTreeMap<String, Entry>, node: Node) {
        match node.value {
            Value::Map(other) => {
                for (key, entry) in other {
                    map.entry(key).or_insert(entry);
                }
            }
            Value::List(items) => {
                for item in items {
                    if matches!(item.value, Value::Map(_)) {
                        self.merge_key(map, item);
                    }
                }
            }
            _ => self.problems.push(Problem::error(
                &node.at,
                "<<",
                "only a map or a list of maps can be merged",
            )),
        }
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_string = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
    if matches!(style, ScalarStyle::Plain) && !is_string {
        Value::Plain(text)
    } else {
        Value::String(text)
    }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(map) => {
            1 + map
                .values()
                .map(|entry| height(&entry.node))
                .max()
                .unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> serde_json::Value {
        parse("t.yml", text).unwrap().0.to_json()
    }

    #[test]
    fn documents_become_trees() {
        for (text, want) in [
            ("", serde_json::json!({})),
            ("#cloud-config\n", serde_json::json!({})),
            ("#cloud-config\n---\na: b\n", serde_json::json!({"a": "b"})),
            (
                "a: [1, yes, \"yes\", null]",
                serde_json::json!({"a": [1, true, "yes", null]}),
            ),
            (
                "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2",
                serde_json::json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
            ),
            (
                "a: &x {b: 1}\nc: {<<: *x, b: 2}",
                serde_json::json!({"a": {"b": 1}, "c": {"b": 2}}),
            ),
            ("a: |\n  x\n  y\n", serde_json::json!({"a": "x\ny\n"})),
            ("a: !!str 12", serde_json::json!({"a": "12"})),
            ("a: 1\r\nb: 2\r\n", serde_json::json!({"a": 1, "b": 2})),
        ] {
            assert_eq!(json(text), want, "{text}");
        }
    }

    #[test]
    fn syntax_errors_name_file_line_and_column() {
        let problem = parse("x.yml", "a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert_eq!(&*problem.at.file, "x.yml");
        assert!(problem.at.line >= 2, "{problem}");
        assert!(problem.to_string().starts_with("x.yml:"), "{problem}");
    }

    #[test]
    fn duplicate_keys_are_reported_and_the_last_counts() {
        let (node, problems) = parse("x.yml", "a: 1\na: 2\n").unwrap();
        assert_eq!(node.to_json(), serde_json::json!({"a": 2}));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].at.to_string(), "x.yml:2:1");
    }

    #[test]
    fn an_alias_bomb_is_stopped() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let previous = format!("*a{}", i - 1);
            text.push_str(&format!(
                "a{i}: &a{i} [{}]\n",
                vec![previous; 10].join(", ")
            ));
        }
        let problem = parse("bomb.yml", &text).unwrap_err();
        assert!(problem.message.contains("more than"), "{problem}");
    }

    #[test]
    fn deep_nesting_and_long_documents_are_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(parse("deep.yml", &deep).is_err());
        let long = "#".repeat(MAX_DOCUMENT_BYTES + 1);
        assert!(parse("long.yml", &long).is_err());
    }

    #[test]
    fn alias_chains_cannot_exceed_the_depth() {
        let mut text = String::from("a0: &a0 [x]\n");
        for i in 1..200 {
            text.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        assert!(parse("chain.yml", &text).is_err());
    }

    #[test]
    fn arbitrary_text_never_panics() {
        for text in [
            "\u{0}",
            "a: *b",
            "? [1]\n: 2",
            "%YAML 9.9\n---\n",
            "- - -",
            "&a *a",
            "a: &x [*x]",
            "\t a",
            "{",
            "}",
        ] {
            let _ = parse("odd.yml", text);
        }
    }
}

//! YAML text to a located tree, with limits for hostile input.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use crate::{Entry, Location, Node, Problem, Value};

/// Largest document in bytes; EC2 and OpenStack hand out 16 to 64 KiB, write_files may carry more.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;
/// Deepest nesting; RancherOS's schema needs 8.
pub const MAX_DEPTH: usize = 64;
/// What a message about the syntax begins with; others are about limits.
pub(crate) const NOT_YAML: &str = "not valid YAML";
/// Most nodes of a document after aliases are expanded; stops "billion laughs".
pub const MAX_NODES: usize = 100_000;

/// Characters of a key in the path of a message: a hostile one is as long as the document, and there can be many messages.
const MAX_SHOWN: usize = 64;
/// Bytes of a scalar that count as one more node, so that copies of a long text by aliases are bounded too.
const BYTES_PER_NODE: usize = 256;

type Events<'t> = Parser<'t, StrInput<'t>>;

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
    // A byte order mark, as some editors write it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let whole = Part {
        text,
        lines_before: 0,
        nodes_before: 0,
    };
    let parsed = whole.parse(&file)?;
    let node = parsed
        .root
        .unwrap_or_else(|| Node::new(start, Value::Map(BTreeMap::new())));
    Ok((node, parsed.problems))
}

/// A part of a document.
pub(crate) struct Part<'t> {
    pub(crate) text: &'t str,
    /// Lines of the document above it.
    pub(crate) lines_before: usize,
    /// Nodes that earlier parts have used up.
    pub(crate) nodes_before: usize,
}

/// What became of it.
pub(crate) struct Parsed {
    /// None when it says nothing.
    pub(crate) root: Option<Node>,
    /// Nodes used up, those before included.
    pub(crate) nodes: usize,
    pub(crate) problems: Vec<Problem>,
}

impl Part<'_> {
    /// Parses it, with the places of the document.
    pub(crate) fn parse(&self, file: &Arc<str>) -> Result<Parsed, Problem> {
        let mut composer = Composer {
            text: self.text,
            parser: Parser::new_from_str(self.text),
            file: Arc::clone(file),
            lines_before: self.lines_before,
            anchors: HashMap::new(),
            keys: Vec::new(),
            nodes: self.nodes_before,
            problems: Vec::new(),
        };
        let root = composer.document()?;
        Ok(Parsed {
            root,
            nodes: composer.nodes,
            problems: composer.problems,
        })
    }
}

/// An anchored node and how many nodes its expansion costs.
struct Anchor {
    node: Node,
    cost: usize,
}

struct Composer<'t> {
    text: &'t str,
    parser: Events<'t>,
    file: Arc<str>,
    lines_before: usize,
    anchors: HashMap<usize, Anchor>,
    /// The keys that lead to the value that is read.
    keys: Vec<String>,
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
                let at = Location::new(&self.file, self.lines_before + mark.line(), mark.col() + 1);
                Err(Problem::error(
                    &at,
                    "",
                    format!("{NOT_YAML}: {}{}", error.info(), self.cause(mark.line())),
                ))
            }
        }
    }

    /// What people do that YAML's own words do not explain: looks at the line of the error and its neighbours.
    fn cause(&self, line: usize) -> String {
        let lines = self
            .text
            .lines()
            .enumerate()
            .skip(line.saturating_sub(2))
            .take(3);
        for (index, text) in lines {
            let number = self.lines_before + index + 1;
            let indentation = &text[..text.len() - text.trim_start().len()];
            if indentation.contains('\t') {
                return format!(
                    "; line {number} is indented with a tab, and YAML takes only spaces"
                );
            }
            if ["{{", "{%", "<%", "%{"]
                .iter()
                .any(|mark| text.contains(mark))
            {
                return format!("; line {number} looks like a template that was not filled in");
            }
            if let Some((key, value)) = text.split_once(": ")
                && value.contains(": ")
                && !value
                    .trim_start()
                    .starts_with(['"', '\'', '{', '[', '|', '>', '#', '&'])
            {
                return format!(
                    "; the value of {:?} in line {number} has a colon and needs quotes",
                    key.trim()
                );
            }
        }
        String::new()
    }

    fn at(&self, span: &Span) -> Location {
        Location::new(
            &self.file,
            self.lines_before + span.start.line(),
            span.start.col() + 1,
        )
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
            let shown = key_node.as_str().unwrap_or_default().chars();
            self.keys.push(shown.take(MAX_SHOWN).collect());
            let node = self.node(event, &span, depth + 1)?;
            match key_node.value {
                Value::Plain(key) if key == "<<" => merged.push(node),
                Value::Plain(key) | Value::String(key) => {
                    if map.contains_key(&key) {
                        let message = "the key stands twice in one map, the last one counts";
                        let path = self.keys.join(".");
                        self.problems.push(Problem::warning(&key_at, path, message));
                    }
                    map.insert(key, Entry { key_at, node });
                }
                _ => self.problems.push(Problem::error(
                    &key_at,
                    "",
                    "a key must be a scalar; the entry is ignored",
                )),
            }
            self.keys.pop();
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
mod tests;

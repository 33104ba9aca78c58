//! The good parts of a document that is not YAML as a whole: whoever wrote it must still get in to mend it.
//!
//! The text is cut by its indentation, the way a person reads it: a part begins where a line is not deeper than its
//! first one. A part that reads alone is taken; one that does not is cut again below its key, or at its list's items,
//! and what is left over is reported with its own place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::parse::{MAX_DOCUMENT_BYTES, NOT_YAML, Part};
use crate::{Entry, Location, Node, Problem, Value, parse};

/// Most parts of a document that are tried, so that rubbish costs little time. A cloud-config has about a hundred lines.
const MAX_PARTS: usize = 2_000;
/// Deepest level that is cut: `rancher.network.interfaces.eth0.addresses[0]` needs six.
const MAX_LEVEL: usize = 8;
/// What a tab at the beginning of a line is taken for, as terminals show it.
const TAB: &str = "        ";

/// Reads a document; one that is not YAML gives what can be read of it, and problems for the rest.
///
/// Use [`parse`] where somebody waits for the answer and can mend the text first.
pub fn read(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let whole = match parse(name, text) {
        Ok((node, problems)) => return (node, problems),
        Err(problem) => problem,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut salvage = Salvage {
        file: Arc::from(name),
        nodes: 0,
        parts: 0,
        problems: Vec::new(),
    };
    if text.len() > MAX_DOCUMENT_BYTES {
        let root = Node::new(whole.at.clone(), Value::Map(BTreeMap::new()));
        return (root, vec![whole]);
    }
    let expanded = salvage.without_tabs(text);
    let expanded = salvage.without_directives(expanded);
    let lines: Vec<&str> = expanded.split_inclusive('\n').collect();
    let node = salvage.children(&lines, 0, 0, "");
    let start = Location::new(&salvage.file, 1, 1);
    let root = match node {
        Some(node) if node.as_map().is_some_and(|map| !map.is_empty()) => node,
        // Nothing to be taken: the parser's own words for the whole say more.
        _ => {
            return (Node::new(start, Value::Map(BTreeMap::new())), vec![whole]);
        }
    };
    // Each part reads, the whole does not: two documents, a stray line, or an alias to another part. What parts say of a
    // document that breaks a limit hides the reason.
    if salvage.problems.is_empty() || !whole.message.starts_with(NOT_YAML) {
        salvage.problems.insert(0, whole);
    }
    (root, salvage.problems)
}

struct Salvage {
    file: Arc<str>,
    /// Nodes so far; all parts together may have as many as one document.
    nodes: usize,
    parts: usize,
    problems: Vec<Problem>,
}

impl Salvage {
    /// The text with spaces for tabs at the beginning of lines. Later ones stay: in a block of text they are content.
    fn without_tabs(&mut self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut first = None;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let rest = line.trim_start_matches('\t');
            let tabs = line.len() - rest.len();
            // Of a line of 4 MiB of tabs nothing is to be salvaged.
            if tabs > 0 && tabs <= 64 && !rest.trim().is_empty() {
                first = first.or(Some(index + 1));
                expanded.push_str(&TAB.repeat(tabs));
                expanded.push_str(rest);
            } else {
                expanded.push_str(line);
            }
        }
        if let Some(line) = first {
            let at = Location::new(&self.file, line, 1);
            let message =
                "indented with a tab, and YAML takes only spaces: each tab is taken for eight";
            self.problems.push(Problem::error(&at, "", message));
        }
        expanded
    }

    /// The text without Terraform's lines for itself, as `%{ for ... ~}`: what stands between them can be read.
    fn without_directives(&mut self, text: String) -> String {
        let Some(first) = text.lines().position(is_directive) else {
            return text;
        };
        let at = Location::new(&self.file, first + 1, 1);
        let message = "a template that was not filled in: lines as this one are left out";
        self.problems.push(Problem::error(&at, "", message));
        let lines = text.split_inclusive('\n');
        lines
            .map(|line| if is_directive(line) { "\n" } else { line })
            .collect()
    }

    /// The parts of `lines`, which begin at line `first` (from 0), as one map or list.
    fn children(&mut self, lines: &[&str], first: usize, level: usize, path: &str) -> Option<Node> {
        let base = lines
            .iter()
            .find(|line| has_content(line))
            .map(|line| indentation(line))?;
        let mut starts = starts(lines, base);
        starts.push(lines.len());
        let mut map = BTreeMap::new();
        let mut list = Vec::new();
        let at = Location::new(&self.file, first + starts[0] + 1, base + 1);
        for window in starts.windows(2) {
            let (from, to) = (window[0], window[1]);
            let Some(node) = self.part(&lines[from..to], first + from, level, path) else {
                continue;
            };
            match node.value {
                Value::Map(entries) => self.add(&mut map, entries, path),
                Value::List(items) => list.extend(items),
                // A stray word, which the schema could not place either.
                _ => self.fail(
                    &node.at,
                    path,
                    "this line is neither a key nor an item of a list",
                ),
            }
        }
        match (map.is_empty(), list.is_empty()) {
            (false, _) => {
                self.stray(&list, path);
                Some(Node::new(at, Value::Map(map)))
            }
            (true, false) => Some(Node::new(at, Value::List(list))),
            (true, true) => None,
        }
    }

    /// One part; cut further when it does not read.
    fn part(&mut self, lines: &[&str], first: usize, level: usize, path: &str) -> Option<Node> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            if self.parts == MAX_PARTS + 1 {
                let at = Location::new(&self.file, first + 1, 1);
                let message = format!("more than {MAX_PARTS} parts to try: the rest is not read");
                self.problems.push(Problem::error(&at, "", message));
            }
            return None;
        }
        let part = Part {
            text: &lines.concat(),
            lines_before: first,
            nodes_before: self.nodes,
        };
        let mut problem = match part.parse(&self.file) {
            Ok(parsed) => {
                self.nodes = parsed.nodes;
                self.problems
                    .extend(parsed.problems.into_iter().map(|mut found| {
                        found.key = join(path, &found.key);
                        found
                    }));
                return parsed.root;
            }
            Err(problem) => problem,
        };
        let key = lines.first().and_then(|line| bare_key(line));
        if let Some(key) = key
            && level < MAX_LEVEL
            && lines[1..].iter().any(|line| has_content(line))
        {
            let path = join(path, key);
            let inner = self.children(&lines[1..], first + 1, level + 1, &path)?;
            let at = Location::new(&self.file, first + 1, indentation(lines[0]) + 1);
            let entry = Entry {
                key_at: at.clone(),
                node: inner,
            };
            return Some(Node::new(at, Value::Map([(key.to_owned(), entry)].into())));
        }
        // A quote that does not close is noticed below the part.
        let last = Location::new(&self.file, first + lines.len(), 1);
        if problem.at.line > last.line {
            problem.at = last;
        }
        problem.message.push_str("; this part is left out");
        path.clone_into(&mut problem.key);
        self.problems.push(problem);
        None
    }

    /// Items among keys, which nothing can be made of.
    fn stray(&mut self, items: &[Node], path: &str) {
        let Some(first) = items.first() else {
            return;
        };
        let files = first.as_map().filter(|item| item.contains_key("path"));
        let key = files.map_or("its key", |_| "`write_files:`");
        let message = format!(
            "the list that begins here is left out: the line with {key} is missing above it"
        );
        self.fail(&first.at, path, &message);
    }

    fn add(
        &mut self,
        map: &mut BTreeMap<String, Entry>,
        entries: BTreeMap<String, Entry>,
        path: &str,
    ) {
        for (key, entry) in entries {
            if map.contains_key(&key) {
                let message = "the key stands twice in one map, the last one counts";
                let path = join(path, &key);
                self.problems
                    .push(Problem::warning(&entry.key_at, path, message));
            }
            map.insert(key, entry);
        }
    }

    fn fail(&mut self, at: &Location, path: &str, message: &str) {
        self.problems.push(Problem::error(at, path, message));
    }
}

fn join(path: &str, key: &str) -> String {
    let dot = if path.is_empty() || key.is_empty() {
        ""
    } else {
        "."
    };
    format!("{path}{dot}{key}")
}

/// The lines where parts begin. Items of a list may stand as deep as the key they belong to, unless it has a deeper value.
fn starts(lines: &[&str], base: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let (mut after_key, mut in_list) = (false, false);
    for (index, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| has_content(line))
    {
        let is_item = line.trim_start().starts_with('-');
        if indentation(line) > base {
            after_key = false;
        } else if is_item && (after_key || in_list) {
            (after_key, in_list) = (false, true);
        } else {
            (after_key, in_list) = (bare_key(line).is_some(), false);
            starts.push(index);
        }
    }
    starts
}

/// Whether a line is more than blank, a comment, or a mark between documents.
fn has_content(line: &str) -> bool {
    let text = line.trim();
    !text.is_empty()
        && !text.starts_with('#')
        && !matches!(text, "---" | "...")
        && !text.starts_with("%YAML")
}

/// Whether a line is an instruction of a template of Terraform: the document is not what its writer wanted.
fn is_directive(line: &str) -> bool {
    let word = line.trim_start().strip_prefix("%{");
    let word = word.map(|rest| rest.trim_start_matches(['~', ' ']));
    let words = ["for ", "endfor", "if ", "else", "endif"];
    word.is_some_and(|rest| words.iter().any(|word| rest.starts_with(word)))
}

/// Blanks at the beginning, in characters, which are bytes here.
fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// The key of a line that has nothing after it but a comment.
fn bare_key(line: &str) -> Option<&str> {
    let text = line.trim();
    let (key, rest) = text.split_once(':')?;
    let rest = rest.trim_start();
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_word =
        !key.is_empty() && !key.contains(['{', '[', '#', '"', '\'', ' ']) && !key.starts_with('-');
    (is_word && (rest.is_empty() || rest.starts_with('#'))).then_some(key)
}

#[cfg(test)]
mod tests;

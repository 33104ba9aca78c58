//! Compares a tree with the schema: gives scalars their types, drops what does not fit, reports each case once.

mod answer;
mod hints;
mod unread;

use std::collections::BTreeMap;

use crate::schedule::Schedule;
use crate::schema::{Effect, Field, Kind, Rule};
use crate::{Entry, Location, Node, Problem, Value, scalar, words};

pub(crate) use hints::nearest;

/// Keeps what fits `kind`; everything else becomes a [`Problem`]. `None` when nothing is left.
///
/// Values never appear in the reports: they may be passwords or keys.
pub fn check(node: Node, kind: &Kind, problems: &mut Vec<Problem>) -> Option<Node> {
    Checker { problems }.value(node, kind, "")
}

struct Checker<'p> {
    problems: &'p mut Vec<Problem>,
}

impl Checker<'_> {
    fn value(&mut self, node: Node, kind: &Kind, path: &str) -> Option<Node> {
        if node.value.is_nothing() && !matches!(kind, Kind::Any) {
            return None;
        }
        if let Kind::Either(scalar, other) = kind {
            let is_deep = matches!(node.value, Value::List(_) | Value::Map(_));
            return self.value(node, if is_deep { other } else { scalar }, path);
        }
        let at = node.at.clone();
        let found = node.kind();
        let value = match (kind, node.value) {
            (Kind::Any, value) => Some(value),
            (Kind::Bool, value) => boolean(value).map(Value::Bool),
            (Kind::Int, value) => integer(value).map(Value::Int),
            (Kind::String | Kind::Word, value) => text(value).map(Value::String),
            (Kind::Command, Value::String(line) | Value::Plain(line)) => {
                match words::split(&line) {
                    Ok(words) => Some(strings(&at, words)),
                    Err(error) => {
                        self.error(&at, path, format!("cannot be split into words: {error}"));
                        return None;
                    }
                }
            }
            (Kind::Strings | Kind::Command, Value::List(items)) => {
                Some(Value::List(self.list(items, &Kind::String, path)))
            }
            (Kind::Strings, value) => text(value).map(|one| strings(&at, vec![one])),
            (Kind::Commands, Value::List(items)) => Some(Value::List(self.commands(items, path))),
            (Kind::Commands, Value::String(line) | Value::Plain(line)) => {
                Some(strings(&at, vec![line]))
            }
            (Kind::StringMap, Value::Map(map)) => Some(Value::Map(self.string_map(map, path))),
            (Kind::StringMap, Value::List(items)) => Some(Value::Map(self.pairs(items, path))),
            (Kind::MapOf(inner), Value::Map(map)) => {
                Some(Value::Map(self.map_of(map, inner, path)))
            }
            (Kind::ListOf(inner), Value::List(items)) => {
                Some(Value::List(self.list(items, inner, path)))
            }
            (Kind::ListOf(inner), Value::Map(map)) => {
                let one = Node::new(at.clone(), Value::Map(map));
                Some(Value::List(self.list(vec![one], inner, path)))
            }
            (Kind::Object(fields), Value::Map(map)) => {
                Some(Value::Map(self.object(map, fields, path)))
            }
            _ => None,
        };
        if value.is_none() {
            let hint =
                hints::wrong_type(path, found).map_or(String::new(), |hint| format!(": {hint}"));
            self.error(
                &at,
                path,
                format!("expected {}, found {found}{hint}", kind.describe()),
            );
        }
        value.map(|value| Node::new(at, value))
    }

    fn error(&mut self, at: &Location, path: &str, message: String) {
        self.problems.push(Problem::error(at, path, message));
    }

    fn list(&mut self, items: Vec<Node>, kind: &Kind, path: &str) -> Vec<Node> {
        items
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| self.value(item, kind, &format!("{path}[{index}]")))
            .collect()
    }

    fn commands(&mut self, items: Vec<Node>, path: &str) -> Vec<Node> {
        items
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| {
                let kind = match item.value {
                    Value::List(_) => Kind::Strings,
                    _ => Kind::String,
                };
                self.value(item, &kind, &format!("{path}[{index}]"))
            })
            .collect()
    }

    fn string_map(&mut self, map: BTreeMap<String, Entry>, path: &str) -> BTreeMap<String, Entry> {
        map.into_iter()
            .filter_map(|(key, mut entry)| {
                if entry.node.value.is_nothing() {
                    entry.node.value = Value::Null;
                    return Some((key, entry));
                }
                let node = self.value(entry.node, &Kind::String, &join(path, &key))?;
                Some((key, Entry { node, ..entry }))
            })
            .collect()
    }

    fn pairs(&mut self, items: Vec<Node>, path: &str) -> BTreeMap<String, Entry> {
        let mut map = BTreeMap::new();
        // `- NAME: VALUE` is a map of one, and meant as `- NAME=VALUE`.
        let (maps, texts): (Vec<Node>, Vec<Node>) = items
            .into_iter()
            .partition(|item| matches!(item.value, Value::Map(_)));
        for item in maps {
            if let Value::Map(one) = item.value {
                map.extend(self.string_map(one, path));
            }
        }
        for item in self.list(texts, &Kind::String, path) {
            let Some(pair) = item.as_str() else { continue };
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key.to_owned(), Value::String(value.to_owned())),
                None => (pair.to_owned(), Value::Null),
            };
            let node = Node::new(item.at.clone(), value);
            map.insert(
                key,
                Entry {
                    key_at: item.at,
                    node,
                },
            );
        }
        map
    }

    fn map_of(
        &mut self,
        mut map: BTreeMap<String, Entry>,
        kind: &Kind,
        path: &str,
    ) -> BTreeMap<String, Entry> {
        if let Some((at, message)) = hints::take_body(&mut map, path) {
            self.error(&at, path, message);
        }
        map.into_iter()
            .filter_map(|(key, entry)| {
                let misplaced =
                    hints::not_a_link(&key, path).or_else(|| hints::not_a_service_name(&key, path));
                if let Some(message) = misplaced {
                    self.error(&entry.key_at, &join(path, &key), message);
                    return None;
                }
                let node = self.value(entry.node, kind, &join(path, &key))?;
                Some((key, Entry { node, ..entry }))
            })
            .collect()
    }

    fn object(
        &mut self,
        map: BTreeMap<String, Entry>,
        fields: &'static [Field],
        path: &str,
    ) -> BTreeMap<String, Entry> {
        map.into_iter()
            .filter_map(|(key, entry)| {
                let Some(field) = self.field(&key, &entry.key_at, fields, path) else {
                    let message = hints::unknown_key(&key, &entry.node, fields, path);
                    self.problems
                        .push(Problem::warning(&entry.key_at, join(path, &key), message));
                    return None;
                };
                let path = join(path, field.name);
                let node = self.value(entry.node, &field.kind, &path)?;
                self.not_applied(field, &node, &entry.key_at, &path);
                if let Some(rule) = field.rule {
                    self.obeys(rule, &node, &path);
                }
                if field.name == "write_files" {
                    self.problems.extend(unread::files(&node, &path));
                }
                if field.name == "labels" {
                    self.label_values(&node, &path);
                }
                Some((field.name.to_owned(), Entry { node, ..entry }))
            })
            .collect()
    }

    /// The field of a key; `-` for `_` (cloud-init's older spelling, daemon.json's) is taken with a word about it.
    fn field(
        &mut self,
        key: &str,
        at: &Location,
        fields: &'static [Field],
        path: &str,
    ) -> Option<&'static Field> {
        if let Some(field) = fields.iter().find(|field| field.name == key) {
            return Some(field);
        }
        let spelt = key.replace('-', "_");
        let field = fields.iter().find(|field| field.name == spelt)?;
        // Both spellings are cloud-init's own.
        if spelt != "ca_certs" {
            let message = format!("taken as {:?}", join(path, field.name));
            self.problems
                .push(Problem::warning(at, join(path, key), message));
        }
        Some(field)
    }

    /// Reports values that break the rule of their key.
    fn obeys(&mut self, rule: Rule, node: &Node, path: &str) {
        if let Value::List(items) = &node.value {
            for (index, item) in items.iter().enumerate() {
                self.obeys(rule, item, &format!("{path}[{index}]"));
            }
        } else if let Some(text) = text(node.value.clone()) {
            if !rule.holds(&text) {
                self.error(&node.at, path, format!("expected {}", rule.describe()));
            } else if let Some(doubt) = rule.doubt(&text) {
                self.problems.push(Problem::warning(&node.at, path, doubt));
            }
        }
    }

    /// Nothing that is accepted and not applied stays silent.
    fn not_applied(&mut self, field: &Field, node: &Node, at: &Location, path: &str) {
        let message = match field.effect {
            Effect::Never(reason) => format!("not applied: {reason}"),
            Effect::Only(values, reason) if !is_one_of(node, values) => {
                format!("not applied: {reason}")
            }
            Effect::Always(reason) if answer::of(node) == Some(false) => {
                format!("not applied: {reason}")
            }
            Effect::NotDone(reason) if answer::of(node) != Some(false) => {
                format!("noted, not done: {reason}")
            }
            _ => return,
        };
        self.problems.push(Problem::warning(at, path, message));
    }

    /// A schedule that starts nothing is said before anybody waits for it.
    fn label_values(&mut self, labels: &Node, path: &str) {
        let Value::Map(labels) = &labels.value else {
            return;
        };
        let Some(entry) = labels.get(SCHEDULE) else {
            return;
        };
        let text = text(entry.node.value.clone()).unwrap_or_default();
        if let Err(error) = Schedule::parse(&text) {
            let key = join(path, SCHEDULE);
            let problem = Problem::error(&entry.node.at, &key, error.to_string());
            self.problems.push(problem);
        }
    }
}

fn is_one_of(node: &Node, values: &[&str]) -> bool {
    text(node.value.clone()).is_some_and(|text| values.contains(&text.as_str()))
}

/// The label that starts a container by the clock.
const SCHEDULE: &str = "cron.schedule";

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn boolean(value: Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(b),
        Value::Plain(text) | Value::String(text) => scalar::boolean(&text),
        _ => None,
    }
}

fn integer(value: Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(n),
        Value::Plain(text) | Value::String(text) => scalar::integer(&text),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) | Value::Plain(text) => Some(text),
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(n) => Some(n.to_string()),
        Value::Float(n) => Some(n.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

fn strings(at: &Location, items: Vec<String>) -> Value {
    Value::List(
        items
            .into_iter()
            .map(|item| Node::new(at.clone(), Value::String(item)))
            .collect(),
    )
}

#[cfg(test)]
mod tests;

//! The located tree a document becomes, and how to look into it.

use std::collections::BTreeMap;

use crate::Location;

/// A value and the place it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub at: Location,
    /// The value.
    pub value: Value,
}

/// A YAML value. Scalars written without quotes stay [`Value::Plain`] until the schema gives them a type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing after the colon, `~` or `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    String(String),
    /// An unquoted scalar whose type is not decided yet.
    Plain(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in key order.
    Map(BTreeMap<String, Entry>),
}

/// A value of a mapping with the place of its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key begins.
    pub key_at: Location,
    /// The value.
    pub node: Node,
}

impl Value {
    /// Whether it says nothing: a key without a value, `~` or `null`.
    pub fn is_nothing(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Plain(text) => crate::scalar::is_null(text),
            _ => false,
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::empty()
    }
}

impl Node {
    /// A node at `at`.
    pub fn new(at: Location, value: Value) -> Self {
        Self { at, value }
    }

    /// An empty mapping that no document wrote.
    pub fn empty() -> Self {
        Self::new(Location::built_in(), Value::Map(BTreeMap::new()))
    }

    /// The mapping inside, if it is one.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Entry>> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The text inside, if it is a string or an undecided scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) | Value::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// The node at a dotted path such as `rancher.network.dns.search`; numbers index lists.
    ///
    /// A key that contains dots itself (a label) is found as long as no shorter key hides it.
    pub fn get(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(self);
        }
        match &self.value {
            Value::Map(map) => {
                if let Some(entry) = map.get(path) {
                    return Some(&entry.node);
                }
                path.match_indices('.').find_map(|(dot, _)| {
                    let entry = map.get(&path[..dot])?;
                    entry.node.get(&path[dot + 1..])
                })
            }
            Value::List(items) => {
                let (index, rest) = path.split_once('.').unwrap_or((path, ""));
                items.get(index.parse::<usize>().ok()?)?.get(rest)
            }
            _ => None,
        }
    }

    /// Puts `value` at the path made of `keys`, making the mappings on the way; a scalar in the way is replaced.
    pub fn set(&mut self, keys: &[&str], key_at: &Location, value: Node) {
        let Some((first, rest)) = keys.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.value, Value::Map(_)) {
            self.at = key_at.clone();
            self.value = Value::Map(BTreeMap::new());
        }
        if let Value::Map(map) = &mut self.value {
            let entry = map.entry((*first).to_owned()).or_insert_with(|| Entry {
                key_at: key_at.clone(),
                node: Node::new(key_at.clone(), Value::Null),
            });
            entry.node.set(rest, key_at, value);
        }
    }

    /// The same tree as JSON, for typed decoding; undecided scalars are decided by YAML's rules.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(n) => Json::from(*n),
            Value::Float(n) => serde_json::Number::from_f64(*n).map_or(Json::Null, Json::Number),
            Value::String(text) => Json::String(text.clone()),
            Value::Plain(text) => {
                Node::new(self.at.clone(), crate::scalar::resolve(text)).to_json()
            }
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(map) => Json::Object(
                map.iter()
                    .map(|(key, entry)| (key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }

    /// What kind of value it is, as a word for a message.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a number",
            Value::Float(_) => "a fraction",
            Value::String(_) => "a string",
            Value::Plain(text) => match crate::scalar::resolve(text) {
                Value::Null => "nothing",
                Value::Bool(_) => "a boolean",
                Value::Int(_) => "a number",
                Value::Float(_) => "a fraction",
                _ => "a string",
            },
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

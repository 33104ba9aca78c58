//! Compares a tree with the schema: gives scalars their types, drops what does not fit, reports each case once.

use std::collections::BTreeMap;

use crate::schema::{self, Field, Kind};
use crate::{Entry, Location, Node, Problem, Value, scalar, words};

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
            self.error(
                &at,
                path,
                format!("expected {}, found {found}", kind.describe()),
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
        for item in self.list(items, &Kind::String, path) {
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
        map: BTreeMap<String, Entry>,
        kind: &Kind,
        path: &str,
    ) -> BTreeMap<String, Entry> {
        map.into_iter()
            .filter_map(|(key, entry)| {
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
                let Some(field) = fields.iter().find(|field| field.name == key) else {
                    let message = unknown_key(&key, fields, path);
                    self.problems
                        .push(Problem::warning(&entry.key_at, join(path, &key), message));
                    return None;
                };
                let node = self.value(entry.node, &field.kind, &join(path, &key))?;
                Some((key, Entry { node, ..entry }))
            })
            .collect()
    }
}

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

/// What to say about a key the schema does not know: the nearest one it knows, or where the key belongs.
fn unknown_key(key: &str, fields: &'static [Field], path: &str) -> String {
    if let Some(known) = nearest(key, fields.iter().map(|field| field.name)) {
        return format!(
            "unknown key, did you mean {:?}? it is ignored",
            join(path, known)
        );
    }
    if path.is_empty() {
        if schema::RANCHER
            .fields()
            .iter()
            .any(|field| field.name == key)
        {
            return format!("unknown key, did you mean \"rancher.{key}\"? it is ignored");
        }
        if schema::OTHER_CLOUD_INIT_KEYS.contains(&key) {
            return "this cloud-init key is not supported, it is ignored".to_owned();
        }
    }
    "unknown key, it is ignored".to_owned()
}

/// The known name closest to `key`, if it is close enough to be a typing error.
pub(crate) fn nearest<'n>(key: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // Longer input cannot be within the distance of any known name; the bound keeps the cost flat.
    const LONGEST: usize = 64;
    if key.len() > LONGEST {
        return None;
    }
    let allowed = (key.len() / 3).clamp(1, 3);
    names
        .map(|name| (distance(key, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Optimal string alignment distance in bytes: insertions, deletions, substitutions and swaps of neighbours each cost
/// one; `-` and `_` are the same, and so are the cases.
fn distance(a: &str, b: &str) -> usize {
    let fold = |byte: u8| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_lowercase(),
    };
    let a: Vec<u8> = a.bytes().map(fold).collect();
    let b: Vec<u8> = b.bytes().map(fold).collect();
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let substituted = above[j] + usize::from(a[i] != b[j]);
            row[j + 1] = substituted.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn checked(text: &str) -> (serde_json::Value, Vec<String>) {
        let (node, _) = parse("t.yml", text).unwrap();
        let mut problems = Vec::new();
        let node = check(node, &schema::CLOUD_CONFIG, &mut problems);
        (
            node.map_or(serde_json::Value::Null, |node| node.to_json()),
            problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn scalars_get_the_type_of_the_schema() {
        for (text, want) in [
            ("hostname: 123", serde_json::json!({"hostname": "123"})),
            (
                "rancher: {debug: yes}",
                serde_json::json!({"rancher": {"debug": true}}),
            ),
            (
                "rancher: {debug: \"true\"}",
                serde_json::json!({"rancher": {"debug": true}}),
            ),
            (
                "write_files: [{permissions: 0644}]",
                serde_json::json!({"write_files": [{"permissions": "0644"}]}),
            ),
            (
                "rancher: {state: {autoformat: /dev/sda}}",
                serde_json::json!({"rancher": {"state": {"autoformat": ["/dev/sda"]}}}),
            ),
            (
                "rancher: {services: {a: {command: sh -c 'x y'}}}",
                serde_json::json!({"rancher": {"services": {"a": {"command": ["sh", "-c", "x y"]}}}}),
            ),
            (
                "rancher: {services: {a: {environment: [A=1, B]}}}",
                serde_json::json!({"rancher": {"services": {"a": {"environment": {"A": "1", "B": null}}}}}),
            ),
            (
                "rancher: {services: {a: {restart: no}}}",
                serde_json::json!({"rancher": {"services": {"a": {"restart": "no"}}}}),
            ),
            (
                "runcmd: [ls, [a, 1]]",
                serde_json::json!({"runcmd": ["ls", ["a", "1"]]}),
            ),
            ("hostname:", serde_json::json!({})),
        ] {
            let (json, problems) = checked(text);
            assert_eq!(json, want, "{text}");
            assert!(problems.is_empty(), "{text}: {problems:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_reported_with_its_place_and_the_rest_stays() {
        for (text, keeps, report) in [
            (
                "ssh_authorised_keys: [x]\nhostname: h",
                serde_json::json!({"hostname": "h"}),
                "t.yml:1:1: warning: ssh_authorised_keys: unknown key, did you mean \"ssh_authorized_keys\"? it is ignored",
            ),
            (
                "hostname: h\nrancher:\n  debug: perhaps",
                serde_json::json!({"hostname": "h", "rancher": {}}),
                "t.yml:3:10: error: rancher.debug: expected true or false, found a string",
            ),
            (
                "services: {}",
                serde_json::json!({}),
                "t.yml:1:1: warning: services: unknown key, did you mean \"rancher.services\"? it is ignored",
            ),
            (
                "users: []",
                serde_json::json!({}),
                "t.yml:1:1: warning: users: this cloud-init key is not supported, it is ignored",
            ),
            (
                "ssh_authorized_keys: [a, {b: c}, d]",
                serde_json::json!({"ssh_authorized_keys": ["a", "d"]}),
                "t.yml:1:26: error: ssh_authorized_keys[1]: expected a string, found a map",
            ),
            (
                "rancher: {services: {web: {imge: x}}}",
                serde_json::json!({"rancher": {"services": {"web": {}}}}),
                "t.yml:1:28: warning: rancher.services.web.imge: unknown key, did you mean \"rancher.services.web.image\"? it is ignored",
            ),
        ] {
            let (json, problems) = checked(text);
            assert_eq!(json, keeps, "{text}");
            assert_eq!(problems, [report], "{text}");
        }
    }

    #[test]
    fn a_report_never_shows_the_value() {
        let (_, problems) = checked("rancher: {password: [s3cret], ssh: {port: s3cret}}");
        assert_eq!(problems.len(), 2);
        assert!(
            problems.iter().all(|problem| !problem.contains("s3cret")),
            "{problems:?}"
        );
    }

    #[test]
    fn a_document_that_is_not_a_map_leaves_nothing() {
        let (json, problems) = checked("just text");
        assert_eq!(json, serde_json::Value::Null);
        assert_eq!(problems.len(), 1);
    }
}

//! All documents of a machine, in order of precedence, to one configuration.

use std::collections::BTreeMap;

use crate::early::{self, Early};
use crate::interpolate::interpolate;
use crate::schema::CLOUD_CONFIG;
use crate::service::CREATE_ONLY;
use crate::{
    BUILT_IN, CommandLine, Config, Entry, Location, Node, Problem, VERSION, Value, check, merge,
    read,
};

/// Where the keys are that may log in.
const KEYS: &str = "ssh_authorized_keys";

/// A document: what it is reported under, and its text.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Path or other name.
    pub name: &'a str,
    /// YAML text.
    pub text: &'a str,
}

/// The merged configuration and everything that was wrong on the way.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The typed configuration.
    pub config: Config,
    /// The same as a tree that knows where each value came from.
    pub tree: Node,
    /// Findings in the order of the documents.
    pub problems: Vec<Problem>,
}

/// Reads `sources` from the lowest to the highest precedence, then the command line over them.
///
/// Of a document that is not YAML the parts that are count, and a wrong value is left out alone; both are in
/// [`Loaded::problems`]. `${VAR}` in services is filled from `rancher.environment`, where `VERSION` defaults to
/// [`crate::VERSION`].
pub fn load(sources: &[Source<'_>], command_line: &CommandLine) -> Loaded {
    let mut problems = Vec::new();
    let mut tree = Node::empty();
    let at = Location::built_in();
    let version = Node::new(at.clone(), Value::String(VERSION.to_owned()));
    tree.set(&["rancher", "environment", "VERSION"], &at, version);
    let (line, mut of_line) = command_line.to_node();
    let line = check(line, &CLOUD_CONFIG, &mut of_line);
    let mut early = Early::new(line.as_ref());
    for source in sources {
        let (node, found) = read(source.name, source.text);
        problems.extend(found);
        if let Some(checked) = check(node, &CLOUD_CONFIG, &mut problems) {
            if source.name == BUILT_IN {
                early.hold(&checked);
            } else {
                problems.extend(early.too_late(&checked));
            }
            lay_over(&mut tree, checked);
        }
    }
    problems.extend(of_line);
    if let Some(checked) = line {
        problems.extend(early::readable_passwords(&checked));
        lay_over(&mut tree, checked);
    }
    let config = decode(&mut tree, &mut problems);
    Loaded {
        config,
        tree,
        problems,
    }
}

fn lay_over(tree: &mut Node, checked: Node) {
    let trusted = keys(tree);
    merge(tree, checked);
    keep_keys(tree, trusted);
}

/// Keys only ever add up: a document that names one must not lock out whoever another document lets in.
fn keep_keys(tree: &mut Node, trusted: Vec<Node>) {
    let Value::Map(map) = &mut tree.value else {
        return;
    };
    let Some(Value::List(keys)) = map.get_mut(KEYS).map(|entry| &mut entry.node.value) else {
        return;
    };
    let named = std::mem::replace(keys, trusted);
    for key in named {
        if !keys.iter().any(|known| known.as_str() == key.as_str()) {
            keys.push(key);
        }
    }
}

fn keys(tree: &Node) -> Vec<Node> {
    match tree.get(KEYS).map(|node| &node.value) {
        Some(Value::List(keys)) => keys.clone(),
        _ => Vec::new(),
    }
}

fn decode(tree: &mut Node, problems: &mut Vec<Problem>) -> Config {
    let variables = variables(tree);
    if let Some(services) = service_entries(tree) {
        for (name, entry) in services {
            let path = format!("rancher.services.{name}");
            substitute(&mut entry.node, &variables, &path, problems);
        }
    }
    leave_stopped(tree);
    let mut config: Config = match json_reader::from_value(tree.to_json()) {
        Ok(config) => config,
        Err(error) => {
            // The schema and the types disagree: a bug, kept survivable. Keys and host name are what access needs.
            problems.push(Problem::error(
                &tree.at,
                "",
                format!("cannot be decoded: {error}"),
            ));
            reachable(tree)
        }
    };
    for (name, service) in &mut config.rancher.services {
        service.at = tree
            .get("rancher.services")
            .and_then(Node::as_map)
            .and_then(|services| services.get(name))
            .map(|entry| entry.key_at.clone());
    }
    config
}

/// `ntp.enabled: false`: the service is made and not started.
fn leave_stopped(tree: &mut Node) {
    let Some(enabled) = tree.get("ntp.enabled") else {
        return;
    };
    let at = enabled.at.clone();
    if enabled.value == Value::Bool(false) && tree.get("rancher.services.ntp").is_some() {
        let label = ["rancher", "services", "ntp", "labels", CREATE_ONLY];
        tree.set(
            &label,
            &at,
            Node::new(at.clone(), Value::String("true".to_owned())),
        );
    }
}

/// The part of a configuration without which nobody can log in.
fn reachable(tree: &Node) -> Config {
    Config {
        hostname: tree
            .get("hostname")
            .and_then(Node::as_str)
            .map(str::to_owned),
        ssh_authorized_keys: keys(tree)
            .iter()
            .filter_map(Node::as_str)
            .map(str::to_owned)
            .collect(),
        ..Config::default()
    }
}

/// `rancher.environment` without the names that have no value.
pub(crate) fn variables(tree: &Node) -> BTreeMap<String, String> {
    let Some(map) = tree.get("rancher.environment").and_then(Node::as_map) else {
        return BTreeMap::new();
    };
    map.iter()
        .filter_map(|(key, entry)| Some((key.clone(), entry.node.as_str()?.to_owned())))
        .collect()
}

fn service_entries(tree: &mut Node) -> Option<&mut BTreeMap<String, Entry>> {
    let mut node = tree;
    for key in ["rancher", "services"] {
        let Value::Map(map) = &mut node.value else {
            return None;
        };
        node = &mut map.get_mut(key)?.node;
    }
    match &mut node.value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

pub(crate) fn substitute(
    node: &mut Node,
    variables: &BTreeMap<String, String>,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    match &mut node.value {
        Value::String(text) | Value::Plain(text) if text.contains('$') => {
            let result = interpolate(text, variables);
            for name in result.missing {
                let message = format!("${{{name}}} has no value in rancher.environment");
                problems.push(Problem::warning(&node.at, path, message));
            }
            *text = result.text;
        }
        Value::List(items) => {
            for item in items {
                substitute(item, variables, path, problems);
            }
        }
        Value::Map(map) => {
            for entry in map.values_mut() {
                substitute(&mut entry.node, variables, path, problems);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;

//! All documents of a machine, in order of precedence, to one configuration.

use std::collections::BTreeMap;

use crate::interpolate::interpolate;
use crate::schema::CLOUD_CONFIG;
use crate::{
    CommandLine, Config, Entry, Location, Node, Problem, VERSION, Value, check, merge, read,
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
    for source in sources {
        let (node, found) = read(source.name, source.text);
        problems.extend(found);
        lay_over(&mut tree, node, &mut problems);
    }
    let (node, found) = command_line.to_node();
    problems.extend(found);
    lay_over(&mut tree, node, &mut problems);
    let config = decode(&mut tree, &mut problems);
    Loaded {
        config,
        tree,
        problems,
    }
}

fn lay_over(tree: &mut Node, node: Node, problems: &mut Vec<Problem>) {
    if let Some(checked) = check(node, &CLOUD_CONFIG, problems) {
        let trusted = keys(tree);
        merge(tree, checked);
        keep_keys(tree, trusted);
    }
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
    let mut config: Config = match serde_json::from_value(tree.to_json()) {
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
mod tests {
    use super::*;
    use crate::schema::Kind;

    fn load_texts(texts: &[&str], line: &str) -> Loaded {
        let names: Vec<String> = (0..texts.len()).map(|n| format!("{n}.yml")).collect();
        let sources: Vec<Source<'_>> = names
            .iter()
            .zip(texts)
            .map(|(name, text)| Source { name, text })
            .collect();
        load(&sources, &CommandLine::parse(line))
    }

    #[test]
    fn later_documents_and_the_command_line_win() {
        let loaded = load_texts(
            &[
                "hostname: a\nrancher: {state: {dev: x, wait: true}}",
                "hostname: b",
            ],
            "cc.hostname=c rancher.state.dev=LABEL=S",
        );
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        assert_eq!(loaded.config.hostname.as_deref(), Some("c"));
        assert_eq!(loaded.config.rancher.state.dev.as_deref(), Some("LABEL=S"));
        assert_eq!(loaded.config.rancher.state.wait, Some(true));
        assert_eq!(
            loaded.tree.get("hostname").unwrap().at.to_string(),
            "/proc/cmdline:1:1"
        );
    }

    #[test]
    fn keys_of_all_documents_add_up() {
        let loaded = load_texts(
            &[
                "ssh_authorized_keys: [one, two]",
                "hostname: b",
                "ssh_authorized_keys: [two, three]",
                "ssh_authorized_keys: []",
            ],
            "cc.ssh_authorized_keys=[four]",
        );
        assert_eq!(
            loaded.config.ssh_authorized_keys,
            ["one", "two", "three", "four"]
        );
    }

    #[test]
    fn a_broken_document_does_not_take_the_others_with_it() {
        let loaded = load_texts(
            &["hostname: a", "hostname: [", "ssh_authorized_keys: [k]"],
            "",
        );
        assert_eq!(loaded.config.hostname.as_deref(), Some("a"));
        assert_eq!(loaded.config.ssh_authorized_keys, ["k"]);
        assert_eq!(loaded.problems.len(), 1);
        assert_eq!(&*loaded.problems[0].at.file, "1.yml");
    }

    #[test]
    fn a_wrong_value_does_not_hide_the_good_one_below() {
        let loaded = load_texts(
            &[
                "rancher: {shutdown_timeout: 60}",
                "rancher: {shutdown_timeout: soon}",
            ],
            "",
        );
        assert_eq!(loaded.config.rancher.shutdown_timeout, Some(60));
        assert_eq!(loaded.problems.len(), 1);
    }

    #[test]
    fn services_get_their_variables_and_their_place() {
        let loaded = load_texts(
            &[
                "rancher:\n  environment: {TAG: \"7\"}\n  services:\n    a:\n      image: os:${VERSION}-${TAG}${NONE}\n",
            ],
            "",
        );
        let service = &loaded.config.rancher.services["a"];
        assert_eq!(
            service.image.as_deref(),
            Some(format!("os:{VERSION}-7").as_str())
        );
        assert_eq!(service.at.as_ref().unwrap().to_string(), "0.yml:4:5");
        assert_eq!(loaded.problems.len(), 1);
        assert!(loaded.problems[0].message.contains("${NONE}"));
    }

    #[test]
    fn unknown_rancher_parameters_are_warned_about() {
        let loaded = load_texts(&[], "rancher.debgu=true rancher.bogus.deep=1 quiet");
        let reports: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            reports,
            [
                "/proc/cmdline:1:20: warning: rancher.bogus: unknown key, it is ignored",
                "/proc/cmdline:1:1: warning: rancher.debgu: unknown key, did you mean \"rancher.debug\"? it is ignored",
            ]
        );
    }

    /// For every key of the schema and every odd value, the types must accept what the check lets through.
    #[test]
    fn whatever_passes_the_check_can_be_decoded() {
        let mut paths = Vec::new();
        collect(&CLOUD_CONFIG, "", &mut paths);
        assert!(paths.len() > 200);
        let values = [
            "yes",
            "-5",
            "99999999999",
            "1.5",
            "'x'",
            "''",
            "[a, 1, [b], {c: d}, null]",
            "{a: 1, b: [c], d: {soft: 1, hard: x}}",
            "[{path: 1}]",
            "~",
            "&x [*x]",
        ];
        for path in &paths {
            for value in values {
                let text = format!("{{ {} {value} {}", path.0, path.1);
                let loaded = load_texts(&["hostname: kept", &text], "");
                let undecoded = loaded
                    .problems
                    .iter()
                    .find(|p| p.message.contains("cannot be decoded"));
                assert!(undecoded.is_none(), "{text}: {undecoded:?}");
            }
        }
    }

    /// Opening and closing text of a flow mapping around each key; free keys are called `any`.
    fn collect(kind: &Kind, open: &str, paths: &mut Vec<(String, String)>) {
        let braces = open.matches('{').count() + 1;
        match kind {
            Kind::Object(fields) => {
                for field in *fields {
                    let here = format!("{open}{}:", field.name);
                    paths.push((here.clone(), "}".repeat(braces)));
                    collect(&field.kind, &format!("{here} {{"), paths);
                }
            }
            Kind::MapOf(inner) => {
                let here = format!("{open}any:");
                paths.push((here.clone(), "}".repeat(braces)));
                collect(inner, &format!("{here} {{"), paths);
            }
            _ => {}
        }
    }
}

//! docs/configuration.md and the JSON schema of cloud-config, made from the schema's tables in crate config.

use std::fmt::Write as _;

use config::schema::{CLOUD_CONFIG, Effect, Field, Kind, Origin, Rule};
use config::{CommandLine, Source};
use serde_json::{Map, Value, json};

/// For people.
pub(super) const PAGE: &str = "docs/configuration.md";
/// For editors: the first line `# yaml-language-server: $schema=...` of a cloud-config names it.
pub(super) const SCHEMA: &str = "docs/cloud-config.schema.json";

/// What stands above the tables.
const HEAD: &str = include_str!("configuration-head.md");

/// The page; `os_config` is the text of the built-in configuration, whose values are the defaults.
pub(super) fn page(os_config: &str) -> String {
    let source = Source {
        name: "os-config.yml",
        text: os_config,
    };
    let defaults = config::load(&[source], &CommandLine::default()).tree;
    let mut text = String::from(HEAD);
    let mut later = Vec::new();
    table(
        &mut text,
        "Top level",
        "",
        &CLOUD_CONFIG,
        &defaults,
        &mut later,
    );
    while let Some((path, kind)) = later.pop() {
        table(
            &mut text,
            &format!("`{path}`"),
            &path,
            &kind,
            &defaults,
            &mut later,
        );
    }
    text
}

fn table(
    text: &mut String,
    title: &str,
    path: &str,
    kind: &Kind,
    defaults: &config::Node,
    later: &mut Vec<(String, Kind)>,
) {
    let fields = kind.fields();
    let (applied, not): (Vec<&Field>, Vec<&Field>) = fields
        .iter()
        .partition(|field| !matches!(field.effect, Effect::Never(_)));
    // A string takes what is written.
    let _ = write!(text, "\n## {title}\n\n");
    if !applied.is_empty() {
        text.push_str("| key | type | default | from | applied | |\n|---|---|---|---|---|---|\n");
    }
    let mut below = Vec::new();
    for field in &applied {
        let full = if path.is_empty() {
            field.name.to_owned()
        } else {
            format!("{path}.{}", field.name)
        };
        let default = defaults
            .get(&full)
            .filter(|node| !matches!(node.value, config::Value::Map(_)))
            .map(|node| format!("`{}`", node.to_json()));
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            field.name,
            kind_words(&field.kind),
            default.unwrap_or_default().replace('|', "\\|"),
            origin(field.origin),
            effect(field.effect),
            field.doc.replace('|', "\\|"),
        );
        if let Some((suffix, inner)) = inner(&field.kind) {
            below.push((format!("{full}{suffix}"), inner));
        }
    }
    if !not.is_empty() {
        text.push_str("\nNot applied, each reported where it is set:\n\n");
    }
    for field in not {
        if let Effect::Never(reason) = field.effect {
            let _ = writeln!(text, "- `{}`: {reason}", field.name);
        }
    }
    below.reverse();
    later.extend(below);
}

/// The kind that has keys inside, and what its path is followed by.
fn inner(kind: &Kind) -> Option<(&'static str, Kind)> {
    match kind {
        Kind::MapOf(inner) if !inner.fields().is_empty() => Some((".NAME", **inner)),
        Kind::ListOf(inner) if !inner.fields().is_empty() => Some(("[]", **inner)),
        _ if !kind.fields().is_empty() => Some(("", *kind)),
        _ => None,
    }
}

fn kind_words(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::Int => "number".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Word => "string or boolean".to_owned(),
        Kind::Strings => "strings".to_owned(),
        Kind::Command => "command".to_owned(),
        Kind::Commands => "commands".to_owned(),
        Kind::StringMap => "map of strings".to_owned(),
        Kind::MapOf(inner) => format!("map of {}", kind_words(inner)),
        Kind::ListOf(inner) => format!("list of {}", kind_words(inner)),
        Kind::Object(_) => "map".to_owned(),
        Kind::Either(first, second) => format!("{} or {}", kind_words(first), kind_words(second)),
        Kind::Any => "any".to_owned(),
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::RancherOs => "RancherOS",
        Origin::BurmillaOs => "BurmillaOS",
        Origin::CloudInit => "cloud-init",
        Origin::Here => "0.1.0",
    }
}

fn effect(effect: Effect) -> String {
    match effect {
        Effect::Service(names) => format!("this boot; a change: restart {names}"),
        Effect::Boot => "this boot; a change: `ros config apply`, or reboot".to_owned(),
        Effect::EarlyBoot => "before user data: kernel command line or files on disk".to_owned(),
        Effect::CommandLine(_) => "kernel command line only".to_owned(),
        Effect::Command(command) => format!("`{command}`"),
        Effect::Given(reason) | Effect::Always(reason) => format!("always so: {reason}"),
        Effect::NotDone(reason) => format!("noted, not done: {reason}"),
        Effect::Only(values, reason) => format!("only `{}`: {reason}", values.join("`, `")),
        Effect::Inside => "see below".to_owned(),
        Effect::Never(_) => String::new(),
    }
}

/// JSON schema, draft 7.
pub(super) fn schema() -> String {
    let mut schema = kind_schema(&CLOUD_CONFIG);
    if let Some(map) = schema.as_object_mut() {
        map.insert(
            "$schema".to_owned(),
            "http://json-schema.org/draft-07/schema#".into(),
        );
        map.insert(
            "title".to_owned(),
            "cloud-config of RancherOS-in-Rust".into(),
        );
    }
    // A tree of strings always becomes text.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

fn kind_schema(kind: &Kind) -> Value {
    let scalar = json!({"type": ["string", "number", "boolean"]});
    let strings = json!({"type": "array", "items": scalar});
    match kind {
        Kind::Bool => json!({"type": ["boolean", "string"], "examples": [true, false]}),
        Kind::Int => json!({"type": ["integer", "string"]}),
        Kind::String | Kind::Word => scalar,
        Kind::Strings | Kind::Command => json!({"anyOf": [scalar, strings]}),
        Kind::Commands => {
            json!({"anyOf": [scalar, {"type": "array", "items": {"anyOf": [scalar, strings]}}]})
        }
        Kind::StringMap => {
            json!({"anyOf": [strings, {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}]})
        }
        Kind::MapOf(inner) => json!({"type": "object", "additionalProperties": kind_schema(inner)}),
        Kind::ListOf(inner) => json!({"type": "array", "items": kind_schema(inner)}),
        Kind::Either(first, second) => json!({"anyOf": [kind_schema(first), kind_schema(second)]}),
        Kind::Any => json!({}),
        Kind::Object(fields) => {
            let properties: Map<String, Value> = fields
                .iter()
                .map(|field| (field.name.to_owned(), property(field)))
                .collect();
            json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false})
        }
    }
}

fn property(field: &Field) -> Value {
    let mut schema = kind_schema(&field.kind);
    if let Some(map) = schema.as_object_mut() {
        let words = match field.effect {
            Effect::Never(reason) => format!("NOT APPLIED: {reason}"),
            _ => field.doc.to_owned(),
        };
        if !words.is_empty() {
            map.insert("description".to_owned(), words.into());
        }
        if let Some(Rule::Range(from, to)) = field.rule {
            map.insert("minimum".to_owned(), from.into());
            map.insert("maximum".to_owned(), to.into());
        }
    }
    schema
}

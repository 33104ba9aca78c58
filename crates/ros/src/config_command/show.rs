//! What the machine sets, where, and when it holds.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use config::schema::{self, Effect};
use config::{CommandLine, Node, Problem, Source, Value};
use serde_json::json;

use super::{input_text, print_json, secrets};
use crate::cli::Format;
use crate::machine_config::MachineConfig;
use system_docker::table;

/// When a change of a key holds, in words; none where the key alone has no effect.
pub(super) fn when(effect: Effect) -> Option<String> {
    match effect {
        Effect::Service(names) => Some(format!(
            "after: sudo ros config apply, which restarts {}, or after a reboot",
            names.replace(", ", " and ")
        )),
        Effect::Boot => Some("after: sudo ros config apply, or after a reboot".to_owned()),
        Effect::EarlyBoot => Some("after a reboot".to_owned()),
        Effect::Command(command) => Some(format!("with the next `{command}`")),
        Effect::Given(_)
        | Effect::Always(_)
        | Effect::NotDone(_)
        | Effect::Never(_)
        | Effect::Only(..)
        | Effect::CommandLine(_)
        | Effect::Inside => None,
    }
}

/// What a file asks for that only the kernel command line can give: the boot has read it long before.
pub(super) fn too_late<'p>(problems: &'p [Problem], file: &Path) -> Vec<&'p Problem> {
    let is_late = |key: &str| {
        let effect = schema::field(key).map(|field| field.effect);
        matches!(effect, Some(Effect::CommandLine(_)))
    };
    let mut found: Vec<&Problem> = problems.iter().collect();
    found.retain(|problem| Path::new(&*problem.at.file) == file && is_late(&problem.key));
    found
}

/// Each value that is not the built-in one, with its place.
pub(super) fn diff(format: Format) -> anyhow::Result<ExitCode> {
    let mut tree = MachineConfig::load().loaded.tree;
    secrets::take_out(&mut tree);
    let mut leaves = Vec::new();
    collect(&tree, String::new(), &mut leaves);
    leaves.retain(|(_, node)| node.at.line > 0 && &*node.at.file != machine_config::BUILT_IN);
    let hold = |key: &str| {
        schema::field(key)
            .and_then(|field| when(field.effect))
            .unwrap_or_default()
    };
    let all: Vec<serde_json::Value> = leaves
        .iter()
        .map(|(key, node)| json!({"key": key, "value": node.to_json(), "at": node.at.to_string(), "a change holds": hold(key)}))
        .collect();
    if print_json(&all.into(), format)? {
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = leaves
        .iter()
        .map(|(key, node)| {
            vec![
                key.clone(),
                table::ellipsis(&node.to_json().to_string(), 48),
                node.at.to_string(),
            ]
        })
        .collect();
    print!("{}", table::format(&["KEY", "VALUE", "FROM"], &rows));
    Ok(ExitCode::SUCCESS)
}

fn collect<'n>(node: &'n Node, path: String, leaves: &mut Vec<(String, &'n Node)>) {
    match &node.value {
        Value::Map(map) if !map.is_empty() => {
            for (key, entry) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                collect(&entry.node, path, leaves);
            }
        }
        _ => leaves.push((path, node)),
    }
}

/// The images that the configuration's services name.
pub(super) fn images(input: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = match input {
        Some(_) => {
            let (name, text) = input_text(input)?;
            config::load(
                &[Source {
                    name: &name,
                    text: &text,
                }],
                &CommandLine::default(),
            )
            .config
        }
        None => MachineConfig::load().loaded.config,
    };
    let images: BTreeSet<String> = config
        .rancher
        .services
        .into_values()
        .filter_map(|service| service.image)
        .collect();
    for image in images {
        println!("{image}");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_kernel_command_line_is_not_said_to_hold_after_a_reboot() {
        let text = "rancher: {state: {dev: LABEL=A}, ssh: {prt: 1}}";
        let load = |name| {
            let source = Source { name, text };
            config::load(&[source], &CommandLine::default()).problems
        };
        let effect = |key| schema::field(key).map(|field| field.effect);
        assert_eq!(effect("rancher.state.dev").and_then(when), None);
        assert!(
            effect("rancher.cloud_init.datasources")
                .and_then(when)
                .is_some()
        );
        let problems = load("own.yml");
        let late = too_late(&problems, Path::new("own.yml"));
        assert_eq!(late.len(), 1, "{problems:?}");
        assert_eq!(late[0].key, "rancher.state.dev");
        assert!(too_late(&load("other.yml"), Path::new("own.yml")).is_empty());
    }
}

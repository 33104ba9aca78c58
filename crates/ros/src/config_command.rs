//! `ros config`: print and check the configuration.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use config::schema::CLOUD_CONFIG;
use config::{Node, Problem, Severity, Value, check, emit, parse};

use crate::cli::Config;
use crate::machine_config::MachineConfig;

/// Keys that `export` leaves out unless it is asked for them (RancherOS's `PrivateKeys`, and what is secret besides).
const PRIVATE: &[&[&str]] = &[
    &["rancher", "docker", "ca_key"],
    &["rancher", "docker", "ca_cert"],
    &["rancher", "docker", "server_cert"],
    &["rancher", "docker", "server_key"],
    &["rancher", "password"],
    &["rancher", "registry_auths"],
    &["rancher", "ssh", "keys"],
];

/// Runs one of the subcommands.
pub(crate) fn main(command: &Config) -> anyhow::Result<ExitCode> {
    match command {
        Config::Get { key } => {
            let machine = MachineConfig::load();
            // RancherOS prints an empty line for a key that is not set.
            match machine.loaded.tree.get(key) {
                Some(node) => print!("{}", emit::to_yaml(node)),
                None => println!(),
            }
            Ok(ExitCode::SUCCESS)
        }
        Config::Export {
            output,
            private,
            full,
        } => export(output.as_deref(), *private, *full),
        Config::Validate { input } => validate(input.as_deref()),
    }
}

fn export(output: Option<&Path>, private: bool, full: bool) -> anyhow::Result<ExitCode> {
    let machine = if full {
        MachineConfig::load()
    } else {
        MachineConfig::load_own()
    };
    let mut tree = machine.loaded.tree;
    if !full {
        // Set by the loader itself, not by the machine.
        remove(&mut tree, &["rancher", "environment", "VERSION"]);
    }
    if !private {
        for path in PRIVATE {
            remove(&mut tree, path);
        }
    }
    let yaml = emit::to_yaml(&tree);
    match output {
        Some(path) => cloud_init::store::write_atomic(path, yaml.as_bytes(), 0o600)?,
        None => print!("{yaml}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes a key out, and the maps above it that are empty then.
fn remove(node: &mut Node, path: &[&str]) {
    let (Value::Map(map), Some((first, rest))) = (&mut node.value, path.split_first()) else {
        return;
    };
    if rest.is_empty() {
        map.remove(*first);
        return;
    }
    if let Some(entry) = map.get_mut(*first) {
        remove(&mut entry.node, rest);
        if entry
            .node
            .as_map()
            .is_some_and(std::collections::BTreeMap::is_empty)
        {
            map.remove(*first);
        }
    }
}

fn validate(input: Option<&Path>) -> anyhow::Result<ExitCode> {
    let problems = match input {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            problems_of(&path.display().to_string(), &text)
        }
        None if sys::tty::is_terminal(std::io::stdin()) => MachineConfig::load().loaded.problems,
        None => {
            let mut text = String::new();
            let limit = config::MAX_DOCUMENT_BYTES as u64 + 1;
            std::io::stdin()
                .take(limit)
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            problems_of("standard input", &text)
        }
    };
    for problem in &problems {
        eprintln!("{problem}");
    }
    let failed = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn problems_of(name: &str, text: &str) -> Vec<Problem> {
    match parse(name, text) {
        Ok((node, mut problems)) => {
            check(node, &CLOUD_CONFIG, &mut problems);
            problems
        }
        Err(problem) => vec![problem],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_taken_out_with_the_maps_they_leave_empty() {
        let (mut node, _) = parse(
            "t",
            "hostname: a\nrancher: {ssh: {keys: {rsa: x}}, password: p}",
        )
        .unwrap();
        for path in PRIVATE {
            remove(&mut node, path);
        }
        assert_eq!(emit::to_yaml(&node), "hostname: a\n");
    }

    #[test]
    fn problems_of_a_file_are_found() {
        assert!(problems_of("t", "hostname: a\n").is_empty());
        assert_eq!(
            problems_of("t", "hostnam: a\n")[0].severity,
            Severity::Warning
        );
        assert_eq!(
            problems_of("t", "hostname: [a]\n")[0].severity,
            Severity::Error
        );
        assert_eq!(problems_of("t", "a: [\n")[0].severity, Severity::Error);
    }
}

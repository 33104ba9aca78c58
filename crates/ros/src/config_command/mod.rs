//! `ros config`: read, check and change the configuration.

mod advice;
pub(crate) mod apply;
mod links;
mod network;
pub(crate) mod secrets;
mod show;
mod validate;

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use config::schema::CLOUD_CONFIG;
use config::{Node, Problem, check, emit};

use crate::cli::{Config, Format};
use crate::machine_config::MachineConfig;
use crate::own_file::{OwnFile, remove};

/// Runs one of the subcommands.
pub(crate) fn main(command: &Config) -> anyhow::Result<ExitCode> {
    match command {
        Config::Get { key } => get(key),
        Config::Set { key, value } => {
            let mut file = OwnFile::read()?;
            let problems = file.set(key, value)?;
            keep(&file, &problems, Some(key))
        }
        Config::Merge { input } => {
            let (name, text) = input_text(input.as_deref())?;
            let mut file = OwnFile::read()?;
            let problems = file.merge(&name, &text)?;
            keep(&file, &problems, None)
        }
        Config::Export {
            output,
            private,
            full,
        } => export(output.as_deref(), *private, *full),
        Config::Validate { input } => validate::main(input.as_deref()),
        Config::Diff { format } => show::diff(*format),
        Config::Apply {
            confirm,
            dry_run,
            format,
        } => apply::apply(confirm.as_ref().map(Option::as_deref), *dry_run, *format),
        Config::Confirm => apply::confirm(),
        Config::Revert => apply::revert(),
        Config::Images { input } => show::images(input.as_deref()),
        Config::Generate => bail!(
            "generate fills in templates of RancherOS's own build; this system's os-config.yml is not a template. \
             To see the configuration: ros config export --full"
        ),
        Config::Syslinux => {
            bail!("this system boots by GRUB: see `ros config set` and the boot menu's `e` key")
        }
    }
}

fn get(key: &str) -> anyhow::Result<ExitCode> {
    let machine = MachineConfig::load();
    match machine.loaded.tree.get(key) {
        Some(node) => print!("{}", emit::to_yaml(node)),
        // RancherOS prints an empty line for a key that is not set; a key that does not exist is a mistake.
        None if config::schema::field(key).is_some() || key.is_empty() => println!(),
        None => {
            let mut problems = Vec::new();
            let mut tree = Node::empty();
            let parts: Vec<&str> = key.split('.').collect();
            let at = config::Location::built_in();
            tree.set(
                &parts,
                &at,
                Node::new(at.clone(), config::Value::String("x".into())),
            );
            check(tree, &CLOUD_CONFIG, &mut problems);
            let words = problems.first().map_or_else(
                || "it is not set".to_owned(),
                |problem| problem.message.clone(),
            );
            println!();
            bail!(
                "{key}: {}",
                words
                    .trim_end_matches(" it is ignored")
                    .trim_end_matches("; it is ignored")
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the file and says what its owner should know, and when the change holds.
fn keep(file: &OwnFile, problems: &[Problem], key: Option<&str>) -> anyhow::Result<ExitCode> {
    file.write()?;
    for problem in problems {
        eprintln!("{}: {}", problem.key, problem.message);
    }
    for problem in show::too_late(&MachineConfig::load().loaded.problems, file.path()) {
        eprintln!("{}: {}", problem.key, problem.message);
    }
    if let Some(field) = key.and_then(config::schema::field)
        && let Some(when) = show::when(field.effect)
    {
        eprintln!("saved in {}; it holds {when}", file.path().display());
    }
    Ok(ExitCode::SUCCESS)
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
        for name in machine_config::defaults::NAMES {
            let node = tree.get(&format!("rancher.environment.{name}"));
            if node.is_some_and(|node| &*node.at.file == machine_config::defaults::NAME) {
                remove(&mut tree, &["rancher", "environment", name]);
            }
        }
    }
    if !private {
        secrets::take_out(&mut tree);
    }
    let yaml = emit::to_yaml(&tree);
    match output {
        Some(path) => cloud_init::store::write_atomic(path, yaml.as_bytes(), 0o600)?,
        None => print!("{yaml}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// A file, or standard input.
fn input_text(input: Option<&Path>) -> anyhow::Result<(String, String)> {
    if let Some(path) = input {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        return Ok((path.display().to_string(), text));
    }
    let mut text = String::new();
    let limit = config::MAX_DOCUMENT_BYTES as u64 + 1;
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .context("cannot read standard input")?;
    Ok(("standard input".to_owned(), text))
}

/// Lines of `KEY VALUE`, or JSON.
fn print_json(value: &serde_json::Value, format: Format) -> anyhow::Result<bool> {
    if format == Format::Json {
        println!("{}", serde_json::to_string_pretty(value)?);
    }
    Ok(format == Format::Json)
}

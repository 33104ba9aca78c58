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
    print!("{}", value(&machine.loaded.tree, key)?);
    Ok(ExitCode::SUCCESS)
}

/// The value of a key as YAML. RancherOS printed an empty line for one that is not set, which a script cannot tell from an empty
/// text.
fn value(tree: &Node, key: &str) -> anyhow::Result<String> {
    if let Some(node) = tree.get(key).filter(|node| !node.value.is_nothing()) {
        return Ok(emit::to_yaml(node));
    }
    match unknown(key) {
        Some(message) => bail!("{key}: {message}"),
        None => bail!("{key} is not set"),
    }
}

/// What is to be said of a key that the schema does not know: the nearest that it knows, if there is one.
fn unknown(key: &str) -> Option<String> {
    if config::schema::field(key).is_some() {
        return None;
    }
    let at = config::Location::built_in();
    let mut tree = Node::empty();
    let parts: Vec<&str> = key.split('.').collect();
    let anything = Node::new(at.clone(), config::Value::String("x".into()));
    tree.set(&parts, &at, anything);
    let mut problems = Vec::new();
    check(tree, &CLOUD_CONFIG, &mut problems);
    let message = problems.into_iter().next()?.message;
    // Here nothing is ignored.
    let end = [". It is ignored", " it is ignored"];
    let words = end.iter().find_map(|end| message.strip_suffix(end));
    Some(
        words
            .unwrap_or(&message)
            .trim_end_matches([',', ';'])
            .to_owned(),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_set_is_told_from_an_empty_one() {
        let text = "hostname: ''\nrancher: {debug: ~, network: {dns: {search: []}}, services: {a: {image: b}}}";
        let (tree, _) = config::parse("t", text).unwrap();
        for (key, wanted) in [
            ("hostname", "\"\"\n"),
            ("rancher.network.dns.search", "[]\n"),
            ("rancher.services.a.image", "b\n"),
        ] {
            assert_eq!(value(&tree, key).unwrap(), wanted, "{key}");
        }
        for key in [
            "rancher.debug",
            "rancher.network.interfaces",
            "rancher.services.b",
            "rancher.services.a.command",
            "rancher.environment.A",
            "write_files.0.path",
            "rancher",
        ] {
            let error = value(&Node::empty(), key).unwrap_err().to_string();
            assert_eq!(error, format!("{key} is not set"));
        }
        assert!(value(&tree, "rancher.debug").is_err());
    }

    #[test]
    fn a_key_that_is_not_known_gets_the_nearest_one() {
        for (key, words) in [
            (
                "rancher.netwrk",
                "rancher.netwrk: unknown key, did you mean \"rancher.network\"?",
            ),
            (
                "rancher.netwrk.dns",
                "rancher.netwrk.dns: unknown key, did you mean \"rancher.network\"?",
            ),
            (
                "rancher.services.a.imag",
                "rancher.services.a.imag: unknown key, did you mean \"rancher.services.a.image\"?",
            ),
            (
                "rancher.docker.pidfile",
                "rancher.docker.pidfile: unknown key: it is daemon.json's word: use rancher.docker.pid_file",
            ),
            ("xyzzy", "xyzzy: unknown key"),
        ] {
            let error = value(&Node::empty(), key).unwrap_err().to_string();
            assert_eq!(error, words);
        }
    }
}

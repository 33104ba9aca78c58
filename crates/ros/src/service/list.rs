//! `ros service list`: services that are included, those that could be, and with `--all` the system's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use config::{Config, include};
use machine_config::CONF;
use machine_config::catalogue::{Place, indexes};
use serde_json::json;

use super::fetch;
use crate::cli::Format;
use crate::machine_config::MachineConfig;

/// Prints `enabled|disabled NAME`, as RancherOS does; `update` asks the repositories for their lists first. A repository that
/// does not answer is said, its kept list is printed, and the exit code is 1.
///
/// # Errors
/// Names that cannot be written as JSON.
pub(super) fn main(all: bool, update: bool, format: Format) -> anyhow::Result<ExitCode> {
    let machine = MachineConfig::load();
    let config = &machine.loaded.config;
    let mut code = ExitCode::SUCCESS;
    if update {
        for place in indexes(config, Path::new(CONF)) {
            if let Err(error) = refresh(config, &place) {
                eprintln!("ros: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    print(&rows(config, all), format)?;
    Ok(code)
}

/// Fetches a repository's list; a folder has its own.
fn refresh(config: &Config, place: &Place) -> anyhow::Result<()> {
    let Place::Kept { url, file } = place else {
        return Ok(());
    };
    let text = fetch::get(config, url)?;
    include::index(url, &text).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    fetch::store(file, &text)
}

/// The names, in alphabetical order, and whether each is on.
fn rows(config: &Config, all: bool) -> BTreeMap<String, bool> {
    let rancher = &config.rancher;
    let mut rows: BTreeMap<String, bool> = include::built_in_names()
        .map(|name| (name.to_owned(), false))
        .collect();
    for place in indexes(config, Path::new(CONF)) {
        // A list that was never fetched, or a folder without one, has nothing to say
        let Ok(text) = fs::read_to_string(place.file()) else {
            continue;
        };
        match include::index(&place.file().display().to_string(), &text) {
            Ok(names) => rows.extend(names.into_iter().map(|name| (name, false))),
            Err(problem) => eprintln!("ros: {problem}"),
        }
    }
    if all {
        rows.extend(rancher.services.keys().map(|name| (name.clone(), true)));
    }
    let included = rancher.services_include.iter();
    rows.extend(included.map(|(name, on)| (name.clone(), *on)));
    rows
}

fn print(rows: &BTreeMap<String, bool>, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        let rows: Vec<serde_json::Value> = rows
            .iter()
            .map(|(name, on)| json!({"name": name, "enabled": on}))
            .collect();
        let text = serde_json::to_string_pretty(&rows).context("not JSON")?;
        println!("{text}");
        return Ok(());
    }
    for (name, on) in rows {
        println!("{:<8} {name}", if *on { "enabled" } else { "disabled" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_included_is_listed_and_what_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.yml"), "services: [web, db]\n").unwrap();
        let text = format!(
            "rancher: {{repositories: {{own: {{url: {}}}}}, services_include: {{db: true}}, services: {{ntp: {{image: a}}}}}}",
            folder.path().display()
        );
        let source = config::Source {
            name: "t.yml",
            text: &text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let listed: Vec<(String, bool)> = rows(&loaded.config, false).into_iter().collect();
        let expected = [("db", true), ("web", false), ("wifi", false)];
        assert_eq!(listed, expected.map(|(name, on)| (name.to_owned(), on)));
        assert!(rows(&loaded.config, true)["ntp"]);
    }
}

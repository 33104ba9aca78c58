//! Services of catalogues that the configuration has on and that nobody has fetched yet, as at the first boot of a machine: their files
//! are fetched as soon as their repository answers, and they are started. Nothing waits for that.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use config::Config;
use config::include::{Include, includes};
use machine_config::{CONF, catalogue};

use super::{fetch, plan, up};
use crate::machine_config::MachineConfig;
use crate::problems;

/// Pauses between two tries, and how long it is tried: as for images of services (crates/init/src/services/start.rs).
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(3600);
/// Subject of what the owner is told.
const SUBJECT: &str = "catalogue";
/// A container that is right already stays.
const START: up::Options = up::Options {
    start: true,
    foreground: false,
    force: false,
    keep: false,
};

/// Fetches what is missing, and starts it.
pub(crate) fn fetch_missing() {
    let machine = MachineConfig::load();
    let mut late = Late {
        missing: missing(&machine, Path::new(CONF)),
        unstarted: BTreeSet::new(),
    };
    let end = Instant::now() + PATIENCE;
    let (mut pause, mut told) = (FIRST_PAUSE, String::new());
    while !late.is_done() {
        let words = late.go_on(&machine.loaded.config).join("; ");
        if words != told {
            problems::clear(SUBJECT);
            if !words.is_empty() {
                problems::warn(SUBJECT, &words);
            }
            told = words;
        }
        if late.is_done() || Instant::now() + pause > end {
            return;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What is still to do.
struct Late {
    /// Names in catalogues.
    missing: Vec<String>,
    /// Names of services that came with files that were fetched.
    unstarted: BTreeSet<String>,
}

impl Late {
    fn is_done(&self) -> bool {
        self.missing.is_empty() && self.unstarted.is_empty()
    }

    /// One try. What failed.
    fn go_on(&mut self, config: &Config) -> Vec<String> {
        let mut errors = Vec::new();
        let known = services(&MachineConfig::load());
        self.missing
            .retain(|name| match fetch::fetch(config, name) {
                Ok(()) => false,
                Err(error) => {
                    errors.push(format!("{error:#}"));
                    true
                }
            });
        let now = MachineConfig::load();
        self.unstarted.extend(&services(&now) - &known);
        let added = std::mem::take(&mut self.unstarted);
        // One with an error in its definition is not in the plan: `ros status` says it
        let steps = plan(&now).steps.into_iter();
        for step in steps.filter(|step| added.contains(&step.name)) {
            if let Err(error) = up::up(std::slice::from_ref(&step), START) {
                errors.push(format!("{error:#}"));
                self.unstarted.insert(step.name);
            }
        }
        errors
    }
}

/// Names of services of catalogues that are on and not here.
fn missing(machine: &MachineConfig, conf: &Path) -> Vec<String> {
    let config = &machine.loaded.config;
    let all = includes(&machine.loaded).into_iter();
    all.filter_map(|include| match include {
        Include::Catalogue(name) => {
            let is_here = catalogue::file(config, &name, conf).is_some();
            (!is_here && catalogue::is_elsewhere(config, &name, conf)).then_some(name)
        }
        _ => None,
    })
    .collect()
}

fn services(machine: &MachineConfig) -> BTreeSet<String> {
    let services = machine.loaded.config.rancher.services.keys();
    services.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_and_not_here_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        let text = "rancher: {repositories: {own: {url: 'http://r.example'}}, services_include: {here: true, far: true, off: false, wifi: true}}";
        let source = config::Source {
            name: "t.yml",
            text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        let here = catalogue::places(&loaded.config, "here", &conf);
        fetch::store(here[0].file(), "here: {image: i}").unwrap();
        let mut machine = MachineConfig {
            loaded,
            ..MachineConfig::default()
        };
        assert_eq!(missing(&machine, &conf), ["far"]);
        let repositories = &mut machine.loaded.config.rancher.repositories;
        repositories.get_mut("own").unwrap().url = Some("/opt/catalogue".to_owned());
        assert!(missing(&machine, &conf).is_empty());
    }
}

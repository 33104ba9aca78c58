//! Services of catalogues that the configuration has on and that nobody has fetched yet, as at the first boot of a machine: their files
//! are fetched as soon as their repository answers, and they are started, once. Nothing waits for that.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use compose::Step;
use config::{Config, include};
use engine_api::{Client, aside};
use machine_config::{CONF, catalogue};

use super::{fetch, plan, socket, up};
use crate::machine_config::MachineConfig;
use crate::problems;

/// Pauses between two tries, and how long it is tried: as for images of services (crates/init/src/services/start.rs).
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(3600);
/// What is missing is said after this time: a network and User Docker take some of it at every boot.
const QUIET: Duration = Duration::from_secs(60);
/// Longest wait for one service to be made and started, with the pull of its image.
const START_DEADLINE: Duration = Duration::from_secs(600);
/// Names of services that were fetched and not started yet: a console that restarts goes on with them.
const UNSTARTED: &str = "/run/rancher/late-services.json";
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
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    let kept = fs::read(UNSTARTED).unwrap_or_default();
    let mut late = Late {
        unstarted: serde_json::from_slice(&kept).unwrap_or_default(),
        ..Late::default()
    };
    loop {
        let machine = MachineConfig::load();
        late.fetch(&machine);
        late.start();
        if late.failed.is_empty() {
            return problems::clear(SUBJECT);
        }
        let names: BTreeSet<String> = late.failed.iter().map(|(name, _)| name.clone()).collect();
        if begun.elapsed() > QUIET && names != late.told {
            problems::clear(SUBJECT);
            for (_, words) in &late.failed {
                problems::warn(SUBJECT, words);
            }
            late.told = names;
        }
        if begun.elapsed() + pause > PATIENCE {
            return;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[derive(Default)]
struct Late {
    /// Services of files that were fetched, until they were started.
    unstarted: BTreeSet<String>,
    /// What the last try could not do: a name, and why.
    failed: Vec<(String, String)>,
    /// Names that the owner was told.
    told: BTreeSet<String>,
}

impl Late {
    /// One try for what is on and not here now.
    fn fetch(&mut self, machine: &MachineConfig) {
        let config = &machine.loaded.config;
        for (name, _) in std::mem::take(&mut self.failed) {
            // `ros service enable` has fetched it meanwhile
            if !machine.unfetched.contains_key(&name) {
                self.unstarted
                    .extend(services_of(config, &name).unwrap_or_default());
            }
        }
        for name in machine.unfetched.keys() {
            let fetched = fetch::fetch(config, name).and_then(|()| services_of(config, name));
            match fetched {
                Ok(services) => {
                    self.unstarted.extend(services);
                    self.keep();
                }
                Err(error) => self.failed.push((name.clone(), format!("{error:#}"))),
            }
        }
    }

    /// Starts what was fetched. One that has a container is not started again: somebody may have stopped it.
    fn start(&mut self) {
        let fetched = std::mem::take(&mut self.unstarted);
        if fetched.is_empty() {
            return;
        }
        // One that was switched off meanwhile, or has an error in its definition, is not in the plan
        let steps = plan(&MachineConfig::load()).steps.into_iter();
        for step in steps.filter(|step| fetched.contains(&step.name)) {
            if let Err(error) = start(&step) {
                self.failed
                    .push((step.name.clone(), format!("{}: {error:#}", step.name)));
                self.unstarted.insert(step.name);
            }
        }
        self.keep();
    }

    fn keep(&self) {
        let kept = serde_json::to_vec(&self.unstarted).map_err(std::io::Error::other);
        // The restart of a console is rare, and the next boot starts all that is here
        let _ = kept.and_then(|text| fs::write(UNSTARTED, text));
    }
}

/// The services of a file that is here.
fn services_of(config: &Config, name: &str) -> anyhow::Result<Vec<String>> {
    let file = catalogue::file(config, name, Path::new(CONF)).context("it was not kept")?;
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut loaded = config::Loaded::default();
    include::add(&mut loaded, name, &text);
    Ok(loaded.config.rancher.services.into_keys().collect())
}

/// # Errors
/// When there is no container then, so that it can be tried again. One that there is and that does not start is said at once.
fn start(step: &Step) -> anyhow::Result<()> {
    system_docker::event_loop()?.block_on(async {
        let client = Client::new(socket(step.scope));
        let name = step.container_name.as_str();
        if aside::find(&client, name).await?.is_some() {
            return Ok(());
        }
        let error = match tokio::time::timeout(START_DEADLINE, up::one(step, START)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("not started after {} s", START_DEADLINE.as_secs()),
        };
        if matches!(aside::find(&client, name).await, Ok(Some(_))) {
            problems::warn("services", &format!("{}: {error:#}", step.name));
            return Ok(());
        }
        Err(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_fetched_names_the_services_to_start() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("w")).unwrap();
        let text = "services: {web: {image: i}, db: {image: i}}";
        fs::write(folder.path().join("w/web.yml"), text).unwrap();
        let mut config = Config::default();
        let repository = config::cloud_config::Repository {
            url: Some(folder.path().display().to_string()),
        };
        config
            .rancher
            .repositories
            .insert("own".to_owned(), repository);
        assert_eq!(services_of(&config, "web").unwrap(), ["db", "web"]);
        assert!(services_of(&config, "other").is_err());
    }
}

//! What a version has to do before it is kept, as a table: the cheap ones first, what takes time last.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::Rancher;
use engine_api::Client;
use sys::process::Command;

use super::facts::{self, Facts, USER_DOCKER, block_on};
use super::network::Network;
use super::outcome::{Checked, Kind, failed};
use super::steady::{Judged, Steady};
use super::{canary, containers, services};

/// A machine that is judged.
pub(super) struct Machine<'a> {
    /// What worked before.
    pub(super) facts: &'a Facts,
    /// Its configuration.
    pub(super) rancher: &'a Rancher,
    /// Whether the canary has sung already: a machine that waits for its cable does not make containers for hours.
    pub(super) sung: Cell<bool>,
    /// What ran when all other checks had passed first, or since something of it has started again.
    pub(super) steady: RefCell<Option<Steady>>,
}

impl Machine<'_> {
    fn has_docker(&self) -> bool {
        has_docker(self.rancher)
    }
}

/// Whether User Docker is to run: the label `io.rancher.os.createonly` leaves it stopped.
pub(in crate::os) fn has_docker(rancher: &Rancher) -> bool {
    let docker = rancher.services.get("docker");
    docker.is_some_and(|service| !service.is_create_only())
}

/// A check.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ask: fn(&Machine<'_>) -> Checked,
    /// Whether it can fail only because the network is out.
    pub(super) online: bool,
}

const fn check(name: &'static str, ask: fn(&Machine<'_>) -> Checked) -> Check {
    Check {
        name,
        ask,
        online: false,
    }
}

const fn online(name: &'static str, ask: fn(&Machine<'_>) -> Checked) -> Check {
    Check {
        name,
        ask,
        online: true,
    }
}

/// All checks, in the order in which they are asked.
pub(super) const CHECKS: &[Check] = &[
    check("services", services),
    check("clock", |machine| Ok(clock(machine)?)),
    check("state", state),
    check("network", |machine| {
        network(machine.facts, &Network::look())
    }),
    check("docker", |machine| Ok(docker(machine)?)),
    online("containers", |machine| Ok(containers(machine)?)),
    online("own checks", |machine| Ok(own(machine)?)),
    check("canary", |machine| Ok(canary(machine)?)),
    online("steady", steady),
];

/// A clock that is wrong by less is mended by ntp, and a battery may be empty.
const CLOCK_SLACK_SECONDS: u64 = 24 * 3600;
/// Longest run of a command of the user's.
const OWN_DEADLINE: Duration = Duration::from_secs(60);

/// No service starts again and again, and those that ran before run.
fn services(machine: &Machine<'_>) -> Checked {
    let states = facts::service_states()?;
    let wanted = machine.facts.services.iter();
    // As far as this version has them
    let wanted = wanted.filter(|name| machine.rancher.services.contains_key(*name));
    services::judge(wanted, &states, facts::exit_code)
}

/// Time does not go back: certificates and logs would be wrong, and a version that broke the clock would not be noticed.
fn clock(machine: &Machine<'_>) -> anyhow::Result<()> {
    ensure!(
        facts::now() + CLOCK_SLACK_SECONDS >= machine.facts.time,
        "the clock is behind the time at which this version was armed"
    );
    Ok(())
}

/// What was on a disk is on it again, and can be written. PID 1 has waited for the disk, and does not mount it later.
fn state(machine: &Machine<'_>) -> Checked {
    if !machine.facts.state {
        return Ok(());
    }
    if !facts::state_is_on_disk() {
        return failed(
            Kind::Definite,
            "the state partition, which was there before, is not mounted",
        );
    }
    let probe = Path::new("/var/lib/rancher/.upgrade-probe");
    judge_write(fs::write(probe, b"x").and_then(|()| fs::remove_file(probe)))
}

fn judge_write(written: std::io::Result<()>) -> Checked {
    match written {
        Ok(()) => Ok(()),
        Err(error) => {
            let kind = match error.kind() {
                ErrorKind::ReadOnlyFilesystem => Kind::Definite,
                _ => Kind::NotYet,
            };
            let reason = format!("the state partition cannot be written: {error}");
            failed(kind, reason)
        }
    }
}

/// Carrier, routes and name servers are at least as good as before.
fn network(before: &Facts, now: &Network) -> Checked {
    // A card that the version has lost, or does not switch on, is the version's fault
    if before.carriers > 0 && now.up >= before.carriers && now.carriers == 0 {
        return failed(Kind::NoCarrier, "no link has a carrier");
    }
    let (v4, v6) = before.routes;
    let missing = [
        (v4 && !now.routes.0, "there was a default route"),
        (v6 && !now.routes.1, "there was a default route of IPv6"),
        (before.dns && !now.dns, "there was a name server"),
    ];
    let Some((_, was)) = missing.iter().find(|(misses, _)| *misses) else {
        return Ok(());
    };
    // What is configured by hand does not depend on anybody's answer
    let asks = before.dhcp && now.dhcp && now.carriers > 0;
    let kind = if asks { Kind::NoAnswer } else { Kind::NotYet };
    failed(kind, format!("{was}, and there is none"))
}

/// User Docker answers, unless the configuration does not have it.
fn docker(machine: &Machine<'_>) -> anyhow::Result<()> {
    if !machine.has_docker() {
        return Ok(());
    }
    block_on(async {
        let client = Client::new(USER_DOCKER);
        client
            .container_list(false, false, &engine_api::Filters::default())
            .await?;
        Ok(())
    })
}

fn containers(machine: &Machine<'_>) -> anyhow::Result<()> {
    if !machine.has_docker() || machine.facts.containers.is_empty() {
        return Ok(());
    }
    containers::check(machine.facts)
}

/// The user's own commands of `rancher.upgrade.checks`.
fn own(machine: &Machine<'_>) -> anyhow::Result<()> {
    for command in &machine.rancher.upgrade.checks {
        let output = Command::new("sh")
            .args(["-c", command])
            .deadline(OWN_DEADLINE)
            .run()
            .with_context(|| format!("{command:?} cannot be run"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{command:?} failed: {}",
                said.lines().last().unwrap_or_default()
            );
        }
    }
    Ok(())
}

fn canary(machine: &Machine<'_>) -> anyhow::Result<()> {
    if !machine.has_docker() || machine.sung.get() {
        return Ok(());
    }
    // The canary takes a while, in which others may die
    machine
        .steady
        .replace(Some(Steady::look(machine.facts, true)?));
    let bridge = machine.rancher.docker.bridge.as_deref();
    canary::sing(!machine.facts.no_bridge && bridge != Some("none"))?;
    machine.sung.set(true);
    Ok(())
}

/// Nothing that runs has been started again for a while.
fn steady(machine: &Machine<'_>) -> Checked {
    let now = Steady::look(machine.facts, machine.has_docker())?;
    let mut first = machine.steady.borrow_mut();
    match first.as_ref().map(|first| first.judge(&now)) {
        Some(Judged::Steady) => return Ok(()),
        Some(Judged::TooEarly) => {}
        Some(Judged::Again(name)) => {
            first.replace(now);
            let reason = format!("{name} ends and is started again and again");
            return failed(Kind::NotYet, reason);
        }
        None => drop(first.replace(now)),
    }
    failed(Kind::Watching, "what runs is watched for a while")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine<'a>(facts: &'a Facts, rancher: &'a Rancher) -> Machine<'a> {
        Machine {
            facts,
            rancher,
            sung: Cell::new(false),
            steady: RefCell::new(None),
        }
    }

    #[test]
    fn a_docker_that_is_left_stopped_is_not_asked() {
        let has = |text: &str| {
            let source = config::Source { name: "t", text };
            let loaded = config::load(&[source], &config::CommandLine::default());
            has_docker(&loaded.config.rancher)
        };
        assert!(has("rancher: {services: {docker: {image: x}}}"));
        assert!(!has(
            "rancher: {services: {docker: {image: x, labels: {io.rancher.os.createonly: 'true'}}}}"
        ));
        assert!(!has("hostname: a"));
    }

    #[test]
    fn a_clock_that_went_back_is_noticed() {
        let rancher = Rancher::default();
        let facts = Facts::default();
        let late = Facts {
            time: facts::now() + 2 * CLOCK_SLACK_SECONDS,
            ..Facts::default()
        };
        assert!(clock(&machine(&late, &rancher)).is_err(), "1970");
        assert!(clock(&machine(&facts, &rancher)).is_ok());
    }

    #[test]
    fn an_outage_is_told_from_a_version_without_a_network() {
        let before = Facts {
            routes: (true, false),
            dns: true,
            carriers: 1,
            dhcp: true,
            ..Facts::default()
        };
        let well = Network {
            routes: (true, true),
            dns: true,
            up: 1,
            carriers: 1,
            dhcp: true,
        };
        let gone = Network {
            routes: (false, false),
            ..well
        };
        for (now, expected) in [
            (well, None),
            // Addresses that were set by hand stay while the cable is out
            (
                Network {
                    carriers: 0,
                    ..well
                },
                Some(Kind::NoCarrier),
            ),
            (
                Network {
                    carriers: 0,
                    ..gone
                },
                Some(Kind::NoCarrier),
            ),
            (gone, Some(Kind::NoAnswer)),
            (Network { dns: false, ..well }, Some(Kind::NoAnswer)),
            // Nobody asks; the card is gone, or is not switched on
            (
                Network {
                    dhcp: false,
                    ..gone
                },
                Some(Kind::NotYet),
            ),
            (
                Network {
                    up: 0,
                    carriers: 0,
                    ..gone
                },
                Some(Kind::NotYet),
            ),
        ] {
            let kind = network(&before, &now).err().map(|failure| failure.kind);
            assert_eq!(kind, expected, "{now:?}");
        }
        let by_hand = Facts {
            dhcp: false,
            ..before
        };
        let kind = network(&by_hand, &gone).err().map(|failure| failure.kind);
        assert_eq!(kind, Some(Kind::NotYet));
        assert!(network(&Facts::default(), &Network::default()).is_ok());
    }

    #[test]
    fn a_disk_that_is_read_only_stays_so_and_a_full_one_may_not() {
        let kind = |kind: ErrorKind| judge_write(Err(kind.into())).unwrap_err().kind;
        assert_eq!(kind(ErrorKind::ReadOnlyFilesystem), Kind::Definite);
        assert_eq!(kind(ErrorKind::StorageFull), Kind::NotYet);
        assert!(judge_write(Ok(())).is_ok());
    }

    #[test]
    fn own_checks_are_commands() {
        let text = "rancher: {upgrade: {checks: ['true', 'echo no disk >&2; exit 3']}}";
        let source = config::Source { name: "t", text };
        let rancher = config::load(&[source], &config::CommandLine::default())
            .config
            .rancher;
        let facts = Facts::default();
        let error = own(&machine(&facts, &rancher)).unwrap_err();
        assert!(error.to_string().ends_with("failed: no disk"), "{error}");
    }
}

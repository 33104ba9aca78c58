//! What the machine does while its disk is recorded, and what it has promised by then.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::log::Log;
use crate::artifacts::Artifacts;
use crate::guest::Guest;
use crate::machine::{Boot, Machine};

/// Settings that are written one after the other.
const SETTINGS: usize = 12;

/// What a command has promised by returning.
#[derive(Debug)]
pub(super) struct Promise {
    /// Operations in the log when it had returned.
    at: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `rancher.environment.CRASH` has at least this value.
    Setting(usize),
    /// System Docker has an image of this name, whose content is whole.
    Image(&'static str),
    /// System Docker has a container of this name.
    Container(&'static str),
    /// System Docker does not have a container of this name.
    NoContainer(&'static str),
    /// User Docker has a volume of this name with the file `note`.
    Volume(&'static str),
}

/// What happened to the recorded disk.
pub(super) struct Told {
    promises: Vec<Promise>,
    /// Operations that a first boot has done before anything was promised.
    pub(super) formatted: usize,
}

impl Told {
    /// Those that held before the power was cut at an operation. A later one of a kind takes the place of an earlier one.
    pub(super) fn made_before(&self, cut: usize) -> Vec<&Promise> {
        let made: Vec<&Promise> = self
            .promises
            .iter()
            .filter(|promise| promise.at <= cut)
            .collect();
        let is_over = |promise: &Promise| match promise.kind {
            // From the next command on it may go: that it returned later does not tell when.
            Kind::Container(name) => self
                .promises
                .iter()
                .any(|other| matches!(other.kind, Kind::NoContainer(gone) if gone == name)),
            _ => false,
        };
        made.into_iter()
            .filter(|promise| !is_over(promise))
            .collect()
    }
}

/// Boots a machine on a disk and lives in it; the machine is killed at the end.
pub(super) fn live(artifacts: &Artifacts, log: &Log, disk: &Path) -> anyhow::Result<Told> {
    let arguments = log.arguments(disk);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let guest = Machine::new("crash", Boot::Kernel)
        .in_ram()
        .arguments(&arguments)
        .memory_mib(1536)
        .start(artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    let mut told = Told {
        promises: Vec::new(),
        formatted: 0,
    };
    let mut does = |command: &str, kind: Kind| -> anyhow::Result<()> {
        guest.run(command)?;
        let at = log.entries()?.len();
        told.promises.push(Promise { at, kind });
        Ok(())
    };
    for value in 1..=SETTINGS {
        does(
            &format!("sudo ros config set rancher.environment.CRASH v{value}v"),
            Kind::Setting(value),
        )?;
    }
    does(
        "docker save busybox | system-docker load -q",
        Kind::Image("busybox"),
    )?;
    does(
        "system-docker create --name kept busybox true",
        Kind::Container("kept"),
    )?;
    does(
        "system-docker run --name gone busybox true",
        Kind::Container("gone"),
    )?;
    does("system-docker rm gone", Kind::NoContainer("gone"))?;
    does(
        "docker run --rm -v data:/data busybox sh -c 'echo mine > /data/note; sync'",
        Kind::Volume("data"),
    )?;
    does(
        "system-docker tag busybox other && system-docker rmi other && system-docker image prune -f",
        Kind::Image("busybox"),
    )?;
    does(
        "system-docker tag $(system-docker inspect -f '{{.Image}}' acpid) acpid:again && sudo ros service upgrade acpid acpid:again",
        Kind::Container("acpid"),
    )?;
    Ok(told)
}

impl Promise {
    /// As far as the files say it.
    pub(super) fn is_kept_on(&self, image: &Path) -> anyhow::Result<()> {
        let Kind::Setting(value) = self.kind else {
            return Ok(());
        };
        let text = duct::cmd!("debugfs", "-R", format!("cat {SETTINGS_FILE}"), image)
            .stderr_null()
            .read()
            .context("debugfs")?;
        let found = text
            .split_once("CRASH: v")
            .and_then(|(_, rest)| rest.split_once('v'))
            .and_then(|(value, _)| value.parse::<usize>().ok());
        ensure!(
            found.is_some_and(|found| found >= value),
            "`ros config set` had returned for v{value}v, and {SETTINGS_FILE} has {text:?}"
        );
        Ok(())
    }

    /// As a user sees it.
    pub(super) fn is_kept_in(&self, guest: &Guest) -> anyhow::Result<()> {
        let command = match self.kind {
            Kind::Setting(_) => return Ok(()), // its file was looked at
            Kind::Image(name) => format!("system-docker run --rm {name} true"),
            Kind::Container(name) => format!("system-docker inspect {name} >/dev/null"),
            Kind::NoContainer(name) => format!("! system-docker inspect {name} >/dev/null 2>&1"),
            Kind::Volume(name) => {
                format!("test \"$(sudo cat /var/lib/docker/volumes/{name}/_data/note)\" = mine")
            }
        };
        guest
            .run(&command)
            .map(drop)
            .with_context(|| format!("{:?} was promised", self.kind))
    }
}

/// Where `ros config set` writes, on the state disk.
const SETTINGS_FILE: &str = "/var/lib/rancher/conf/cloud-config.yml";

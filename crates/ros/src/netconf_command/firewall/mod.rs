//! The firewall around commands of the configuration: what they do to it is noted (crate netconf, `firewall`), and taken back when they
//! are not in the configuration any more.
//!
//! The note lies in /run, since it ends with the boot as the rules do. A machine without commands reads one file that is not
//! there, and starts no program.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use config::cloud_config::Network;
use machine_config::lease_names::DIRECTORY;
use netconf::firewall::{Note, Restore, Texts, commands};
use sys::process::Command;

use super::loudly;

/// The note, in the directory of the service network; for root alone, since commands may have passwords.
const NOTE: &str = "firewall.json";
/// iptables and its relatives, in one program.
const PROGRAM: &str = "/usr/lib/rancher/docker/iptables/bin/xtables-nft-multi";
/// The families, by the beginning of their programs' names.
const FAMILIES: [&str; 2] = ["iptables", "ip6tables"];
/// Longest run of a program that reads or changes rules: some milliseconds, a second on an emulated machine.
const DEADLINE: Duration = Duration::from_secs(10);
/// What [`Command::run`] keeps of an output, some 10,000 rules: half a firewall says nothing.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// What helps against rules that stay.
const REBOOT: &str = "a reboot takes it back";

/// What commands did, and where that is noted.
#[derive(Debug)]
pub(super) struct Firewall {
    path: PathBuf,
    program: PathBuf,
    note: Note,
    /// What was said already: a program that is not there fails around every group.
    said: BTreeSet<String>,
}

impl Firewall {
    /// Takes back what commands did that are not those of this configuration.
    pub(super) fn start(network: &Network) -> Firewall {
        Firewall::start_in(PathBuf::from(DIRECTORY).join(NOTE), PROGRAM.into(), network)
    }

    fn start_in(path: PathBuf, program: PathBuf, network: &Network) -> Firewall {
        let mut firewall = Firewall {
            path,
            program,
            note: Note::new(commands(network)),
            said: BTreeSet::new(),
        };
        let earlier = match firewall.read() {
            Ok(Some(earlier)) => earlier,
            Ok(None) => return firewall,
            Err(error) => {
                firewall.say(&format!(
                    "what earlier commands did to the firewall is not known: {error:#}; {REBOOT}"
                ));
                firewall.forget();
                return firewall;
            }
        };
        let wanted = std::mem::replace(&mut firewall.note, earlier);
        if firewall.note.is_running() {
            // This program, or the machine's power, ended in the middle of them.
            firewall.end();
        }
        if firewall.note.commands != wanted.commands {
            firewall.undo();
            firewall.note = wanted;
            firewall.forget();
        }
        firewall
    }

    /// Runs the commands of a group, and notes what they do.
    pub(super) fn around(&mut self, group: &str, run: impl FnOnce()) {
        let before = self.look(FAMILIES);
        self.note.begin(group, before);
        self.write();
        run();
        self.end();
    }

    /// Notes what commands have done, and deletes what is there twice because they ran before.
    fn end(&mut self) {
        let after = self.look(FAMILIES);
        let ended = self.note.end(&after);
        for (family, restores) in &ended.twice {
            self.apply(family, restores, "a rule of the commands stays twice");
        }
        if ended.lost_docker {
            self.say(
                "commands deleted Docker's rules: `ros service restart docker` makes them again",
            );
        }
        self.write();
    }

    fn undo(&mut self) {
        for family in self.note.families() {
            let now = self.look([family.as_str()]);
            let Some(now) = now.get(&family) else {
                self.say(&format!(
                    "{family}: what earlier commands did to the firewall stays; {REBOOT}"
                ));
                continue;
            };
            let restores = self.note.undo(&family, now);
            for restore in &restores {
                println!("{family}: taken back: {restore}");
            }
            self.apply(&family, &restores, "what an earlier command did stays");
        }
    }

    /// Makes changes, a table at once; step by step where that is refused, so that one that cannot be made keeps no other one
    /// from being made.
    fn apply(&mut self, family: &str, restores: &[Restore], otherwise: &str) {
        for restore in restores {
            let Err(error) = self.restore(family, restore) else {
                continue;
            };
            eprintln!("{error:#}; trying it step by step");
            for step in restore.singly() {
                if let Err(error) = self.restore(family, &step) {
                    self.say(&format!("{otherwise}: {step}: {error:#}; {REBOOT}"));
                }
            }
        }
    }

    /// All rules of these families; one that cannot be read is said and left out.
    fn look<'a>(&mut self, families: impl IntoIterator<Item = &'a str>) -> Texts {
        let mut texts = Texts::new();
        for family in families {
            match self.run(&format!("{family}-save"), |command| command) {
                Ok(text) => drop(texts.insert(family.to_owned(), text)),
                Err(error) => self.say(&format!(
                    "what commands do to the firewall is not noted: {error:#}"
                )),
            }
        }
        texts
    }

    fn restore(&self, family: &str, restore: &Restore) -> anyhow::Result<()> {
        self.run(&format!("{family}-restore"), |command| {
            command.arg("--noflush").stdin(restore.text())
        })
        .map(drop)
    }

    /// Runs one of the programs; its output.
    fn run(&self, name: &str, with: impl FnOnce(Command) -> Command) -> anyhow::Result<String> {
        let command = Command::new(&self.program).arg(name).deadline(DEADLINE);
        let output = with(command).run().with_context(|| name.to_owned())?;
        ensure!(
            output.status.success(),
            "{name}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        ensure!(
            output.stdout.len() < MAX_OUTPUT_BYTES,
            "{name} prints more than {MAX_OUTPUT_BYTES} bytes"
        );
        String::from_utf8(output.stdout).with_context(|| format!("{name} prints no text"))
    }

    fn read(&self) -> anyhow::Result<Option<Note>> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result.with_context(|| format!("cannot read {}", self.path.display()))?,
        };
        let note = serde_json::from_slice(&text);
        note.with_context(|| self.path.display().to_string())
            .map(Some)
    }

    fn write(&mut self) {
        let written = serde_json::to_vec(&self.note)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(cloud_init::store::write_atomic(&self.path, &text, 0o600)?));
        if let Err(error) = written {
            self.say(&format!(
                "what commands do to the firewall is not noted: {error:#}"
            ));
        }
    }

    fn forget(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                self.say(&format!("cannot remove {}: {error}", self.path.display()));
            }
            _ => {}
        }
    }

    fn say(&mut self, line: &str) {
        if self.said.insert(line.to_owned()) {
            loudly(line);
        }
    }
}

#[cfg(test)]
mod tests;

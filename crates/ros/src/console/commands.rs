//! Commands of the machine's owner: `bootcmd`, `runcmd`, a script as user data, start.sh and rc.local.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cloud_init::store;
use config::Config;
use config::cloud_config::{Command as Entry, Network};
use serde::{Deserialize, Serialize};
use sys::process::{Command, Signal};

use super::{CONF, files, report};

/// Longest run of one entry of `bootcmd`: logins wait for it, so it cannot hang for ever.
const BOOTCMD_DEADLINE: Duration = Duration::from_secs(60);

/// Which commands have run in this console's files ([`Commands`]): one that restarts does not run them again, and one that starts
/// from its image again does, since what they had done to its files is gone.
const DONE: &str = "/etc/rancher-commands-done";
/// Exists when the commands of this boot have run.
const BOOT_DONE: &str = "/run/rancher/runcmd-done";
/// There when user data came late: commands that are not those of [`DONE`] are still to be run.
const LATE: &str = "/run/rancher/runcmd-late";
/// Longest script that is compared with the one that has run, as user data may be.
const LONGEST_SCRIPT: u64 = cloud_init::user_data::MAX_BYTES;
/// One thread runs them, and another one waits: user data can come while the first commands run.
static RUNS: Mutex<()> = Mutex::new(());

/// Scripts that RancherOS ran, when they are executable.
const SCRIPTS: &[&str] = &["/opt/rancher/bin/start.sh", "/etc/rc.local"];

/// A command as a program with its arguments: strings go to the shell.
pub(crate) fn program(entry: &Entry) -> Command {
    match entry {
        Entry::Line(line) => Command::new("/bin/sh").args(["-c", line]),
        Entry::Words(words) => {
            let (first, rest) = words
                .split_first()
                .map_or(("true", &[][..]), |(first, rest)| (first.as_str(), rest));
            Command::new(first).args(rest)
        }
    }
}

/// `bootcmd`, one after the other.
pub(super) fn run_first(config: &Config) {
    for (index, command) in config.bootcmd.iter().enumerate() {
        run(
            &format!("bootcmd[{index}]"),
            &in_environment(&program(command), &config.rancher.network),
            Some(BOOTCMD_DEADLINE),
        );
    }
}

/// What is run once a boot, as numbers: the words may be secrets.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Commands {
    runcmd: u64,
    scripts: u64,
}

impl Commands {
    fn of(config: &Config, scripts: &[PathBuf]) -> Commands {
        let number = |value: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            value(&mut hasher);
            hasher.finish()
        };
        Commands {
            runcmd: number(&|hasher| format!("{:?}", config.runcmd).hash(hasher)),
            scripts: number(&|hasher| {
                for script in scripts {
                    let text = sys::regular::read(script, LONGEST_SCRIPT);
                    text.unwrap_or_default().hash(hasher);
                }
            }),
        }
    }
}

/// What of `now` is to be run: `runcmd`, scripts of user data, and the scripts that every boot runs.
fn left(now: &Commands, done: Option<&Commands>, is_late: bool) -> [bool; 3] {
    match done {
        None => [true; 3],
        Some(done) if is_late => [
            now.runcmd != done.runcmd,
            now.scripts != done.scripts,
            false,
        ],
        Some(_) => [false; 3],
    }
}

/// Has commands that differ from those that have run be run, too.
pub(super) fn expect_late() -> anyhow::Result<()> {
    fs::create_dir_all("/run/rancher").context("cannot create /run/rancher")?;
    fs::write(LATE, "").with_context(|| format!("cannot write {LATE}"))
}

/// `runcmd` and the scripts, one after the other, once in a console; those of user data that came late once more. Nobody waits for
/// them: logins work already. Whether what follows the commands of a boot is due.
pub(super) fn run_last(config: &Config) -> bool {
    // After a panic the others are still to be run.
    let _alone = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    let scripts = store::scripts(Path::new(CONF));
    let now = Commands::of(config, &scripts);
    let (is_late, is_first) = (Path::new(LATE).exists(), !Path::new(BOOT_DONE).exists());
    let done = done(Path::new(DONE), is_first);
    let due = left(&now, done.as_ref(), is_late);
    if is_late && !is_first {
        // The first call of a boot may know the configuration of before only, and leaves the mark to the next one.
        let _ = fs::remove_file(LATE);
    }
    if due == [false; 3] {
        return false;
    }
    let run = |name: &str, command: Command| {
        let command = in_environment(&command, &config.rancher.network);
        run(name, &command, None);
    };
    if due[0] {
        for (index, command) in config.runcmd.iter().enumerate() {
            run(&format!("runcmd[{index}]"), program(command));
        }
    }
    if due[1] {
        for script in scripts {
            run("the script of the user data", Command::new(script));
        }
    }
    if due[2] {
        for script in SCRIPTS {
            if fs::metadata(script).is_ok_and(|file| file.permissions().mode() & 0o111 != 0) {
                run(script, Command::new("/bin/sh").args(["-c", script]));
            }
        }
    }
    if let Err(error) = note(&now) {
        report("commands", &error);
    }
    is_first || is_late
}

/// What has run in this console's files and in this boot. The files can be older than the boot: a console without the label of a
/// rebuild keeps them, and an image can be made from one.
fn done(mark: &Path, is_first: bool) -> Option<Commands> {
    let text = (!is_first).then(|| fs::read(mark).ok())??;
    Some(serde_json::from_slice(&text).unwrap_or_default())
}

fn note(now: &Commands) -> anyhow::Result<()> {
    fs::create_dir_all("/run/rancher").context("cannot create /run/rancher")?;
    fs::write(BOOT_DONE, "").with_context(|| format!("cannot write {BOOT_DONE}"))?;
    let text = serde_json::to_vec(now)?;
    Ok(store::write_atomic(Path::new(DONE), &text, 0o600)?)
}

/// No login shell tells them what the machine's proxies are.
fn in_environment(command: &Command, network: &Network) -> Command {
    let command = command.clone().env("HOME", "/root");
    files::proxies(network).fold(command, |command, (name, value)| command.env(name, value))
}

/// Runs a program to its end, or to the deadline; a failure is reported and the next one follows.
fn run(name: &str, command: &Command, deadline: Option<Duration>) -> bool {
    let result = command.spawn().map_err(anyhow::Error::from);
    let result = result.and_then(|child| {
        let end = deadline.map(|deadline| Instant::now() + deadline);
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if !child.pidfd().wait_ended(left)? {
            // It may have ended in this moment.
            let _ = child.pidfd().send_signal(Signal::KILL);
            let _ = child.wait();
            anyhow::bail!("killed after {} s", deadline.unwrap_or_default().as_secs());
        }
        Ok(child.wait()?)
    });
    match result {
        Ok(status) if status.success() => true,
        Ok(status) => {
            report(name, &anyhow::anyhow!("{status}"));
            false
        }
        Err(error) => {
            report(name, &error);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_go_to_the_shell_and_lists_do_not() {
        let output =
            |entry: Entry| String::from_utf8(program(&entry).run().unwrap().stdout).unwrap();
        assert_eq!(output(Entry::Line("echo a  b | tr a c".into())), "c b\n");
        assert_eq!(
            output(Entry::Words(
                ["echo", "a  b", "| x"].map(str::to_owned).to_vec()
            )),
            "a  b | x\n"
        );
        assert_eq!(output(Entry::Words(vec![])), "");
    }

    #[test]
    fn commands_run_once_a_boot_and_those_that_came_late_once_more() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let config = |line: &str| Config {
            runcmd: vec![Entry::Line(line.into())],
            ..Config::default()
        };
        let scripts = std::slice::from_ref(&script);
        let first = Commands::of(&config("a"), scripts);
        assert_eq!(left(&first, None, false), [true; 3]);
        assert_eq!(left(&first, None, true), [true; 3]);
        assert_eq!(left(&first, Some(&first), true), [false; 3]);
        let other = Commands::of(&config("b"), scripts);
        assert_eq!(left(&other, Some(&first), false), [false; 3]);
        assert_eq!(left(&other, Some(&first), true), [true, false, false]);
        fs::write(&script, "#!/bin/sh").unwrap();
        let with_script = Commands::of(&config("a"), scripts);
        assert_eq!(left(&with_script, Some(&first), true), [false, true, false]);
    }

    #[test]
    fn what_ran_in_an_earlier_boot_runs_again() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("done");
        assert_eq!(done(&mark, false), None);
        let all = Commands {
            runcmd: 1,
            scripts: 2,
        };
        fs::write(&mark, serde_json::to_vec(&all).unwrap()).unwrap();
        assert_eq!(done(&mark, true), None);
        assert_eq!(done(&mark, false), Some(all));
    }

    #[test]
    fn commands_have_the_machines_proxies_in_both_spellings() {
        let network = Network {
            http_proxy: Some("http://p:1".into()),
            no_proxy: Some("localhost".into()),
            ..Network::default()
        };
        let line = "echo $http_proxy $HTTP_PROXY $no_proxy $NO_PROXY $HOME";
        let command = in_environment(&program(&Entry::Line(line.into())), &network);
        let output = command.run().unwrap().stdout;
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "http://p:1 http://p:1 localhost localhost /root\n"
        );
    }

    #[test]
    fn a_command_that_hangs_is_killed_at_its_deadline() {
        let begun = Instant::now();
        assert!(!run(
            "t",
            &Command::new("sleep").arg("1000"),
            Some(Duration::from_millis(50))
        ));
        assert!(begun.elapsed() < Duration::from_secs(100));
        assert!(run("t", &Command::new("true"), None));
    }
}

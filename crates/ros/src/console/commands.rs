//! Commands of the machine's owner: `bootcmd`, `runcmd`, a script as user data, start.sh and rc.local.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cloud_init::store;
use config::Config;
use config::cloud_config::{Command as Entry, Network};
use sys::process::{Command, Signal};

use super::{CONF, files, report};

/// Longest run of one entry of `bootcmd`: logins wait for it, so it cannot hang for ever.
const BOOTCMD_DEADLINE: Duration = Duration::from_secs(60);

/// Exists when the commands of this boot have run; a console that restarts does not run them again.
const DONE: &str = "/run/rancher/runcmd-done";

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

/// `runcmd` and the scripts, one after the other, once a boot. Nobody waits for them: logins work already.
pub(super) fn run_last(config: &Config) -> bool {
    if Path::new(DONE).exists() {
        return false;
    }
    let run = |name: &str, command: Command| {
        let command = in_environment(&command, &config.rancher.network);
        run(name, &command, None);
    };
    for (index, command) in config.runcmd.iter().enumerate() {
        run(&format!("runcmd[{index}]"), program(command));
    }
    for script in store::scripts(Path::new(CONF)) {
        run("the script of the user data", Command::new(script));
    }
    for script in SCRIPTS {
        if fs::metadata(script).is_ok_and(|file| file.permissions().mode() & 0o111 != 0) {
            run(script, Command::new("/bin/sh").args(["-c", script]));
        }
    }
    let marked = fs::create_dir_all("/run/rancher").and_then(|()| fs::write(DONE, ""));
    if let Err(error) = marked {
        report("commands", &anyhow::anyhow!("cannot write {DONE}: {error}"));
    }
    true
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

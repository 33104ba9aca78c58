//! A setting that dockerd refuses must not cost the machine its Docker: after a few starts that ended, dockerd gets what it
//! last answered with, and that is said.

use std::fs;
use std::path::{Path, PathBuf};

use config::Docker;
use serde::{Deserialize, Serialize};

use super::{options, starts};

/// On the state disk: a reboot with a bad setting must find it.
const DIRECTORY: &str = "/var/lib/rancher/docker-good";
/// What dockerd is being started with, for whoever sees it answer.
const TRIED: &str = "/run/rancher/user-docker.tried";
/// Largest file of settings that is read: daemon.json is a part of it.
const LONGEST_BYTES: u64 = 8 << 20;
/// Starts with one set of settings that may end before the settings are blamed: one may be the end of the console.
const PATIENCE: u32 = 2;

/// What decides whether dockerd starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Arguments from the configuration, without those of this very start.
    pub(super) arguments: Vec<String>,
    /// The variables that it names.
    pub(super) environment: Vec<String>,
    /// The text of its file of settings; empty when there is none.
    pub(super) daemon_json: String,
    /// Where its companions find it.
    pub(super) places: Places,
}

/// What containerd's keeper and the group of the socket depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places {
    config_file: Option<String>,
    containerd: Option<String>,
    data_root: Option<String>,
    exec_root: Option<String>,
    group: Option<String>,
}

impl Places {
    /// As settings; what is not a place is the present configuration's.
    pub(super) fn into_docker(self, docker: &Docker) -> Docker {
        Docker {
            config_file: self.config_file,
            containerd: self.containerd,
            data_root: self.data_root,
            exec_root: self.exec_root,
            group: self.group,
            graph: None,
            ..docker.clone()
        }
    }
}

impl Settings {
    /// What the configuration says, with this file of settings.
    pub(super) fn new(docker: &Docker, daemon_json: String) -> Settings {
        let in_file = options::daemon_json_keys(&daemon_json);
        Settings {
            arguments: options::arguments(docker, &in_file),
            environment: docker.environment.clone(),
            daemon_json,
            places: Places {
                config_file: docker.config_file.clone(),
                containerd: docker.containerd.clone(),
                data_root: docker.data_root.clone().or_else(|| docker.graph.clone()),
                exec_root: docker.exec_root.clone(),
                group: docker.group.clone(),
            },
        }
    }
}

/// A start that was not seen to succeed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    settings: Settings,
    starts: u32,
}

/// What dockerd is to be started with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// What the configuration says.
    Wanted,
    /// What it last answered with.
    LastGood(Settings),
    /// What the system brings: it never answered here.
    BuiltIn,
}

/// Decides, and counts the start.
pub(super) fn choose(wanted: &Settings) -> Choice {
    let (choice, problem) = choose_in(Path::new(DIRECTORY), Path::new(TRIED), wanted);
    if let Some(problem) = problem {
        starts::warn(&problem);
    }
    choice
}

fn choose_in(directory: &Path, tried: &Path, wanted: &Settings) -> (Choice, Option<String>) {
    let mut now: Tried = read(tried).unwrap_or_default();
    if now.settings != *wanted {
        now = Tried {
            settings: wanted.clone(),
            starts: 0,
        };
    }
    now.starts = now.starts.saturating_add(1);
    // Without the count the settings are only blamed later.
    let _ = write(tried, &now);
    if now.starts <= PATIENCE {
        return (Choice::Wanted, None);
    }
    let good: Option<Settings> = read(&file(directory));
    match good {
        Some(good) if good != *wanted => {
            let problem = format!(
                "dockerd ended {PATIENCE} times with its new settings ({}): it runs with those that it last answered with. Its words: system-docker logs docker",
                difference(&good, wanted)
            );
            (Choice::LastGood(good), Some(problem))
        }
        // The settings are not at fault.
        Some(_) => (Choice::Wanted, None),
        None => {
            let problem = format!(
                "dockerd ended {PATIENCE} times with the settings of rancher.docker and daemon.json, and never answered here: it runs with the system's own. Its words: system-docker logs docker"
            );
            (Choice::BuiltIn, Some(problem))
        }
    }
}

/// dockerd answers. Whether with what the configuration says: then that is good, and what was said is over.
pub(super) fn answered() -> bool {
    answered_in(Path::new(DIRECTORY), Path::new(TRIED))
}

fn answered_in(directory: &Path, tried: &Path) -> bool {
    let Some(now) = read::<Tried>(tried) else {
        return true;
    };
    let fell_back =
        now.starts > PATIENCE && read::<Settings>(&file(directory)).as_ref() != Some(&now.settings);
    if fell_back {
        return false; // and it stays so until the settings change
    }
    if read::<Settings>(&file(directory)).as_ref() != Some(&now.settings)
        && let Err(error) = write(&file(directory), &now.settings)
    {
        eprintln!("user-docker: {}: {error}", directory.display());
    }
    // Absent when somebody has tidied up.
    let _ = fs::remove_file(tried);
    true
}

/// The text of daemon.json that dockerd last answered with.
pub(super) fn daemon_json() -> Option<String> {
    read::<Settings>(&file(Path::new(DIRECTORY))).map(|good| good.daemon_json)
}

/// The copy of the good file of settings, made now; dockerd reads it in place of the one that is there.
pub(super) fn daemon_json_copy(good: &Settings) -> anyhow::Result<PathBuf> {
    let path = Path::new(DIRECTORY).join("daemon.json");
    let text = if good.daemon_json.trim().is_empty() {
        "{}"
    } else {
        &good.daemon_json
    };
    cloud_init::store::write_atomic(&path, text.as_bytes(), 0o600)?;
    Ok(path)
}

/// What is new, by the names of the options: values may be secrets.
fn difference(good: &Settings, wanted: &Settings) -> String {
    let name = |argument: &String| argument.split('=').next().unwrap_or("").to_owned();
    let mut names: Vec<String> = wanted
        .arguments
        .iter()
        .filter(|a| !good.arguments.contains(a))
        .map(name)
        .collect();
    names.extend(
        good.arguments
            .iter()
            .filter(|a| !wanted.arguments.contains(a))
            .map(|a| format!("no {}", name(a))),
    );
    if good.environment != wanted.environment {
        names.push("environment".to_owned());
    }
    if good.daemon_json != wanted.daemon_json {
        names.push("daemon.json".to_owned());
    }
    names.dedup();
    names.join(", ")
}

fn file(directory: &Path) -> PathBuf {
    directory.join("settings.json")
}

fn read<T: for<'d> Deserialize<'d>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&sys::regular::read(path, LONGEST_BYTES).ok()?).ok()
}

/// For root alone: an environment may hold a password.
fn write<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    Ok(cloud_init::store::write_atomic(
        path,
        &serde_json::to_vec(value)?,
        0o600,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(argument: &str) -> Settings {
        Settings {
            arguments: vec![argument.to_owned()],
            ..Settings::default()
        }
    }

    #[test]
    fn settings_that_dockerd_refuses_give_way_to_the_last_good_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, tried) = (folder.path().join("good"), folder.path().join("tried"));
        let (good, bad) = (
            settings("--log-driver=json-file"),
            settings("--log-driver=bogus"),
        );
        assert_eq!(choose_in(&directory, &tried, &good), (Choice::Wanted, None));
        assert!(answered_in(&directory, &tried));
        for _ in 0..PATIENCE {
            assert_eq!(choose_in(&directory, &tried, &bad).0, Choice::Wanted);
        }
        for _ in 0..2 {
            let (choice, said) = choose_in(&directory, &tried, &bad);
            assert_eq!(choice, Choice::LastGood(good.clone()));
            let said = said.unwrap();
            assert!(
                said.contains("--log-driver") && !said.contains("bogus"),
                "{said}"
            );
            // It answers, with the good ones: the bad ones are not good now.
            assert!(!answered_in(&directory, &tried));
        }
        let mended = settings("--log-driver=local");
        assert_eq!(
            choose_in(&directory, &tried, &mended),
            (Choice::Wanted, None)
        );
        assert!(answered_in(&directory, &tried));
        assert_eq!(read::<Settings>(&file(&directory)), Some(mended));
    }

    #[test]
    fn settings_that_never_worked_give_way_to_the_systems_and_good_ones_are_not_blamed() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, tried) = (folder.path().join("good"), folder.path().join("tried"));
        let first = settings("--bogus");
        for _ in 0..PATIENCE {
            assert_eq!(choose_in(&directory, &tried, &first).0, Choice::Wanted);
        }
        assert_eq!(choose_in(&directory, &tried, &first).0, Choice::BuiltIn);
        assert!(!answered_in(&directory, &tried));
        // The disk is full, say: what has worked is tried again.
        let good = settings("--debug=true");
        choose_in(&directory, &tried, &good);
        assert!(answered_in(&directory, &tried));
        for _ in 0..PATIENCE + 2 {
            assert_eq!(choose_in(&directory, &tried, &good), (Choice::Wanted, None));
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_good_settings_is_replaced_and_not_waited_for() {
        use std::os::fd::AsFd as _;
        let folder = tempfile::tempdir().unwrap();
        let (directory, tried) = (folder.path().join("good"), folder.path().join("tried"));
        fs::create_dir(&directory).unwrap();
        let here = fs::File::open(&directory).unwrap();
        let (kind, name) = (sys::fs::NodeKind::Fifo, Path::new("settings.json"));
        sys::fs::make_node(here.as_fd(), name, kind, 0o600, (0, 0)).unwrap();
        let good = settings("--debug=true");
        assert_eq!(choose_in(&directory, &tried, &good).0, Choice::Wanted);
        assert!(answered_in(&directory, &tried));
        assert_eq!(read::<Settings>(&file(&directory)), Some(good));
    }
}

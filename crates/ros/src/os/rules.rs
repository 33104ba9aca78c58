//! Which versions may follow the one that runs, and what a person is told before.

use install::{Manifest, Refusal};

use super::failure::fail;
use super::installed::Installed;
use super::wanted::Wanted;
use super::{again, pin, releases};

/// Who wants a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody who may force it.
    Person {
        /// `-f`
        force: bool,
    },
    /// `rancher.upgrade.policy`.
    Policy,
}

/// # Errors
/// When this machine does not take the version; `force` overrides all of them.
pub(super) fn check(machine: &Installed, wanted: &Wanted<'_>, asker: Asker) -> anyhow::Result<()> {
    if asker == (Asker::Person { force: true }) {
        return Ok(());
    }
    let (next, digest) = (wanted.manifest, &wanted.digest);
    let history = machine.history();
    let mut rejected = history.rejected(digest);
    if asker == Asker::Policy && again::against_digest(&history, digest).is_none() {
        rejected = None;
    }
    if let Some(event) = rejected {
        fail!(
            Refused,
            "v{} was rejected before ({}); -f tries it again",
            next.version,
            event.reason
        );
    }
    if let Some(pinned) =
        pin::read().filter(|pinned| install::compare(pinned, &next.version).is_ne())
    {
        fail!(
            Refused,
            "this machine is pinned to v{pinned}, this is v{}; `ros os pin off`, or -f",
            next.version
        );
    }
    // Whose manifest cannot be read has no floor that is known: then the good version's holds
    let Some(running) = machine.version(machine.slot).or_else(|| machine.good()) else {
        return Ok(());
    };
    if running.digest == *digest {
        fail!(
            Refused,
            "already at version v{}; -f installs it again",
            next.version
        );
    }
    refuse(&running.manifest, next)?;
    match wanted.image() {
        Some(image) => check_name(image, &next.version),
        None => Ok(()),
    }
}

/// # Errors
/// When one of the two manifests says that `next` must not follow `running`.
pub(super) fn refuse(running: &Manifest, next: &Manifest) -> anyhow::Result<()> {
    let (now, then) = (&running.release, &next.release);
    match install::refusal(running, next) {
        None => Ok(()),
        Some(Refusal::Floor) => fail!(
            Refused,
            "v{} has the security floor {}, this machine {}: it has holes that are closed here; -f takes it all the same",
            next.version,
            then.floor,
            now.floor
        ),
        Some(Refusal::State) => fail!(
            Refused,
            "v{} reads forms of the state up to {}, this machine's has the form {}; -f takes it all the same",
            next.version,
            then.state.reads,
            now.state.writes
        ),
        Some(Refusal::From) => fail!(
            Refused,
            "v{} can follow v{} or later, this is v{}: upgrade to that first, or -f",
            next.version,
            then.from.trim_start_matches('v'),
            running.version
        ),
    }
}

/// # Errors
/// When an image is called after another version than it has: an old one, well signed, under a new name.
fn check_name(image: &str, version: &str) -> anyhow::Result<()> {
    match releases::version_of(image) {
        Some(name) if install::compare(&name, version).is_ne() => fail!(
            Refused,
            "{image} says that it is v{name}, and its manifest that it is v{version}; -f takes it all the same"
        ),
        _ => Ok(()),
    }
}

/// What changes, for the question.
pub(super) fn describe(machine: &Installed, wanted: &Wanted<'_>) -> Vec<String> {
    let next = wanted.manifest;
    let (from, words, key) = wanted.origin();
    let mut lines = vec![format!(
        "Upgrading to rancher/os:v{} from {from}",
        next.version
    )];
    lines.push(match key {
        Some(key) => format!("  {words} {key}"),
        None => format!("  {words}"),
    });
    if let Some(running) = machine.version(machine.slot) {
        let (now, then) = (&running.manifest.release, &next.release);
        lines.extend(changes(&[
            ("kernel", &now.linux, &then.linux),
            ("Docker", &now.docker, &then.docker),
        ]));
    }
    if !next.release.notes.is_empty() {
        lines.push(format!("  {}", next.release.notes));
    }
    lines
}

/// Whether Docker's major version changes: its data has no way back, so that a person has to want it.
pub(super) fn changes_docker(now: &Manifest, then: &Manifest) -> bool {
    differs_in_major(&now.release.docker, &then.release.docker)
}

fn differs_in_major(now: &str, then: &str) -> bool {
    let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
    !now.is_empty() && !then.is_empty() && major(now) != major(then)
}

/// A line for each program whose version changes; a major version of Docker aloud, because its data has no way back.
fn changes(programs: &[(&str, &str, &str)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, now, then) in programs {
        if now == then || now.is_empty() || then.is_empty() {
            continue;
        }
        lines.push(format!("  {name} {now} -> {then}"));
        if *name == "Docker" && differs_in_major(now, then) {
            lines.push(
                "  warning: Docker's major version changes; what the new one makes of /var/lib/docker the old one may not read"
                    .to_owned(),
            );
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::failure::Failure;
    use super::*;

    #[test]
    fn what_changes_is_said_and_a_major_docker_aloud() {
        assert!(changes(&[("kernel", "6.12.1", "6.12.1"), ("Docker", "", "26.1.5")]).is_empty());
        let lines = changes(&[
            ("kernel", "6.12.1", "6.12.2"),
            ("Docker", "26.1.5", "27.0.1"),
        ]);
        assert_eq!(lines[0], "  kernel 6.12.1 -> 6.12.2");
        assert_eq!(lines[1], "  Docker 26.1.5 -> 27.0.1");
        assert!(lines[2].contains("warning") && lines.len() == 3);
        assert_eq!(changes(&[("Docker", "26.1.5", "26.1.6")]).len(), 1);
    }

    #[test]
    fn only_another_major_docker_wants_a_person() {
        for (now, then, wants) in [
            ("26.1.5", "27.0.1", true),
            ("26.1.5", "26.2.0", false),
            // A version from before it was noted
            ("", "27.0.1", false),
            ("26.1.5", "", false),
        ] {
            assert_eq!(differs_in_major(now, then), wants, "{now} {then}");
        }
    }

    #[test]
    fn an_old_version_under_a_new_name_is_refused() {
        for (image, version, good) in [
            ("registry.example:5000/os:v2.0", "2.0", true),
            ("registry.example:5000/os:v2.0", "1.0", false),
            ("registry.example/os:latest", "1.0", true),
            ("registry.example/os", "1.0", true),
            ("/media/rancheros-v2.0.iso", "1.0", true),
        ] {
            let said = check_name(image, version)
                .err()
                .map(|error| error.to_string());
            assert_eq!(said.is_none(), good, "{image} {version}: {said:?}");
        }
        let error = check_name("os:v2.0", "1.0").unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Failure::Refused));
        assert!(format!("{error:#}").contains("its manifest that it is v1.0"));
    }
}

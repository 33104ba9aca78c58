//! Which versions may follow the one that runs, and what a person is told before.

use install::Refusal;

use super::failure::fail;
use super::installed::Installed;
use super::pin;
use crate::install::medium::Medium;

/// # Errors
/// When this machine does not take the version; `force` overrides all of them.
pub(super) fn check(machine: &Installed, medium: &Medium, force: bool) -> anyhow::Result<()> {
    if force {
        return Ok(());
    }
    let next = &medium.manifest;
    let digest = medium.digest();
    if let Some(event) = machine.history().rejected(&digest) {
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
    let Some(running) = machine.version(machine.slot) else {
        return Ok(());
    };
    if running.digest == digest {
        fail!(
            Refused,
            "already at version v{}; -f installs it again",
            next.version
        );
    }
    let (now, then) = (&running.manifest.release, &next.release);
    match install::refusal(&running.manifest, next) {
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
            running.manifest.version
        ),
    }
}

/// What changes, for the question.
pub(super) fn describe(machine: &Installed, medium: &Medium) -> anyhow::Result<Vec<String>> {
    let next = &medium.manifest;
    let mut lines = vec![format!(
        "Upgrading to rancher/os:v{} from {}",
        next.version, medium.name
    )];
    lines.push(match &medium.signed_by {
        Some(key) => format!("  signed, checked with {key}"),
        None => "  not signed".to_owned(),
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
    Ok(lines)
}

/// A line for each program whose version changes; a major version of Docker aloud, because its data has no way back.
fn changes(programs: &[(&str, &str, &str)]) -> Vec<String> {
    let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    for (name, now, then) in programs {
        if now == then || now.is_empty() || then.is_empty() {
            continue;
        }
        lines.push(format!("  {name} {now} -> {then}"));
        if *name == "Docker" && major(now) != major(then) {
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
}

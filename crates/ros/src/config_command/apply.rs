//! `ros config apply`, `confirm` and `revert`: shows what a change does, and has PID 1 make it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use config::{Loaded, Node};
use machine_config::apply::{
    APPLIED, Answer, CONFIRM_LINKS_S, CONFIRM_RANGE_S, CONFIRM_S, Request, SOCKET,
};
use machine_config::plan::{Change, Plan, What, When};

use super::print_json;
use crate::cli::Format;
use crate::console::mounts;
use crate::machine_config::MachineConfig;
use system_docker::table;

/// Longest wait for an answer: services stop, are made and start.
const DEADLINE: Duration = Duration::from_secs(900);
/// The same for a question that PID 1 answers at once.
const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// Shows the plan, and unless it is only that, applies it.
pub(super) fn apply(
    confirm: Option<Option<&str>>,
    dry_run: bool,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let machine = MachineConfig::load();
    let plan = self::plan(&machine)?;
    for problem in machine.errors().chain(machine.unfetched.values()) {
        eprintln!("{problem}");
    }
    // PID 1 restarts the console for them, which mounts the others.
    let stays = mounts::wait_for_reboot(&machine.loaded.config.mounts);
    let as_json = serde_json::json!({
        "changes": plan.changes,
        "restarts": plan.restarts(),
        "outage": plan.outage(),
        "reboot": plan.needs_reboot() || stays,
    });
    if !print_json(&as_json, format)? {
        show(&plan);
        if stays {
            println!("mounts: what carries Docker's data changes only at a reboot");
        }
    }
    if plan.is_empty() || dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let confirm_s = confirm.map(|time| seconds(time, &plan)).transpose()?;
    if let Some(seconds) = confirm_s {
        eprintln!(
            "applying; log in again within {seconds} s and run: sudo ros config confirm\nwithout that, the earlier configuration comes back by itself"
        );
    } else if !plan.restarts().is_empty() {
        eprintln!("applying; nothing takes it back (--confirm would)");
    }
    let with_files = false;
    let request = Request::Apply {
        confirm_s,
        with_files,
    };
    tell(ask(&request, DEADLINE)?, "applied")
}

/// What applying the configuration would change in the machine as it runs.
///
/// # Errors
/// When PID 1 has not said yet what the machine runs with.
pub(crate) fn plan(machine: &MachineConfig) -> anyhow::Result<Plan> {
    let text = fs::read_to_string(APPLIED)
        .with_context(|| format!("the machine is not up yet: cannot read {APPLIED}"))?;
    let (applied, _) = config::parse(APPLIED, &text)?;
    Ok(Plan::new(
        &with_fetched(applied, machine),
        &machine.loaded.tree,
    ))
}

/// Has PID 1 apply user data that came late, with its files for services, which the caller has put aside; what is wrong then.
///
/// # Errors
/// When it was not done: PID 1 does not listen yet, or another change is in the way.
pub(crate) fn apply_late() -> anyhow::Result<Vec<String>> {
    let request = Request::Apply {
        confirm_s: None,
        with_files: true,
    };
    let answer = ask(&request, DEADLINE)?;
    match answer.error {
        Some(error) => bail!("{error}"),
        None => Ok(answer.problems),
    }
}

/// What was applied, with the services of catalogues that were fetched and started since: they are not a change.
fn with_fetched(applied: Node, machine: &MachineConfig) -> Node {
    let mut config = machine.loaded.config.clone();
    let has = |path: &str, name: &str| {
        let map = applied.get(path).and_then(Node::as_map);
        map.is_some_and(|map| map.contains_key(name))
    };
    let rancher = &mut config.rancher;
    rancher
        .services
        .retain(|name, _| has("rancher.services", name));
    let included = applied.get("rancher.services_include");
    let included = included.and_then(Node::as_map).into_iter().flatten();
    rancher.services_include = included
        .filter_map(|(name, entry)| Some((name.clone(), entry.node.to_json().as_bool()?)))
        .collect();
    let mut loaded = Loaded {
        config,
        tree: applied,
        ..Loaded::default()
    };
    MachineConfig::add_fetched(&mut loaded);
    loaded.tree
}

/// Keeps the pending change.
pub(super) fn confirm() -> anyhow::Result<ExitCode> {
    tell(
        ask(&Request::Confirm, DEADLINE)?,
        "confirmed: the change stays",
    )
}

/// Takes the pending change back.
pub(super) fn revert() -> anyhow::Result<ExitCode> {
    tell(
        ask(&Request::Revert, DEADLINE)?,
        "the earlier configuration is back",
    )
}

/// What waits for its confirmation, for `ros status`; nothing for whoever may not ask.
pub(crate) fn pending() -> Option<String> {
    let left = ask(&Request::State, ASK_DEADLINE).ok()?.pending_s?;
    Some(format!(
        "config: a change is taken back in {left} s unless it is confirmed in a new login: sudo ros config confirm"
    ))
}

fn show(plan: &Plan) {
    if plan.is_empty() {
        println!("nothing to apply: the machine runs with this configuration");
        return;
    }
    let rows: Vec<Vec<String>> = plan.changes.iter().map(row).collect();
    print!(
        "{}",
        table::format(&["KEY", "CHANGE", "HOLDS", "FROM"], &rows)
    );
    let outage = plan.outage();
    if outage.is_empty() {
        println!("outage: none");
    }
    for sentence in outage {
        println!("outage: {sentence}");
    }
    if plan.needs_reboot() {
        println!("some of it holds only after a reboot");
    }
}

fn row(change: &Change) -> Vec<String> {
    let what = match change.what {
        What::Added => "added",
        What::Changed => "changed",
        What::Removed => "removed",
    };
    let when = match &change.when {
        When::Live => "at once".to_owned(),
        When::Restart(services) => format!("restarts {}", services.join(", ")),
        When::Reboot => "after a reboot".to_owned(),
        When::Command(command) => format!("with the next `{command}`"),
        When::Nothing(_) => "never: not applied".to_owned(),
    };
    vec![
        change.key.clone(),
        what.to_owned(),
        when,
        change.at.to_string(),
    ]
}

/// `90`, `60s`, `2m`.
fn seconds(time: Option<&str>, plan: &Plan) -> anyhow::Result<u64> {
    let Some(text) = time else {
        return Ok(if plan.rebuilds_links() {
            CONFIRM_LINKS_S
        } else {
            CONFIRM_S
        });
    };
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let seconds = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    match seconds.filter(|seconds| CONFIRM_RANGE_S.contains(seconds)) {
        Some(seconds) => Ok(seconds),
        None => bail!(
            "--confirm {text:?}: expected a time from {}s to {}s, as 90s or 2m",
            CONFIRM_RANGE_S.start(),
            CONFIRM_RANGE_S.end()
        ),
    }
}

fn ask(request: &Request, deadline: Duration) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(SOCKET)
        .with_context(|| format!("PID 1 cannot be asked on {SOCKET}"))?;
    stream.set_read_timeout(Some(deadline))?;
    stream.set_write_timeout(Some(ASK_DEADLINE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .context("PID 1 does not answer")?;
    serde_json::from_str(&answer).context("PID 1 has ended the conversation: see dmesg")
}

fn tell(answer: Answer, done: &str) -> anyhow::Result<ExitCode> {
    for problem in &answer.problems {
        eprintln!("{problem}");
    }
    if let Some(error) = answer.error {
        bail!("{error}");
    }
    match answer.pending_s {
        Some(left) => println!("{done}; taken back in {left} s unless it is confirmed"),
        None => println!("{done}"),
    }
    Ok(if answer.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_minutes() {
        let plan = Plan::default();
        for (text, want) in [
            (None, 60),
            (Some("90"), 90),
            (Some("30s"), 30),
            (Some("2m"), 120),
        ] {
            assert_eq!(seconds(text, &plan).unwrap(), want);
        }
        for wrong in ["", "0", "4s", "1h", "-5", "99999999999999999999m", "61m"] {
            assert!(seconds(Some(wrong), &plan).is_err(), "{wrong}");
        }
    }
}

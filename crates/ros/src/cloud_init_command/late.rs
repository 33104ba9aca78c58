//! What did not answer before the console: asked on in the background, and applied in the machine that runs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cloud_init::dmi::{self, Dmi};
use machine_config::plan::Plan;
use sys::kmsg::{self, Priority};

use super::{choice, keep, loudly, put_files, sources};
use crate::config_command::apply;
use crate::machine_config::{CONF, MachineConfig};
use crate::{console, problems, service};

/// There when a service or an address gave nothing before the console; below [`CONF`].
pub(super) const MARK: &str = ".cloud-init-late";
/// How long it is asked in the background, as RancherOS waited in the foreground twice over.
const LATE_FOR: Duration = Duration::from_secs(600);
/// How long PID 1 is asked to apply it: at a boot it listens when every service was started, and one change is made at a time.
const APPLY_FOR: Duration = Duration::from_secs(900);
const BETWEEN: Duration = Duration::from_secs(5);

/// Asks in the background what did not answer before the console; `ros console-init` has a thread for it.
///
/// What comes is kept and holds in this boot, as after `ros config apply`: the name and the keys first.
pub(crate) fn ask_late() {
    let conf = Path::new(CONF);
    let mark = conf.join(MARK);
    let end = Instant::now() + LATE_FOR;
    while mark.exists() && Instant::now() < end {
        thread::sleep(BETWEEN);
        // A change that is taken back takes along what was kept while it waited.
        if apply::pending().is_some() {
            continue;
        }
        let dmi = Dmi::read(Path::new(dmi::DIRECTORY));
        let before = MachineConfig::load();
        let Some(found) = sources::ask_again(&choice(&before, &dmi), &before) else {
            continue;
        };
        problems::clear("cloud-init");
        let name = found.name.clone();
        // Of now: a service may have taken minutes to answer.
        let waiting = waiting(apply::plan(&MachineConfig::load()));
        keep(found, dmi.get(dmi::Field::ProductUuid), conf);
        console::apply_identity_again(&MachineConfig::load());
        // Before it is applied, which can restart the console: that one must not ask again. A mark that stays has it ask once
        // more and find that nothing changes.
        let _ = fs::remove_file(&mark);
        hold(&name, &before, &waiting);
        return;
    }
}

/// Has everything hold that was kept. A restart of the console ends this process in between: the next one goes on.
/// What a person has set and not applied, the keys in `waiting`, is not applied along with it: it may be meant for `--confirm`.
fn hold(name: &str, before: &MachineConfig, waiting: &[String]) {
    put_files();
    console::expect_late_commands();
    if waiting.is_empty() {
        apply_all(name);
    } else {
        loudly(&format!(
            "{name} answered late: the machine's name and keys hold now; what else it says waits for `ros config apply`, or the next boot, \
             since {} had been changed and not applied",
            waiting.join(", ")
        ));
    }
    // Else a thread is at it, and reads the configuration again for each try.
    if before.unfetched.is_empty() {
        service::fetch_missing();
    }
}

/// Keys that differ from what the machine runs with. While PID 1 has not said that, nobody can have changed any.
fn waiting(plan: anyhow::Result<Plan>) -> Vec<String> {
    let changes = plan.map(|plan| plan.changes).unwrap_or_default();
    changes.into_iter().map(|change| change.key).collect()
}

fn apply_all(name: &str) {
    match apply_patiently(name) {
        Ok(problems) => problems.iter().for_each(|problem| loudly(problem)),
        Err(error) => loudly(&format!(
            "{name} answered late: the machine's name and keys hold now, what else it says from the next boot on: {error:#}"
        )),
    }
    console::run_late_commands(&MachineConfig::load());
}

/// What was wrong on the way.
///
/// # Errors
/// That of the last try.
fn apply_patiently(name: &str) -> anyhow::Result<Vec<String>> {
    let end = Instant::now() + APPLY_FOR;
    let mut said = false;
    loop {
        let tried = apply::plan(&MachineConfig::load()).and_then(|plan| {
            if !said {
                said = true;
                say(name, &plan);
            }
            apply::apply_late()
        });
        match tried {
            Err(_) if Instant::now() < end => thread::sleep(BETWEEN),
            done => return done,
        }
    }
}

/// Before it is applied: nobody may be left to say it afterwards.
fn say(name: &str, plan: &Plan) {
    kmsg::log(
        Priority::Notice,
        &format!("cloud-init: {name} answered late: what it says is applied now"),
    );
    let later = plan.after_reboot();
    if !later.is_empty() {
        loudly(&format!(
            "{name} answered late: these keys hold only after a reboot: {}",
            later.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_set_and_not_applied_waits() {
        let tree = |text: &str| config::parse("t", text).unwrap().0;
        let plan = |before: &str, after: &str| Ok(Plan::new(&tree(before), &tree(after)));
        let same = "hostname: a\n";
        assert!(waiting(plan(same, same)).is_empty());
        let changed = "hostname: b\ntimezone: UTC\n";
        assert_eq!(waiting(plan(same, changed)), ["hostname", "timezone"]);
        // The machine is not up yet.
        assert!(waiting(Err(anyhow::anyhow!("cannot read"))).is_empty());
    }
}

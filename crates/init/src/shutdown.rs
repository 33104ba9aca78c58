//! The end: containers of both engines, services, leftovers, file systems, power. It never hangs.
//!
//! [`finish`] and [`from_rescue`] are the only callers of reboot(2). A thread with the last deadline does it should any
//! step block: a dead disk must not keep a machine in a rack from coming back.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::time::{Duration, Instant};

use engine::Engine;
use engine_api::Filters;
use sys::mount::{self, MountEntry, MountFlags, UnmountFlags};
use sys::process;
use sys::reboot::{self, Action};
use tokio::time::{sleep, timeout};

use crate::event_loop::block_on;
use crate::swap::{self, SwapFiles};
use crate::{armed, log, user_containers, watchdog};

/// How long the whole shutdown may take unless `rancher.shutdown_timeout` says otherwise
/// (RancherOS: 60 s, at least 5 s).
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
/// The least that the configuration may set.
pub(crate) const LEAST_DEADLINE: Duration = Duration::from_secs(5);

/// The same from the rescue shell, where there are no containers to wait for.
const RESCUE_DEADLINE: Duration = Duration::from_secs(30);

/// What processes outside any container get; there should be none.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// Pause between two looks at what is still running.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Milliseconds between two looks for a new disc; 0 for none (kernel-parameters, block.events_dfl_poll_msecs).
const POLL_DRIVES: &str = "/sys/module/block/parameters/events_dfl_poll_msecs";

/// The label of system services: they end after the containers that may use them.
const SERVICE_LABEL: &str = "io.rancher.os.scope=system";
/// What the services get to end, and then processes, file systems and disks, when there is time enough.
const STEP: Duration = Duration::from_secs(10);
/// How long a file system may be busy after its last process: the kernel takes mount namespaces apart in the background.
const BUSY_LIMIT: Duration = Duration::from_secs(3);
/// Orders to the kernel itself (its admin-guide/sysrq).
const SYSRQ: &str = "/proc/sysrq-trigger";
/// What the kernel gets to make all file systems read-only by force; it takes milliseconds where the disk answers.
const FORCE_LIMIT: Duration = Duration::from_secs(2);

/// How the whole time is shared out.
struct Budget {
    /// For the containers of both engines, all at the same time.
    containers: Duration,
    /// Then for the services.
    services: Duration,
}

impl Budget {
    fn new(whole: Duration) -> Budget {
        let step = STEP.min(whole / 5);
        Budget {
            containers: whole - step * 2,
            services: step,
        }
    }
}

/// Stops everything and leaves.
pub(crate) async fn finish(engine: &Engine, action: Action, deadline: Duration) -> Infallible {
    log::info(&format!("shutdown: {action:?}"));
    arm(action, deadline);
    stop_polling_drives();
    let begun = Instant::now();
    armed::note_what_works(engine, deadline).await;
    engine.forbid_starts();
    let budget = Budget::new(deadline.saturating_sub(begun.elapsed()));
    let swap = swap::find().await;
    for error in stop_containers(engine, &budget).await {
        log::warning(&format!("shutdown: {error}"));
    }
    end_file_systems(swap).await;
    leave(action)
}

/// Leaves without an engine: the boot failed before there was one. File systems that are mounted by then, the state disk
/// above all, are left clean.
pub(crate) fn from_rescue(action: Action) -> ! {
    arm(action, RESCUE_DEADLINE);
    let ended = block_on(async {
        end_file_systems(swap::find().await).await;
        Ok(())
    });
    if let Err(error) = ended {
        log::error(&format!("shutdown: {error:#}"));
        force_read_only();
        std::thread::sleep(FORCE_LIMIT);
    }
    leave(action)
}

/// Ends all processes that are left, then everything that they could write to.
async fn end_file_systems(swap: SwapFiles) {
    stop_leftovers().await;
    swap.off().await;
    sys::fs::sync();
    for error in unmount_all().await {
        log::warning(&format!("shutdown: {error}"));
    }
    sys::fs::sync();
}

/// Stops the containers of both engines at the same time, then the services that they may have used.
async fn stop_containers(engine: &Engine, budget: &Budget) -> Vec<String> {
    let services = service_names(engine).await;
    let own = engine.stop_together(|name| !services.contains(name), budget.containers);
    let both = async { tokio::join!(user_containers::stop(engine, budget.containers), own).1 };
    // A process that hangs in the kernel cannot be killed: the rest does not wait for it.
    let mut errors = timeout(budget.containers + LEFTOVER_GRACE, both)
        .await
        .unwrap_or_else(|_| vec!["some containers do not end".to_owned()]);
    match timeout(
        budget.services + LEFTOVER_GRACE,
        engine.shutdown(budget.services),
    )
    .await
    {
        Ok(more) => errors.extend(more),
        Err(_) => errors.push("some services do not end".to_owned()),
    }
    errors
}

async fn service_names(engine: &Engine) -> BTreeSet<String> {
    let label = ("label".to_owned(), vec![SERVICE_LABEL.to_owned()]);
    let filters = Filters([label].into());
    let listed = engine_api::Engine::container_list(engine, false, &filters).await;
    let names = listed.unwrap_or_default().into_iter().flat_map(|c| c.names);
    names
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect()
}

/// Does it, again and again until it works.
fn leave(mut action: Action) -> ! {
    sys::fs::sync();
    loop {
        watchdog::before(action);
        let error = reboot::reboot(action);
        log::error(&format!("shutdown: {error}"));
        if action == Action::Kexec {
            // No kernel was loaded: the firmware has one
            action = Action::Reboot;
        }
        std::thread::sleep(LEFTOVER_GRACE);
    }
}

/// Stops the kernel's polling for new discs (udev's rules ask for it every 2 s): the answer of a drive whose controller
/// is being shut down makes libata warn (`ata_qc_complete`, a port that is frozen).
fn stop_polling_drives() {
    if let Err(error) = fs::write(POLL_DRIVES, "0") {
        log::warning(&format!("shutdown: {POLL_DRIVES}: {error}"));
    }
}

fn arm(action: Action, deadline: Duration) {
    let spawned = std::thread::Builder::new()
        .name("shutdown deadline".to_owned())
        .spawn(move || {
            feed_for(deadline.saturating_sub(FORCE_LIMIT));
            log::error(&format!(
                "shutdown: not done after {} s: leaving anyway",
                deadline.as_secs()
            ));
            // No sync here: it is the likeliest thing to be stuck. The kernel does this in the background.
            force_read_only();
            std::thread::sleep(FORCE_LIMIT);
            watchdog::before(action);
            let _ = reboot::reboot(action);
        });
    if let Err(error) = spawned {
        log::error(&format!("shutdown: no deadline thread: {error}"));
    }
}

/// Shows signs of life for this long: the shutdown has its own deadline, and only what comes after it is the watchdog's.
fn feed_for(time: Duration) {
    let end = Instant::now() + time;
    loop {
        watchdog::feed();
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(watchdog::pause()));
    }
}

/// Has the kernel make all file systems read-only, whoever still writes: their journals are clean then.
fn force_read_only() {
    if let Err(error) = fs::write(SYSRQ, "u") {
        log::error(&format!("shutdown: {SYSRQ}: {error}"));
    }
}

async fn stop_leftovers() {
    for signal in [process::Signal::TERM, process::Signal::KILL] {
        if process::kill_all(signal).is_err() {
            return; // ESRCH: nobody is left
        }
        let all_ended = async {
            while process::has_children() {
                sleep(LOOK_AGAIN).await;
            }
        };
        if timeout(LEFTOVER_GRACE, all_ended).await.is_ok() {
            return;
        }
    }
}

/// Unmounts everything that can hold data, the last mounted first. What stays busy becomes read-only, by force if need be:
/// its journal is clean then.
async fn unmount_all() -> Vec<String> {
    let busy_until = Instant::now() + BUSY_LIMIT;
    while unmount_once() && Instant::now() < busy_until {
        sleep(LOOK_AGAIN).await;
    }
    let mut errors = Vec::new();
    for entry in data_mounts() {
        let flags = MountFlags::REMOUNT | MountFlags::RDONLY;
        if let Err(error) = mount::mount("none", &entry.target, "", flags, "") {
            errors.push(format!("{} stays mounted: {error}", entry.target.display()));
        }
    }
    let writable = || data_mounts().iter().any(is_writable);
    if writable() {
        force_read_only();
        let forced_until = Instant::now() + FORCE_LIMIT;
        while writable() && Instant::now() < forced_until {
            sleep(LOOK_AGAIN).await;
        }
    }
    errors
}

/// One round; returns whether something is left that can be written to.
fn unmount_once() -> bool {
    let mut left = data_mounts();
    left.retain(|entry| mount::unmount(&entry.target, UnmountFlags::empty()).is_err());
    left.iter().any(is_writable)
}

/// Mounts of file systems that can hold data, the last one first.
fn data_mounts() -> Vec<MountEntry> {
    const KERNEL_OWN: [&str; 10] = [
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup2",
        "mqueue",
        "securityfs",
        "bpf",
        "rootfs",
        "tmpfs",
    ];
    let mut mounts = mount::mountinfo().unwrap_or_default();
    mounts.retain(|entry| !KERNEL_OWN.contains(&entry.fstype.as_str()));
    mounts.reverse();
    mounts
}

fn is_writable(entry: &MountEntry) -> bool {
    entry.super_options.split(',').any(|option| option == "rw")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_leaves_time_for_services_and_disks() {
        for (whole, containers, services) in [(60, 40, 10), (5, 3, 1), (600, 580, 10)] {
            let budget = Budget::new(Duration::from_secs(whole));
            assert_eq!(budget.containers.as_secs(), containers, "{whole} s");
            assert_eq!(budget.services.as_secs(), services, "{whole} s");
        }
    }
}

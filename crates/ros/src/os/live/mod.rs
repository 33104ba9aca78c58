//! `ros os upgrade --live`: a version that lies in a slot, put in place of the one that runs, without a reboot.
//!
//! ```text
//! ros os upgrade --live        the version is staged as for any upgrade; the kernel must be the same
//! `-- ros os live SLOT         a process that outlives the console:
//!       system.rs              files of the initrd, layers, PID 1's program (which replaces itself)
//!       plan.rs                the new version's own ros says what its services are
//!       services.rs            those that differ are replaced, one by one, each until it works
//!       arm                    the next boot tries the slot, and its checks decide
//! ```
//!
//! What goes wrong at any step undoes all before it. The code that does and undoes is the running version's, which is known to work.

mod plan;
mod services;
mod system;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use engine_api::Client;
use install::{Manifest, Outcome, Role, Slot};
use serde_json::json;
use sys::kmsg::{self, Priority};
use sys::process::Command;

use self::services::Replaced;
use self::system::Former;
use super::failure::fail;
use super::installed::Installed;
use super::{initrd, lock, order, rules};

pub(super) use plan::answer;

/// What runs since an upgrade of this kind.
const DONE: &str = "/run/rancher/live/done.json";
/// What the process that outlives the console says.
const LOG: &str = "/run/rancher/live/log";
/// Held by that process.
const LOCK: &str = "/run/rancher/live/lock";
/// Longest wait for it: who starts the process has it for another moment.
const HANDED_OVER: Duration = Duration::from_secs(5);
/// Its control group: that of the console ends with the console.
const CGROUP: &str = "/sys/fs/cgroup/os-upgrade";
/// System Docker.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
/// The image that every service is made from; it has `ros`.
const BASE: &str = "rancher/os-base";
/// The initrd in a slot, and the largest that is read, in bytes.
const INITRD: &str = "INITRD";
const INITRD_MAX: usize = 128 << 20;
/// Pause between two looks at what is said.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// # Errors
/// When a version with this manifest takes a reboot; with `force` it is not held against it that it brings another major Docker.
pub(super) fn check(machine: &Installed, next: &Manifest, force: bool) -> anyhow::Result<()> {
    let running = machine
        .version(machine.slot)
        .context("the running version has no manifest")?;
    let linux = |manifest: &Manifest| manifest.release.linux.clone();
    if running.manifest.kernel.sha256 != next.kernel.sha256 {
        fail!(
            Refused,
            "the kernel changes ({} to {}): that takes a reboot",
            linux(&running.manifest),
            linux(next)
        );
    }
    if !force && rules::changes_docker(&running.manifest, next) {
        fail!(
            Refused,
            "Docker's major version changes ({} to {}): when a step fails, the old one would be started on what the new one has made of \
             /var/lib/docker; take a reboot, or -f",
            running.manifest.release.docker,
            next.release.docker
        );
    }
    refuse_second()
}

fn refuse_second() -> anyhow::Result<()> {
    if Path::new(DONE).exists() {
        fail!(
            Refused,
            "this machine was upgraded without a reboot already: the next upgrade takes one"
        );
    }
    Ok(())
}

/// The right to do it: two at once would each undo what the other one has done.
fn alone(patience: Duration) -> anyhow::Result<File> {
    lock::alone_at(
        Path::new(LOCK),
        patience,
        "a version is being put in place without a reboot",
    )
}

/// Puts the version in `slot` in place of the one that runs, and says what happens. It goes on when this process is ended.
pub(super) fn start(slot: Slot) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(plan::FOLDER).context("cannot make a folder")?;
    // The process takes it again, and has it for as long as it works: this one may be ended before it
    let lock = alone(Duration::ZERO)?;
    File::create(LOG).with_context(|| format!("cannot create {LOG}"))?;
    let child = Command::new("/proc/self/exe")
        .args(["os", "live", &slot.to_string()])
        .survive_parent()
        .inherit_group()
        .spawn()?;
    drop(lock);
    let mut log = File::open(LOG).with_context(|| format!("cannot open {LOG}"))?;
    let mut shown = 0;
    loop {
        let ended = child.pidfd().wait_ended(Some(LOOK_AGAIN))?;
        let mut news = Vec::new();
        log.seek(SeekFrom::Start(shown))
            .and_then(|_| log.read_to_end(&mut news))
            .with_context(|| format!("cannot read {LOG}"))?;
        shown += news.len() as u64;
        // Who does not listen misses it; the work goes on
        let _ = std::io::stdout().write_all(&news);
        if ended {
            break;
        }
    }
    Ok(if child.wait()?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The slot whose version runs since an upgrade without a reboot.
pub(super) fn slot() -> Option<u64> {
    let text = fs::read(DONE).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    value.get("slot")?.as_u64()
}

/// `ros os live`: the process that does it.
pub(super) fn main(number: u32) -> anyhow::Result<()> {
    let slot = Slot::from_number(number).with_context(|| format!("{number} is not a slot"))?;
    detach()?;
    let done = upgrade(slot);
    if let Err(error) = &done {
        // The log's; whoever called may be gone
        crate::problems::warn("upgrade", &format!("without a reboot: {error:#}"));
    }
    done
}

/// Leaves whoever called: the session and the control group of the console, and its terminal.
fn detach() -> anyhow::Result<()> {
    let log = File::options().append(true).open(LOG);
    let log = log.with_context(|| format!("cannot open {LOG}"))?;
    let nothing = File::open("/dev/null").context("cannot open /dev/null")?;
    for (file, number) in [(&nothing, 0), (&log, 1), (&log, 2)] {
        sys::process::set_stdio(file, number)?;
    }
    sys::process::setsid()?;
    fs::create_dir_all(CGROUP).with_context(|| format!("cannot create {CGROUP}"))?;
    fs::write(Path::new(CGROUP).join("cgroup.procs"), "0")
        .with_context(|| format!("cannot join {CGROUP}"))
}

fn upgrade(slot: Slot) -> anyhow::Result<()> {
    let _lock = alone(HANDED_OVER)?;
    refuse_second()?;
    let machine = Installed::here()?;
    let version = machine
        .version(slot)
        .with_context(|| format!("slot {slot} has no version"))?;
    let mut disk = machine.open(Role::Kernel(slot))?;
    let initrd = install::fat::read(&mut disk, 0, INITRD, INITRD_MAX)?;
    let files = initrd::files(&initrd, &system::names())?;
    drop(initrd);
    system::enter()?;
    let runtime = system_docker::event_loop()?;
    let client = Client::new(SYSTEM_DOCKER);
    let mut former = Former::note()?;
    let mut replaced = Replaced::default();
    let done = runtime.block_on(async {
        former.leave(&client, slot, files).await?;
        let image = format!("{BASE}:{}", version.manifest.version);
        let planned = plan::ask(&client, &image, former.os_config()).await?;
        replaced.all(&client, &planned).await
    });
    // What works without a boot may not boot. It asks both Dockers by itself
    let armed = || order::give(&machine, slot, "it runs, without a reboot");
    let Err(error) = done.and_then(|()| armed()) else {
        let names = replaced.names().join(", ");
        finish(slot, &version.manifest.version, &names);
        runtime.block_on(replaced.keep(&client));
        return Ok(());
    };
    println!("{error:#}: everything is undone");
    let undone = runtime.block_on(async {
        let services = replaced.back(&client).await;
        services.and(former.back(&client).await)
    });
    note_failure(&machine, slot, &error);
    match undone {
        Ok(()) => Err(error.context("the version that ran runs again")),
        Err(also) => bail!("{error:#}; and not all could be undone: {also:#}"),
    }
}

/// The version stays staged: what keeps it from starting without a reboot may be nothing to a boot.
fn note_failure(machine: &Installed, slot: Slot, error: &anyhow::Error) {
    let reason = format!("without a reboot it failed: {error:#}");
    match machine.note(slot, Outcome::Staged, &reason) {
        Ok(()) => println!("It stays in slot {slot}: `ros os upgrade` tries it by a reboot."),
        Err(error) => eprintln!("the history does not have it: {error:#}"),
    }
}

fn finish(slot: Slot, version: &str, services: &str) {
    crate::problems::clear("upgrade");
    let services = if services.is_empty() {
        "none"
    } else {
        services
    };
    let line = format!(
        "upgrade: v{version} of slot {slot} runs; services replaced: {services}; the next boot tries it"
    );
    println!("{line}");
    kmsg::log(Priority::Info, &line);
    let text = json!({"slot": slot.number(), "version": version}).to_string();
    // Without it a second upgrade of this kind is not refused, and `ros os status` does not say it
    if let Err(error) = fs::write(DONE, text) {
        eprintln!("{DONE}: {error}");
    }
}

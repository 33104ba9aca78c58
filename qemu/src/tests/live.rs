//! Upgrades without a reboot, and by kexec.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::install::{DISK_BYTES, blank_disk, install_on, reboot};
use crate::context::{Context, alone, long};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};
use crate::second_version::SecondVersion;

/// Where an installed machine has its versions mounted.
const STORE: &str = "/run/rancher/os";

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "live_upgrade_keeps_containers_and_ports_or_is_undone",
            live_upgrade,
        ),
        long(
            context,
            "kexec_starts_a_version_that_the_firmware_then_decides_about",
            kexec,
        ),
    ]
}

/// System Docker's own client shows no templates of everything.
const STOCK: &str = "docker -H unix:///var/run/system-docker.sock";
/// A machine without a busy host answers in milliseconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

fn live_upgrade(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "live-install", &disk.path, "")?;
    let iso = &context.artifacts.iso;
    let good = SecondVersion::of(iso, &["ntp", "docker"], |_, config| {
        config["Labels"] = json!({"second": "yes"});
    })?;
    let bad = SecondVersion::of(iso, &["syslog", "ntp"], |service, config| {
        config["Labels"] = json!({"second": "broken"});
        if service == "ntp" {
            config["Entrypoint"] = json!(["/nonexistent"]);
        }
    })?;
    let mut guest = Machine::new("live", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci,bootindex=1")
        .disk(&good.path)
        .disk(&bad.path)
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    let port = publish(&mut guest)?;
    let before = (web(&guest)?, services(&guest)?);
    let clients = Clients::start(port);
    let undone = broken(&guest, &before.1)?;
    whole(&guest, &undone, clients)?;
    ensure!(
        web(&guest)? == before.0,
        "the user's container was started again"
    );
    after_the_boot(&guest)?;
    guest.check()
}

/// The user's container, its process, and since when it runs.
fn web(guest: &Guest) -> anyhow::Result<String> {
    guest.run("docker inspect -f '{{.Id}} {{.State.Pid}} {{.State.StartedAt}}' web")
}

/// The second of two services does not start: both are as `before`. Returns the services of afterwards.
fn broken(guest: &Guest, before: &str) -> anyhow::Result<String> {
    let failed = guest
        .ssh
        .answer("sudo ros os upgrade -i /dev/vdc -f --live")?;
    ensure!(
        failed.code == 1 && failed.stdout.contains("everything is undone"),
        "an upgrade to a broken service: {failed:?}"
    );
    let now = services(guest)?;
    ensure!(
        images(&now) == images(before),
        "not all is back:\n{before}\n{now}"
    );
    let status = guest.run("sudo ros os status")?;
    ensure!(status.contains("state: idle"), "after a failure: {status}");
    guest.run(
        "sudo ros os history | tail -n 1 | grep -q 'staged, without a reboot it failed: service'",
    )?;
    Ok(now)
}

/// What differs is replaced, and nothing else of `before`; a second time is refused.
fn whole(guest: &Guest, before: &str, clients: Clients) -> anyhow::Result<()> {
    let said = guest.run("sudo ros os upgrade -i /dev/vdb -f --live")?;
    ensure!(
        said.contains("docker: works") && said.contains("ntp: works"),
        "an upgrade said: {said}"
    );
    let (failures, requests) = clients.end();
    ensure!(
        failures == 0,
        "{failures} of {requests} requests to a published port failed\n{}",
        guest.run("sudo iptables -t nat -S DOCKER; system-docker logs docker 2>&1 | grep -v 'loading plugin' | tail -n 60")?
    );
    let now = services(guest)?;
    for name in ["acpid", "console", "network", "syslog", "udev"] {
        let line = |all: &str| {
            let mut lines = all.lines();
            lines
                .find(|line| line.starts_with(&format!("/{name} ")))
                .map(str::to_owned)
        };
        ensure!(
            line(&now) == line(before),
            "{name} was touched:\n{before}\n{now}"
        );
    }
    for name in ["ntp", "docker"] {
        guest.run(&format!(
            "test \"$({STOCK} inspect -f '{{{{.State.Running}}}}' {name})\" = true && {STOCK} inspect -f '{{{{json .Config.Labels}}}}' {name} | grep -q second"
        ))?;
    }
    ensure!(
        guest.run("docker run --rm busybox echo hello")? == "hello",
        "no container after the upgrade"
    );
    let again = guest
        .ssh
        .answer("sudo ros os upgrade -i /dev/vdb -f --live")?;
    ensure!(again.code != 0, "twice: {again:?}");
    Ok(())
}

/// The next boot starts it, and its checks decide.
fn after_the_boot(guest: &Guest) -> anyhow::Result<()> {
    reboot(guest, 1)?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list")?;
    ensure!(list.contains("good running"), "after the boot: {list}");
    guest.run(&format!(
        "{STOCK} inspect -f '{{{{json .Config.Labels}}}}' ntp | grep -q second"
    ))?;
    guest
        .run("docker inspect -f '{{.State.Running}}' web | grep -q true")
        .map(drop)
}

/// Starts a container of the user's with a web server; the port of 127.0.0.1 that leads to it from outside the guest.
pub(crate) fn publish(guest: &mut Guest) -> anyhow::Result<u16> {
    let port = crate::ssh::free_port()?;
    let forward = format!("hostfwd_add net tcp:127.0.0.1:{port}-:8080");
    guest
        .qmp
        .run("human-monitor-command", json!({"command-line": forward}))?;
    guest.run("docker run -d --restart always --name web -p 8080:80 busybox sh -c 'echo served > /index.html; exec httpd -f -p 80 -h /'")?;
    guest.run_until(
        "test \"$(wget -qO- http://10.0.2.15:8080/index.html)\" = served",
        BOOT_DEADLINE,
    )?;
    Ok(port)
}

/// Name, image and process of each service.
fn services(guest: &Guest) -> anyhow::Result<String> {
    guest.run(&format!(
        "{STOCK} inspect -f '{{{{.Name}}}} {{{{.Image}}}} {{{{.State.Pid}}}}' acpid console docker network ntp syslog udev"
    ))
}

/// The same without the processes.
fn images(services: &str) -> Vec<&str> {
    services
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(start, _)| start)
        .collect()
}

/// Somebody who asks a published port again and again, one connection after the other.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    counts: Arc<(AtomicU32, AtomicU32)>,
    thread: JoinHandle<()>,
}

impl Clients {
    pub(crate) fn start(port: u16) -> Clients {
        let (stop, counts) = (Arc::<AtomicBool>::default(), Arc::default());
        let (until, count): (_, Arc<(AtomicU32, AtomicU32)>) =
            (Arc::clone(&stop), Arc::clone(&counts));
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                if let Err(error) = ask(port) {
                    eprintln!("request {}: {error:#}", count.1.load(Ordering::Relaxed));
                    count.0.fetch_add(1, Ordering::Relaxed);
                }
                count.1.fetch_add(1, Ordering::Relaxed);
            }
        });
        Clients {
            stop,
            counts,
            thread,
        }
    }

    /// How many have been answered, or not.
    pub(crate) fn requests(&self) -> u32 {
        self.counts.1.load(Ordering::Relaxed)
    }

    /// Failures, and requests.
    pub(crate) fn end(self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        // A client that panicked has counted up to there
        let _ = self.thread.join();
        let (failures, requests) = &*self.counts;
        (
            failures.load(Ordering::Relaxed),
            requests.load(Ordering::Relaxed),
        )
    }
}

fn ask(port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_DEADLINE)?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("no answer")?;
    ensure!(answer.ends_with("served\n"), "answered {answer:?}");
    Ok(())
}

/// A version that came by kexec is kept by a boot through the firmware, not before.
fn kexec(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "kexec-install", &disk.path, "")?;
    let iso = context.artifacts.iso.clone();
    let guest = Machine::new("kexec", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci")
        .disc_behind_scsi(&iso)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    let mark = guest.console.mark();
    // The connection ends with the machine.
    let _ = guest
        .ssh
        .answer("sudo ros os upgrade -i /dev/sr0 -f --kexec");
    guest
        .console
        .wait_after(mark, "Linux version", BOOT_DEADLINE)?;
    guest.wait_ready_after(mark)?;
    let text = guest.console.text();
    ensure!(
        !text[mark..].contains("SeaBIOS") && !text[mark..].contains("GRUB"),
        "the firmware was asked"
    );
    let line = guest.run("cat /proc/cmdline")?;
    ensure!(
        line.contains("rancher.slot=5") && line.contains(".1.kexec"),
        "started with {line}"
    );
    guest.run_until(
        "sudo ros os history | tail -n 1 | grep -q 'passed its checks after kexec'",
        BOOT_DEADLINE,
    )?;
    let status = guest.run("sudo ros os status")?;
    ensure!(
        status.contains("next: slot 5, 3 tries left"),
        "after kexec: {status}"
    );
    let list = guest.run("sudo ros os list")?;
    ensure!(list.contains("slot 4 good"), "after kexec: {list}");
    reboot(&guest, 1)?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list")?;
    ensure!(list.contains("slot 5 good running"), "after a boot: {list}");

    running_and_previous(&guest)?;
    lost_jump(&guest)?;
    guest.check()
}

/// The running version again, then the one before; neither jump is taken for a lost one.
fn running_and_previous(guest: &Guest) -> anyhow::Result<()> {
    for (command, words) in [
        (
            "reboot --kexec --kexec-append by.hand=1",
            ["rancher.slot=5", ".0.kexec", " by.hand=1 "],
        ),
        (
            "reboot --kexec-previous",
            ["rancher.slot=4", ".1.kexec", "panic=10"],
        ),
    ] {
        let mark = guest.console.mark();
        let _ = guest.ssh.answer(&format!("sudo {command}"));
        guest
            .console
            .wait_after(mark, "Linux version", BOOT_DEADLINE)?;
        guest.wait_ready_after(mark)?;
        let line = guest.run("cat /proc/cmdline")?;
        ensure!(
            words.iter().all(|word| line.contains(word)),
            "{command} started with {line}"
        );
    }
    reboot(guest, 1)?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list")?;
    ensure!(
        list.contains("slot 4 good running"),
        "after the second: {list}"
    );
    Ok(())
}

/// A jump that the firmware answers is remembered.
fn lost_jump(guest: &Guest) -> anyhow::Result<()> {
    guest.run(&format!(
        "sudo mount -o remount,rw {STORE} && sudo touch {STORE}/kexec-jumped && sudo mount -o remount,ro {STORE}"
    ))?;
    reboot(guest, 1)?;
    let refused = guest.run("sudo reboot --kexec 2>&1 || true")?;
    ensure!(
        refused.contains("an earlier kexec of this machine did not come back"),
        "after a lost jump: {refused}"
    );
    Ok(())
}

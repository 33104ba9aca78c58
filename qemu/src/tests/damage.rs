//! A state disk that a power cut, a dying disk or a full one has hurt: the machine comes up, says what is wrong, and loses
//! nothing else.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::disk::{Damage, Disk, STATE_LABEL};
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT, SERVICES};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "damage_of_files_is_said_and_costs_nothing_else",
            files_are_said_and_cost_nothing_else,
        ),
        alone(
            context,
            "damage_full_disk_lets_its_owner_in",
            full_disk_lets_its_owner_in,
        ),
        alone(
            context,
            "damage_disk_full_of_files_lets_its_owner_in",
            disk_full_of_files_lets_its_owner_in,
        ),
        alone(
            context,
            "damage_two_disks_of_one_label_and_a_read_only_one",
            two_disks_of_one_label_and_a_read_only_one,
        ),
        alone(
            context,
            "damage_of_the_file_system_boots_from_ram",
            file_system_boots_from_ram,
        ),
    ]
}

/// One file of the state disk, what happens to it, and what the boot says of it: in `ros status` and on the console.
struct Row(&'static str, Damage, &'static str);

/// No two of these hide each other.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row("/var/lib/rancher/conf/ssh/ssh_host_ed25519_key", Damage::Zeros, "ssh_host_ed25519_key was damaged"),
    Row("/var/lib/rancher/conf/ssh/ssh_host_ecdsa_key",   Damage::Half,  "ssh_host_ecdsa_key was damaged"),
    Row("/home/rancher/.ssh/authorized_keys",             Damage::Zeros, "rancher's authorized keys were damaged"),
    Row("/home/docker/.ssh/authorized_keys",              Damage::Junk,  "docker's authorized keys were damaged"),
    Row("/etc/docker/daemon.json",                        Damage::Zeros, "/etc/docker/daemon.json was damaged (it is all zeros)"),
    Row("/var/lib/docker/network/files/local-kv.db",      Damage::Zeros, "local-kv.db was damaged (it is all zeros)"),
    Row(META_DB,                                          Damage::Half,  "meta.db was damaged (it was cut off"),
    Row("/var/lib/docker/volumes/metadata.db",            Damage::Junk,  "volumes/metadata.db was damaged (it is not a database"),
    Row("/var/lib/docker/buildkit/cache.db",              Damage::Zeros, "buildkit/cache.db was damaged"),
    Row("/var/lib/docker/image/overlay2/repositories.json", Damage::Zeros, "repositories.json was damaged (it is all zeros)"),
    Row("/var/lib/kubelet",                               Damage::File,  "/state/var/lib/kubelet is not a directory"),
    Row("/var/log/syslog",                                Damage::Pipe,  "/var/log/syslog is not a file: it is set aside"),
    Row("/var/log/wtmp",                                  Damage::Directory, "/var/log/wtmp is not a file: it is set aside"),
    Row("/var/lib/rancher/conf/chrony/zeros.conf",        Damage::Zeros, "zeros.conf has zeros in it, as a power cut leaves them: it is set aside"),
    Row("/var/lib/rancher/conf/chrony/junk.conf",         Damage::Junk,  "junk.conf is not text: it is set aside"),
    Row("/var/lib/rancher/conf/chrony/pipe.conf",         Damage::Pipe,  "pipe.conf is not a file: it is set aside"),
    Row("/var/lib/rancher/conf/chrony/empty.conf",        Damage::Empty, ""),
    Row("/var/lib/rancher/conf/ssh/ssh_host_ecdsa_key.pub", Damage::Missing, ""),
    Row("/var/lib/rancher/conf/cloud-config.yml",         Damage::Pipe,  "cloud-config.yml is not a file: it is set aside"),
    Row("/var/lib/rancher/conf/cloud-config.d/x.yml",     Damage::Loop,  "x.yml leads nowhere: it is set aside"),
    Row("/var/lib/rancher/conf/cloud-config.d/y.yml",     Damage::Empty, ""),
    Row("/var/lib/rancher/conf/metadata",                 Damage::Directory, "metadata is not a file: it is set aside"),
    Row("/var/lib/rancher/reset-order",                   Damage::Pipe,  "the order to reset cannot be read"),
    Row("/var/lib/rancher/upgrade-policy.json",           Damage::Pipe,  ""),
    Row(GOOD_SETTINGS,                                    Damage::Pipe,  ""),
    Row("/var/lib/rancher/docker-good/bip",               Damage::Loop,  ""),
    Row(STAMP,                                            Damage::Pipe,  ""),
    Row("/home/alice/.ssh/authorized_keys",               Damage::Pipe,  "alice's authorized keys were damaged"),
    Row("/home/bob/.ssh/authorized_keys",                 Damage::Owner, "bob's authorized keys were damaged"),
];

/// Where a full disk's System Docker is shown.
const ON_DISK: &str = "/run/rancher/system-docker-on-disk";
/// What dockerd last answered with.
const GOOD_SETTINGS: &str = "/var/lib/rancher/docker-good/settings.json";
/// Says that the archive next to it is loaded.
const STAMP: &str = "/var/lib/rancher/preload/system-docker/kept.tar.done";

const META_DB: &str = "/var/lib/docker/containerd/daemon/io.containerd.metadata.v1.bolt/meta.db";

/// What is there before, and must be there afterwards.
const MAKE: &str = "echo mine > ~/note; sudo sh -c 'echo \"{}\" > /etc/docker/daemon.json'; \
    sudo ros config set rancher.environment.A b; sudo touch /var/log/wtmp; \
    sudo sh -c 'mkdir -p /var/lib/rancher/conf/chrony && cd /var/lib/rancher/conf/chrony && echo server 10.0.2.2 | tee zeros.conf junk.conf pipe.conf > empty.conf'; \
    sudo sh -c 'mkdir -p /var/lib/rancher/conf/cloud-config.d && cd /var/lib/rancher/conf/cloud-config.d || exit 1; echo \"rancher: {environment: {X: y}}\" | tee x.yml > y.yml; \
    echo \"users: [{name: alice, ssh_authorized_keys: [ssh-ed25519 AAAA a]}, {name: bob, ssh_authorized_keys: [ssh-ed25519 AAAA b]}]\" > users.yml; \
    for home in alice:1200 bob:1201; do mkdir -p /home/${home%:*}/.ssh; echo own > /home/${home%:*}/.ssh/authorized_keys; \
    chown -R ${home#*:} /home/${home%:*}; done'; \
    docker volume create kept >/dev/null; docker create --name kept busybox true >/dev/null; \
    sudo mkdir -p /var/lib/rancher/preload/system-docker; docker save busybox | sudo tee /var/lib/rancher/preload/system-docker/kept.tar | system-docker load -q; system-docker volume create kept; \
    system-docker run -d --name kept --restart always -v kept:/data busybox sh -c 'echo data > /data/note; sleep 100000'; \
    system-docker network create kept; sync";

/// The names that must be left, each on its own line.
const KEPT: &str = "cat ~/note; system-docker ps -q -f name=kept -f status=running | wc -l; \
    system-docker run --rm -v kept:/data busybox cat /data/note; system-docker network ls -q -f name=kept | wc -l";

fn files_are_said_and_cost_nothing_else(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let machine = || Machine::new("damage-files", Boot::Kernel).state_disk(&disk.path);
    let mut guest = machine().start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run(MAKE)?;
    let problems = guest.run("ros status --problems")?;
    ensure!(problems.is_empty(), "a sound machine says {problems}");
    guest.press_power()?;
    guest.wait_off()?;
    for Row(path, damage, _) in ROWS {
        disk.damage(path, *damage)?;
    }

    let guest = machine()
        .parameters("rancher.autologin=ttyS0")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    let status = || guest.run("ros status");
    for Row(path, damage, said) in ROWS.iter().filter(|row| !row.2.is_empty()) {
        let find = format!("ros status | grep -qF \"{said}\"");
        let answer = guest.run_until(&find, BOOT_DEADLINE);
        answer.with_context(|| format!("{path}, {damage:?}: {said:?} is not said"))?;
        ensure!(
            guest.console.text().contains(said),
            "{said:?} is not on the console\n{}",
            guest.console.tail()
        );
    }
    let runs = "system-docker ps -q -f name=kept -f status=running | grep -q .";
    guest.run_until(runs, BOOT_DEADLINE)?;
    let kept = guest.run(KEPT)?;
    ensure!(
        kept == "mine\n1\ndata\n1",
        "left is {kept:?}\n{}",
        status()?
    );

    // User Docker has come up by itself, with all that it had, and the name of its image is again what its container says.
    guest.wait_docker()?;
    let kept = guest.run(
        "docker volume ls -q -f name=kept; docker ps -aq -f name=kept | wc -l; docker start -a kept && docker run --rm busybox echo ran; \
        sudo ls /var/lib/docker/damaged | wc -l",
    )?;
    ensure!(
        kept == "kept\n1\nran\n1",
        "of User Docker is left {kept:?}\n{}",
        status()?
    );
    // What is written again is a file again, and nothing of the reset's order is left.
    let again = format!(
        "sudo test -f {GOOD_SETTINGS} && sudo test -f {STAMP} && ! sudo test -e /var/lib/rancher/reset-order && \
        sudo grep -q AAAA /home/alice/.ssh/authorized_keys && sudo grep -q AAAA /home/bob/.ssh/authorized_keys"
    );
    guest.run_until(&again, BOOT_DEADLINE)?;
    guest.run_until("sudo grep -q . /var/log/syslog", BOOT_DEADLINE)?;
    guest.wait_services(&SERVICES)?;
    guest.check()
}

/// A container takes all that it gets, then root takes the rest; after a reboot the owner gets in and can make room.
fn full_disk_lets_its_owner_in(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::blank()?;
    let guest = Machine::new("damage-full", Boot::Kernel)
        .state_disk(&disk.path)
        .parameters("rancher.state.autoformat=[/dev/vda] rancher.autologin=ttyS0")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("docker save busybox | system-docker load -q")?;
    // Not more than a container gets: what is reserved is the system's.
    let fill = "dd if=/dev/zero of=/full bs=1M 2>&1 | grep -o 'No space left'";
    for docker in ["docker", "system-docker"] {
        let filled = guest.run(&format!(
            "{docker} run --name filler busybox sh -c \"{fill}\""
        ))?;
        ensure!(filled.contains("No space"), "{docker}: {filled}");
        let left: u64 = guest.run("stat -f -c %f /home")?.parse()?;
        ensure!(
            left > 1000,
            "{docker}'s container took the system's reserve: {left} blocks are left"
        );
        if docker == "docker" {
            guest.run("docker rm filler")?;
        }
    }
    // Root with all capabilities is not held back.
    guest.run("sudo dd if=/dev/zero of=/home/full bs=64k 2>/dev/null; sudo dd if=/dev/zero of=/home/rest bs=512 2>/dev/null; sync; true")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    let problems = guest.run("ros status --problems")?;
    ensure!(
        problems.contains("/dev/vda is full"),
        "said is {problems:?}"
    );
    let banner = guest.run("bash -lic true 2>&1")?;
    ensure!(
        banner.contains("/dev/vda is full"),
        "the login says {banner:?}"
    );
    guest.wait_services(&SERVICES)?;

    // What that boot gave back is gone, too: System Docker is in RAM, and what fills the disk is shown
    guest.run("sudo dd if=/dev/zero of=/home/more bs=64k 2>/dev/null; sudo dd if=/dev/zero of=/home/last bs=512 2>/dev/null; sync; true")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    let problems = guest.run("ros status --problems")?;
    ensure!(
        problems.contains("System Docker works in RAM") && problems.contains(ON_DISK),
        "said is {problems:?}"
    );
    guest.wait_services(&SERVICES)?;
    guest.run(&format!(
        "sudo sh -c 'rm {ON_DISK}/containers/*/upper/full || ls -R {ON_DISK} >&2; sync'"
    ))?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    guest.wait_services(&SERVICES)?;
    guest.run("system-docker rm filler")?;
    guest.wait_docker()?;
    guest.run("docker system prune -f && sudo rm /home/full /home/rest /home/more /home/last")?;
    let left: u64 = guest.run("stat -f -c %a /home")?.parse()?;
    ensure!(left * 4096 > 500 << 20, "only {left} blocks are left");
    let text = guest.console.text();
    let restarts = text.matches("restart container").count();
    ensure!(
        restarts < 30,
        "{restarts} restarts failed one after the other"
    );
    guest.check()
}

/// There is room, and not one more file can be made: after a reboot all is as before, and the owner can remove files.
fn disk_full_of_files_lets_its_owner_in(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::ext4(STATE_LABEL, &["-N", "8192"])?;
    let guest = Machine::new("damage-files-full", Boot::Kernel)
        .state_disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run(
        "docker save busybox | system-docker load -q; for docker in docker system-docker; do \
        $docker run -d --name kept --restart always busybox sleep 1000000; done",
    )?;
    let fill = "sudo sh -c 'mkdir /home/many && cd /home/many && seq 8192 | xargs touch' 2>&1 | grep -m 1 -o 'No space left'; \
        stat -f -c %d /home";
    let filled = guest.run(fill)?;
    ensure!(filled == "No space left\n0", "filling says {filled:?}");
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    for said in [
        guest.run("ros status --problems")?,
        guest.run("bash -lic true 2>&1")?,
    ] {
        ensure!(said.contains("/dev/vda is full"), "said is {said:?}");
    }
    guest.wait_services(&SERVICES)?;
    guest.wait_docker()?;
    let runs = "for docker in docker system-docker; do $docker ps -q -f name=kept -f status=running; done | wc -l | grep -q 2";
    guest.run_until(runs, BOOT_DEADLINE)?;
    guest.run("sudo rm -r /home/many")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    let problems = guest.run("ros status --problems")?;
    ensure!(problems.is_empty(), "with room again it says {problems:?}");
    guest.run_until(runs, BOOT_DEADLINE)?;
    guest.check()
}

/// The disk that the machine used last is taken although another answers first; it cannot be written any more.
fn two_disks_of_one_label_and_a_read_only_one(context: &Context) -> anyhow::Result<()> {
    let (other, used) = (Disk::state()?, Disk::state()?);
    // As a boot leaves it: mounted once, with a home.
    used.debugfs(&[
        "set_super_value mtime 20260101000000".to_owned(),
        "mkdir /home".to_owned(),
        "mkdir /home/rancher".to_owned(),
    ])?;
    used.write("/home/rancher/note", b"mine\n")?;
    let read_only = format!(
        "file={},format=raw,if=virtio,readonly=on",
        used.path.display()
    );
    let guest = Machine::new("damage-two", Boot::Kernel)
        .state_disk(&other.path)
        .arguments(&["-drive", &read_only])
        .parameters("rancher.autologin=ttyS0")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    let problems = guest.run("ros status --problems")?;
    for said in [
        format!("LABEL={STATE_LABEL} is the name of several disks: /dev/vdb (UUID="),
        "/dev/vda (UUID=".to_owned(),
        "it is only read".to_owned(),
    ] {
        ensure!(problems.contains(&said), "{said:?} is not in {problems}");
        let text = guest.console.text();
        ensure!(text.contains(&said), "{said:?} is not on the console");
    }
    ensure!(guest.run("cat /home/rancher/note")? == "mine", "no note");
    guest.run("sudo sh -c 'echo new > /home/rancher/note'")?;
    guest.wait_services(&SERVICES)?;
    guest.wait_docker()?;
    guest.check()
}

/// Random bytes where the tables of the file system are (as `users/damaged-ext4-rescue` has it).
fn file_system_boots_from_ram(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    disk.scribble(4096, 40 * 4096)?;
    disk.scribble(200 * 4096, 2000 * 4096)?;
    let mut guest = Machine::new("damage-ext4", Boot::Kernel)
        .state_disk(&disk.path)
        .parameters("rancher.autologin=ttyS0")
        .start(&context.artifacts)?;
    guest.allow("EXT4-fs error");
    guest.wait_ready()?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    say_that_changes_are_lost(&guest)?;
    guest.wait_services(&SERVICES)?;
    guest.wait_docker()?;
    guest.check()
}

fn say_that_changes_are_lost(guest: &Guest) -> anyhow::Result<()> {
    let problems = guest.run("ros status --problems")?;
    if !problems.contains("/dev/vda") {
        bail!("said is {problems:?}");
    }
    let status = guest.run("ros status")?;
    ensure!(status.contains("lost at the next reboot"), "{status}");
    Ok(())
}

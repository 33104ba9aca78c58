//! Disks for data: `disk_setup`, `fs_setup` and `mounts` of user data, and `phone_home` when all is done.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use super::configuration::disc;
use super::user_data::prints;
use crate::context::{Context, alone};
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![alone(
        context,
        "data_disks_are_set_up_once_and_what_is_on_one_stays",
        are_set_up_once,
    )]
}

const USER_DATA: &str = "#cloud-config
disk_setup:
  /dev/vdb: {table_type: gpt, layout: [[25, 82], 75]}
  /dev/vdd: {layout: true}
fs_setup:
- {filesystem: swap, device: /dev/vdb, partition: 1, label: SWAP}
- {filesystem: ext4, device: /dev/vdb, partition: auto, label: data}
- {filesystem: ext4, device: /dev/vdc, label: whole, extra_opts: [-m 0], overwrite: true}
- {filesystem: ext4, device: /dev/vdd, label: new}
- {filesystem: ext4, device: /dev/vde, label: docker}
- {filesystem: ext4, device: /dev/vdf, label: homes}
mounts:
- [LABEL=data, /mnt/data]
- [/dev/vdc, /mnt/whole]
- [LABEL=SWAP, none, swap]
- [LABEL=docker, /var/lib/docker, ext4, noatime]
- [LABEL=homes, /home]
users:
- {name: ada, ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ada]}
write_files:
- {path: /home/ada/.rc, owner: ada, content: rc}
";

/// What was posted.
type Calls = Arc<Mutex<Vec<String>>>;

/// A server that remembers what it is told, until the test's process ends.
fn listen() -> anyhow::Result<(u16, Calls)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot open a port")?;
    let port = listener.local_addr()?.port();
    let calls = Calls::default();
    let heard = Arc::clone(&calls);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Ok(call) = hear(stream) {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push(call);
            }
        }
    });
    Ok((port, calls))
}

/// The path and the body of a request.
fn hear(mut stream: TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let path = line.split(' ').nth(1).unwrap_or_default();
    Ok(format!("{path} {}", String::from_utf8_lossy(&body)))
}

fn are_set_up_once(context: &Context) -> anyhow::Result<()> {
    let (port, calls) = listen()?;
    let user_data = format!(
        "{USER_DATA}phone_home: {{url: 'http://10.0.2.2:{port}/at/$INSTANCE_ID', post: [instance_id, hostname, fqdn]}}\n"
    );
    let cidata = disc(
        "cidata",
        &[
            ("user-data", &user_data),
            ("meta-data", "instance-id: one\nlocal-hostname: caller\n"),
        ],
    )?;
    let (state, parted, whole) = (Disk::state()?, Disk::blank()?, Disk::blank()?);
    let (docker, homes) = (Disk::blank()?, Disk::blank()?);
    let used = Disk::ext4("OTHER", &[])?;
    used.write("/file", b"mine")?;
    let guest = Machine::new("data-disks", Boot::Kernel)
        .memory_mib(1536)
        .state_disk(&state.path)
        .disk(&parted.path)
        .disk(&whole.path)
        .disk(&used.path)
        .disk(&docker.path)
        .disk(&homes.path)
        .disc(&cidata.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.run_until("test -e /var/lib/rancher/phone-home.done", BOOT_DEADLINE)?;
    are_there(&guest)?;
    guest.run("echo kept | sudo tee /mnt/data/note /mnt/whole/note >/dev/null")?;
    docker_is_on_its_disk(&guest).context("a disk for Docker")?;
    nothing_is_mounted_twice(&guest).context("a console that is started again")?;
    // It is not as asked any more, and overwrite was for the first boot
    guest.run("sudo e2label /dev/vdc mine")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    guest.run_until("test -e /run/rancher/runcmd-done", BOOT_DEADLINE)?;
    are_there(&guest)?;
    prints(&guest, "cat /mnt/data/note /mnt/whole/note", "kept\nkept")?;
    prints(&guest, "sudo blkid -s LABEL -o value /dev/vdc", "mine")?;
    guest.run_until("docker volume inspect landed", BOOT_DEADLINE)?;
    docker_waits_for_its_disk(&guest).context("a disk for Docker that is missing")?;
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(
        calls == ["/at/one instance_id=one&hostname=caller&fqdn=caller"],
        "the server heard {calls:?}"
    );
    guest.check()
}

fn are_there(guest: &Guest) -> anyhow::Result<()> {
    for place in ["/mnt/data", "/mnt/whole"] {
        let command = format!("findmnt -n -o FSTYPE {place} | sort -u");
        prints(guest, &command, "ext4")?;
    }
    guest.run("grep -q '^/dev/vdb1 ' /proc/swaps")?;
    prints(guest, "sudo blkid -s LABEL -o value /dev/vdd", "OTHER")?;
    let problems = guest.run("sudo ros status --problems; true")?;
    for words in [
        "disk_setup: /dev/vdd: it is left alone: something else is on it",
        "fs_setup: /dev/vdd: /dev/vdd is left alone: something else is on it",
    ] {
        ensure!(problems.contains(words), "{words:?} is not in {problems}");
    }
    ensure!(!problems.contains("/dev/vdb"), "{problems}");
    homes_are_on_their_disk(guest).context("a disk for homes")
}

/// The console makes homes before it mounts disks, and again on this one.
fn homes_are_on_their_disk(guest: &Guest) -> anyhow::Result<()> {
    prints(
        guest,
        "findmnt -n -o SOURCE -T /home | tail -n 1",
        "/dev/vdf",
    )?;
    prints(
        guest,
        "cd / && sudo stat -c '%U %a' /home/rancher/.ssh/authorized_keys /home/ada /home/ada/.ssh/authorized_keys /home/ada/.rc",
        "rancher 600\nada 755\nada 600\nada 644",
    )
}

/// In a console /var/lib/docker is a mount itself, of the state disk's directory.
fn docker_is_on_its_disk(guest: &Guest) -> anyhow::Result<()> {
    guest.wait_docker()?;
    prints(
        guest,
        "docker info -f '{{.DockerRootDir}}'",
        "/var/lib/docker",
    )?;
    let device = "findmnt -n -o SOURCE -T /var/lib/docker | tail -n 1";
    prints(guest, device, "/dev/vde")?;
    guest.run("docker volume create landed && docker run --rm -v landed:/data busybox sh -c 'echo there > /data/file'")?;
    // The disk itself, by another way.
    let look = "sudo mkdir -p /mnt/look && sudo mount /dev/vde /mnt/look && sudo cat /mnt/look/volumes/landed/_data/file; sudo umount /mnt/look";
    prints(guest, look, "there")
}

/// Docker does not start on the state disk's directory in place of a disk that is not there, and starts when somebody mounts it.
fn docker_waits_for_its_disk(guest: &Guest) -> anyhow::Result<()> {
    const SAID: &str = "sudo ros status --problems | grep 'LABEL=docker.* is not mounted, and Docker.s data is there'";
    guest.run("sudo e2label /dev/vde away")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    guest.run_until(SAID, BOOT_DEADLINE)?;
    guest.run("! docker version -f '{{.Server.Version}}'")?;
    guest.run("sudo e2label /dev/vde docker && sudo mount LABEL=docker /var/lib/docker")?;
    guest.run_until("docker volume inspect landed", BOOT_DEADLINE)?;
    guest.run_until(&format!("! {SAID}"), BOOT_DEADLINE)?;
    Ok(())
}

/// What the console has mounted in /mnt outlives it; /var/lib/docker is the state disk's again in the new one.
fn nothing_is_mounted_twice(guest: &Guest) -> anyhow::Result<()> {
    let count = "grep -c -e ' /mnt/data ' -e ' /mnt/whole ' /proc/self/mountinfo";
    let before = guest.run(count)?;
    // The connection ends with the console.
    let _ = guest.ssh.answer("sudo system-docker restart console");
    let is_made = r#"test "$(cat /run/rancher/console-files)" = "$(readlink /proc/self/ns/mnt)""#;
    guest.run_until(is_made, BOOT_DEADLINE)?;
    prints(guest, count, &before)?;
    let device = "findmnt -n -o SOURCE -T /var/lib/docker | tail -n 1";
    prints(guest, device, "/dev/vde")?;
    are_there(guest)
}

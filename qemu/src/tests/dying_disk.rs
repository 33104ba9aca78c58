//! A state disk that gives errors, from the boot on or at some moment: the machine comes up or stays up, its owner gets in,
//! and is told.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT, SERVICES};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "dying_disk_that_takes_no_write_is_read",
            takes_no_write,
        ),
        alone(
            context,
            "dying_disk_that_goes_away_keeps_nobody_out",
            goes_away,
        ),
    ]
}

/// What the kernel says of such a disk, and must.
const KERNEL_SAYS: [&str; 4] = [
    "I/O error",
    "EXT4-fs error",
    "Buffer I/O error",
    "JBD2: I/O error",
];

/// QEMU's blkdebug (docs/devel/blkdebug.rst): every write gives EIO, every read is answered.
fn without_writes(image: &Path) -> String {
    let rules: Vec<_> = ["write", "write-zeroes", "discard", "flush"]
        .iter()
        .map(|kind| serde_json::json!({"event": "none", "iotype": kind, "errno": 5, "once": false}))
        .collect();
    serde_json::json!({
        "node-name": "dying",
        "driver": "raw",
        "file": {
            "driver": "blkdebug",
            "inject-error": rules,
            "image": {"driver": "file", "filename": image},
        },
    })
    .to_string()
}

/// As many flash disks end: what is on them can be read.
fn takes_no_write(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    disk.debugfs(&["mkdir /home".to_owned(), "mkdir /home/rancher".to_owned()])?;
    disk.write("/home/rancher/note", b"mine\n")?;
    let mut guest = Machine::new("dying-writes", Boot::Kernel)
        .in_ram()
        .arguments(&["-blockdev", &without_writes(&disk.path)])
        .arguments(&["-device", "scsi-hd,drive=dying"])
        .parameters("rancher.autologin=ttyS0")
        .start(&context.artifacts)?;
    for line in KERNEL_SAYS {
        guest.allow(line);
    }
    guest.wait_ready()?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    let problems = guest.run("ros status --problems")?;
    for said in ["/dev/sda", "it is only read"] {
        ensure!(problems.contains(said), "{said:?} is not in {problems:?}");
        let text = guest.console.text();
        ensure!(text.contains(said), "{said:?} is not on the console");
    }
    ensure!(guest.run("cat /home/rancher/note")? == "mine", "no note");
    guest.run("sudo sh -c 'echo new > /home/rancher/note'")?;
    guest.wait_services(&SERVICES)?;
    guest.wait_docker()?;
    guest.check()
}

/// As after a pulled cable: SCSI's `offline` lets the kernel answer every request with EIO.
fn goes_away(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let mut guest = Machine::new("dying-away", Boot::Kernel)
        .in_ram()
        .disk_behind(&disk.path, "scsi-hd")
        .start(&context.artifacts)?;
    for line in KERNEL_SAYS {
        guest.allow(line);
    }
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("docker save busybox | system-docker load -q")?;
    guest.run("system-docker run -d --name before busybox sleep 100000")?;
    guest.run("echo offline | sudo tee /sys/block/sda/device/state")?;
    // Something is written, so that the kernel finds out.
    let _ = guest.run("sudo sh -c 'echo x > /home/note; sync'");
    guest.run_until(
        "ros status --problems | grep -q '/dev/sda gives errors'",
        BOOT_DEADLINE,
    )?;
    system_docker_answers(&guest)?;
    let mark = guest.console.mark();
    // What the console has not in memory, sudo perhaps, is gone with the disk; PID 1 is not.
    guest.press_ctrl_alt_del()?;
    guest
        .console
        .wait_after(mark, "Linux version", crate::guest::OFF_DEADLINE)?;
    // The disk is back, as after a cable was put in again, and the machine is as it was.
    guest.wait_ready_after(mark)?;
    guest.wait_docker()?;
    let left = guest.run("system-docker ps -aq -f name=before | wc -l; ros status --problems")?;
    ensure!(left == "1", "left is {left:?}");
    guest.wait_services(&SERVICES)?;
    guest.check()
}

/// What runs goes on; what has to write says why it cannot.
fn system_docker_answers(guest: &Guest) -> anyhow::Result<()> {
    let running = guest.run("system-docker ps --format '{{.Names}}' | grep -x before")?;
    ensure!(running == "before", "running is {running:?}");
    let refused = guest.ssh.answer("system-docker volume create new")?;
    let causes = ["read-only file system", "input/output error"];
    ensure!(
        refused.code != 0 && causes.iter().any(|cause| refused.stderr.contains(cause)),
        "creating a volume says {refused:?}"
    );
    Ok(())
}

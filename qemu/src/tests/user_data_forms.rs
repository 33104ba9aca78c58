//! User data in other forms than a cloud-config: packed, in several parts, a script, an address; and user data that installs.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use libtest_mimic::Trial;

use super::configuration::{disc, disc_of_bytes};
use super::datasources::serve;
use super::install::{DISK_BYTES, blank_disk, start};
use super::user_data::prints;
use crate::context::{Context, alone};
use crate::guest::BOOT_DEADLINE;
use crate::machine::{Boot, Firmware, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "user_data_of_several_parts_is_unpacked_and_run",
            several_parts,
        ),
        alone(
            context,
            "user_data_installs_and_powers_the_machine_off",
            installs,
        ),
    ]
}

/// As cloud-init's `write-mime-multipart` makes it.
fn parts(port: u16) -> String {
    format!(
        r#"MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="===part==="

--===part===
Content-Type: text/cloud-config; charset="us-ascii"

#cloud-config
hostname: of-parts
swap: {{filename: /opt/swap, size: 16M}}
runcmd:
- wait-for-docker && docker run --rm busybox echo ran > /opt/runcmd
rancher:
  services:
    ticks:
      image: rancher/os-base:${{VERSION}}
      command: sh -c 'echo tick >> /ticks/log'
      volumes: [/opt/ticks:/ticks]
      labels: {{io.rancher.os.scope: system, io.rancher.os.createonly: "true", cron.schedule: "*/2 * * * * *"}}

--===part===
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/sh
echo "$(hostname) $(id -u)" > /opt/script

--===part===
Content-Type: text/x-include-url; charset="us-ascii"

http://10.0.2.2:{port}/included

--===part===--
"#
    )
}

fn several_parts(context: &Context) -> anyhow::Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(parts(serve()?).as_bytes())?;
    let drive = disc_of_bytes(
        "cidata",
        &[
            ("user-data", &packed.finish()?),
            ("meta-data", b"instance-id: parts\n"),
        ],
    )?;
    let guest = Machine::new("user-data-parts", Boot::Kernel)
        .disc(&drive.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    prints(&guest, "hostname", "of-parts")?;
    guest.run_until("test -s /opt/runcmd", BOOT_DEADLINE)?;
    prints(&guest, "cat /opt/runcmd", "ran")?;
    guest.run_until("test -s /opt/script", BOOT_DEADLINE)?;
    prints(&guest, "cat /opt/script", "of-parts 0").context("the script")?;
    prints(&guest, "cat /etc/included", "from the server").context("the address")?;
    guest.run("grep -q '^/opt/swap ' /proc/swaps")?;
    guest.run_until("test $(grep -c tick /opt/ticks/log) -ge 3", BOOT_DEADLINE)?;
    prints(&guest, "sudo ros status --problems; true", "")?;
    guest.check()
}

fn installs(context: &Context) -> anyhow::Result<()> {
    let key = &context.artifacts.key.public;
    let user_data = format!(
        "#cloud-config
write_files:
- path: /opt/installed.yml
  content: |
    #cloud-config
    hostname: by-user-data
    ssh_authorized_keys: ['{key}']
runcmd:
- [ros, install, -d, /dev/vda, -c, /opt/installed.yml, -f, --no-reboot, -a, 'loglevel=8 rancher.debug=true']
power_state: {{mode: poweroff}}
"
    );
    let drive = disc(
        "cidata",
        &[
            ("user-data", user_data.as_str()),
            ("meta-data", "instance-id: farm\n"),
        ],
    )?;
    let disk = blank_disk(DISK_BYTES)?;
    let mut guest = Machine::new("user-data-installs", Boot::Kernel)
        .in_ram()
        .disk(&disk.path)
        .disc(&drive.path)
        .start(&context.artifacts)?;
    guest.wait_off().context("it did not power off by itself")?;
    drop(guest);
    let guest = start(
        context,
        "user-data-installed",
        &disk.path,
        "virtio-blk-pci",
        Firmware::Bios,
    )?;
    prints(&guest, "hostname", "by-user-data")?;
    guest.check()
}

//! What RancherOS's own integration tests assert and no other test of ours does; docs/testing.md has the table of all rows.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;

use super::datasources;
use super::user_data::prints;
use crate::context::{Context, alone};
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT, READY};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "rancheros_command_line_wins_over_a_fat_config_drive_without_a_state_disk",
            command_line_and_fat_drive,
        ),
        alone(
            context,
            "rancheros_disks_files_and_settings_hold_after_a_reboot",
            after_a_reboot,
        ),
        alone(
            context,
            "rancheros_machine_without_a_card_boots_into_a_usable_console",
            without_a_card,
        ),
    ]
}

/// A FAT file system with the files of a config drive.
fn fat_drive(user_data: &str) -> anyhow::Result<(PathBuf, TempDir)> {
    let folder = tempfile::tempdir().context("cannot make a folder for a disk")?;
    let (image, file) = (folder.path().join("drive"), folder.path().join("user_data"));
    std::fs::write(&file, user_data).context("cannot write the user data")?;
    duct::cmd!("mkfs.vfat", "-C", "-n", "CONFIG-2", &image, "4096")
        .stdout_null()
        .run()
        .context("mkfs.vfat: is dosfstools installed?")?;
    duct::cmd!("mmd", "-i", &image, "::openstack", "::openstack/latest")
        .run()
        .context("mmd: is mtools installed?")?;
    duct::cmd!("mcopy", "-i", &image, &file, "::openstack/latest/user_data")
        .run()
        .context("mcopy")?;
    Ok((image, folder))
}

/// Rows 2, 10, 11, 29, 37, 38 and 41.
fn command_line_and_fat_drive(context: &Context) -> anyhow::Result<()> {
    const USER_DATA: &str = "#cloud-config
hostname: from-the-drive
ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDISCdiscDISCdiscDISCdiscDISCdiscDISCdiscDISC disc]
rancher:
  network:
    interfaces:
      eth0: {dhcp: true}
      eth1: {address: 10.1.0.41/24}
      eth2: {address: 10.1.0.60/24}
";
    let (drive, _folder) = fat_drive(USER_DATA)?;
    let guest = Machine::new("rancheros-line", Boot::Kernel)
        .in_ram()
        .disk(&drive)
        .arguments(&[
            "-netdev",
            "user,id=net1,restrict=on",
            "-device",
            "virtio-net-pci,netdev=net1",
            "-netdev",
            "user,id=net2,restrict=on",
            "-device",
            "virtio-net-pci,netdev=net2",
        ])
        .parameters(
            "rancher.state.dev=LABEL=NONEXISTENT rancher.state.wait rancher.modules=[btrfs] \
             rancher.network.interfaces.eth1.address=10.1.0.52/24 -- cc.hostname=nope rancher.debug=false",
        )
        .start(&context.artifacts)?;
    // Without rancher.debug the console does not show that the boot is ready.
    guest.ssh.wait(BOOT_DEADLINE)?;
    prints(&guest, "hostname", "nope")?;
    guest.run("grep -q AAAAIDISC ~/.ssh/authorized_keys && grep -q '^btrfs ' /proc/modules")?;
    prints(&guest, "sudo ros config get rancher.debug", "false")?;
    prints(
        &guest,
        "sudo ros config get rancher.state.dev",
        "LABEL=NONEXISTENT",
    )?;
    prints(&guest, "findmnt -n -o FSTYPE -T /home", "tmpfs")?;
    for (link, address) in [("eth1", "10.1.0.52/24"), ("eth2", "10.1.0.60/24")] {
        let command = format!("ip -4 -o addr show {link} | awk '{{print $4}}'");
        guest.run_until(&format!("test \"$({command})\" = {address}"), BOOT_DEADLINE)?;
    }
    guest.console.wait(
        "state: LABEL=NONEXISTENT was not found",
        Duration::from_secs(1),
    )?;
    // RancherOS's 30 s.
    let line = guest.run("sudo ros boot blame | grep 'mount state'")?;
    let seconds = line.split_whitespace().next().map(str::parse::<f64>);
    ensure!(
        matches!(seconds, Some(Ok(seconds)) if seconds >= 30.0),
        "the state disk was not waited for: {line}"
    );
    guest.check()
}

/// Requests that a proxy got, by their first lines.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    fn has(&self, word: &str) -> bool {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().any(|line| line.contains(word))
    }
}

/// A proxy that refuses everybody, and remembers what they wanted.
fn proxy() -> anyhow::Result<(u16, Requests)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot open a port for the proxy")?;
    let port = listener.local_addr()?.port();
    let requests = Requests::default();
    let seen = requests.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            if BufReader::new(&stream).read_line(&mut line).is_ok() {
                let mut lines = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(line);
            }
            // A client that has gone wanted nothing more.
            let _ = write!(
                stream,
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    Ok((port, requests))
}

/// Rows 8, 19, 28, 31, 42 to 44, 46, 49, 50 and 52.
fn after_a_reboot(context: &Context) -> anyhow::Result<()> {
    let (state, swap, data) = (Disk::state()?, Disk::blank()?, Disk::blank()?);
    let oem = Disk::ext4("RANCHER_OEM", &[])?;
    oem.write(
        "/oem-config.yml",
        b"rancher: {environment: {FROM_OEM: yes}}\n",
    )?;
    duct::cmd!("mkswap", "-q", "-L", "RANCHER_SWAP", &swap.path)
        .run()
        .context("mkswap")?;
    let (port, requests) = proxy()?;
    let served = datasources::serve()?;
    let guest = Machine::new("rancheros-disks", Boot::Kernel)
        .memory_mib(1536)
        .state_disk(&state.path)
        .disk(&oem.path)
        .disk(&swap.path)
        .disk(&data.path)
        .parameters("rancher.state.directory=ros_subdir")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    prepare(&guest, port, served).context("before the reboot")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    guest.wait_docker()?;
    disks(&guest).context("disks")?;
    prints(&guest, "sysctl -n vm.swappiness", "17").context("the datasource of a file")?;
    prints(
        &guest,
        "sudo ros config get rancher.network.interfaces.eth3.dhcp",
        "true",
    )?;
    prints(&guest, "sudo ros env sh -c 'echo $FROM_OEM'", "yes").context("the vendor's file")?;
    prints(
        &guest,
        "ls /usr/share/ros/oem/oem-config.yml",
        "/usr/share/ros/oem/oem-config.yml",
    )?;
    prints(
        &guest,
        "sed -n 's/^NAME=//p' /etc/os-release | tr -d '\"'",
        "RancherOS",
    )?;
    images(&guest).context("images that were put there")?;
    proxies(&guest, port, &requests).context("proxies")?;
    guest
        .run("docker --tlsverify -H tcp://localhost:2376 version")
        .context("TLS")?;
    shared_mount(&guest).context("a mount of a container")?;
    guest.check()
}

fn prepare(guest: &Guest, proxy: u16, served: u16) -> anyhow::Result<()> {
    guest.run("sudo mkdir -p /var/lib/rancher/preload/docker /var/lib/rancher/preload/system-docker /var/lib/rancher/conf/cloud-config.d")?;
    guest.run("docker tag busybox mine:1 && docker save mine:1 | sudo tee /var/lib/rancher/preload/docker/mine.tar >/dev/null && docker tag busybox ours:1 && docker save ours:1 | gzip -1 | sudo tee /var/lib/rancher/preload/system-docker/ours.tar.gz >/dev/null && docker rmi mine:1 ours:1")?;
    guest.run(&format!("echo 'rancher: {{cloud_init: {{datasources: [\"url:http://10.0.2.2:{served}/user-data\"]}}}}' | sudo tee /var/lib/rancher/conf/cloud-config.d/datasources.yml >/dev/null"))?;
    guest.run("sudo mkfs.ext4 -q /dev/vdd")?;
    guest.run("sudo ros tls generate -s -H localhost && sudo ros tls generate")?;
    guest.run("sudo ros config set rancher.network.interfaces.eth3.dhcp true")?;
    guest
        .run(&format!(
            "sudo ros config merge <<'EOF'
bootcmd:
- echo $http_proxy $HTTPS_PROXY > /run/proxies-of-commands
mounts:
- [LABEL=RANCHER_SWAP, '', swap, '']
- [/dev/vdd, /mnt/data, ext4, '']
- [/mnt/data, /mnt/again, '', bind]
- [none, /mnt/ram, tmpfs, 'size=1M']
rancher:
  docker: {{tls: true}}
  network:
    http_proxy: http://10.0.2.2:{proxy}
    https_proxy: http://10.0.2.2:{proxy}
    no_proxy: localhost,127.0.0.1
EOF"
        ))
        .map(drop)
}

fn disks(guest: &Guest) -> anyhow::Result<()> {
    guest.run("grep -q ^/dev/vdc /proc/swaps")?;
    guest.run("sudo sh -c 'echo bound > /mnt/data/file' && grep -q bound /mnt/again/file && findmnt -n -o FSTYPE /mnt/ram | grep -q tmpfs")?;
    prints(guest, "blkid -s LABEL -o value /dev/vda", "RANCHER_STATE").or_else(|_| {
        prints(
            guest,
            "sudo blkid -s LABEL -o value /dev/vda",
            "RANCHER_STATE",
        )
    })?;
    prints(
        guest,
        "sudo mkdir -p /mnt/whole && sudo mount /dev/vda /mnt/whole && ls -d /mnt/whole/ros_subdir/home/rancher /mnt/whole/home 2>/dev/null; sudo umount /mnt/whole",
        "/mnt/whole/ros_subdir/home/rancher",
    )
}

fn images(guest: &Guest) -> anyhow::Result<()> {
    for docker in [
        "docker image inspect mine:1",
        "system-docker inspect ours:1",
    ] {
        guest.run_until(&format!("{docker} >/dev/null"), BOOT_DEADLINE)?;
    }
    Ok(())
}

fn proxies(guest: &Guest, port: u16, requests: &Requests) -> anyhow::Result<()> {
    let url = format!("http://10.0.2.2:{port}");
    for (docker, name) in [("docker", "users.test"), ("system-docker", "systems.test")] {
        let answer = guest.ssh.answer(&format!("{docker} pull {name}/x:1"))?;
        ensure!(answer.code != 0, "{docker} pull succeeded");
        ensure!(
            requests.has(name),
            "{docker} did not ask the proxy for {name}"
        );
    }
    let shown = guest.run("docker info --format '{{.HTTPProxy}} {{.HTTPSProxy}} {{.NoProxy}}'")?;
    ensure!(
        shown.starts_with(&format!("{url} {url} localhost")),
        "docker info: {shown}"
    );
    for command in [
        "bash -lc 'echo $http_proxy $HTTPS_PROXY'",
        "cat /run/proxies-of-commands",
    ] {
        prints(guest, command, &format!("{url} {url}"))?;
    }
    Ok(())
}

/// A system container's mount below a shared volume is seen by the console.
fn shared_mount(guest: &Guest) -> anyhow::Result<()> {
    guest.run("sudo mkdir -p /mnt/shared && system-docker run -d --privileged --name sharer -v /mnt:/mnt:shared ours:1 sh -c 'mount -t tmpfs none /mnt/shared && echo seen > /mnt/shared/file && exec sleep 1000'")?;
    guest.run_until("test \"$(cat /mnt/shared/file)\" = seen", BOOT_DEADLINE)?;
    guest
        .run("system-docker rm -f sharer && sudo umount /mnt/shared")
        .map(drop)
}

/// Rows 33 and 34, as far as there is one console.
fn without_a_card(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("rancheros-cardless", Boot::Kernel)
        .without_network()
        .parameters("rancher.autologin=ttyS0 ds=nocloud-net;s=http://10.0.2.2:1/")
        .start(&context.artifacts)?;
    guest.console.wait(READY, BOOT_DEADLINE)?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    for (command, words) in [
        (
            "wait-for-docker && docker run --rm busybox echo it-runs-$((40 + 2))",
            "it-runs-42",
        ),
        (
            "sudo ros status --problems | sed 's/^/said-/'",
            "said-problem: cloud-init: ",
        ),
    ] {
        guest.types(command, words)?;
    }
    guest.check()
}

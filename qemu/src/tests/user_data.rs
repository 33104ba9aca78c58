//! User data holds in the very boot that reads it, in RAM; what is wrong with it is said, and costs nothing else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use super::configuration::disc;
use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

const BIG: &str = include_str!("user_data/big.yml");
const BROKEN: &str = include_str!("user_data/broken.yml");

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "user_data_holds_in_the_same_boot_and_ros_shows_it",
            holds_in_the_same_boot_and_ros_shows_it,
        ),
        alone(
            context,
            "user_data_with_broken_parts_leaves_the_machine_reachable",
            broken_parts_leave_the_machine_reachable,
        ),
    ]
}

/// A machine without a disk, with this user data on a NoCloud disc.
pub(super) fn booted(
    context: &Context,
    name: &str,
    user_data: &str,
    arguments: &[&str],
) -> anyhow::Result<Guest> {
    let drive = disc(
        "cidata",
        &[
            ("user-data", user_data),
            ("meta-data", "instance-id: one\n"),
        ],
    )?;
    let guest = Machine::new(name, Boot::Kernel)
        .memory_mib(1536)
        .disc(&drive.path)
        .arguments(arguments)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    Ok(guest)
}

/// Runs a command and compares what it prints.
pub(super) fn prints(guest: &Guest, command: &str, want: &str) -> anyhow::Result<()> {
    let got = guest.run(command)?;
    ensure!(got == want, "{command}: printed {got:?}, not {want:?}");
    Ok(())
}

fn holds_in_the_same_boot_and_ros_shows_it(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "user-data-big", BIG, &[])?;
    guest.wait_docker()?;
    guest.run_until("test -e /run/rancher/runcmd-done", BOOT_DEADLINE)?;
    system(&guest).context("what PID 1 applies")?;
    console(&guest).context("what the console applies")?;
    docker(&guest).context("what User Docker applies")?;
    said(&guest).context("what is said")?;
    commands(&guest).context("ros")?;
    guest.check()
}

/// sysctl, modules and services of user data: RancherOS's rows 18, 29, 30, 51, 64.
fn system(guest: &Guest) -> anyhow::Result<()> {
    prints(guest, "hostname", "from-user-data")?;
    guest.run("grep -q '^127.0.1.1.*from-user-data' /etc/hosts")?;
    prints(
        guest,
        "cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/conf/all/log_martians",
        "example.org\n1",
    )?;
    guest.run("grep -q '^btrfs ' /proc/modules")?;
    let env = guest.run("system-docker inspect -f '{{json .Config.Env}}' probe")?;
    for pair in ["A=AA", "BB=BB", "BC=BC", "C=own"] {
        ensure!(
            env.contains(&format!("\"{pair}\"")),
            "{pair} is not in {env}"
        );
    }
    prints(
        guest,
        "system-docker inspect -f '{{.State.Running}}' probe",
        "true",
    )?;
    // Its file is in write_files, of the same user data.
    prints(
        guest,
        "system-docker inspect -f '{{.State.Running}}' included",
        "true",
    )?;
    prints(guest, "system-docker logs once", "ran")?;
    prints(guest, "system-docker exec ntp cat /test-ntp", "for ntp")?;
    prints(
        guest,
        "system-docker exec syslog sh -c 'cat /test-syslog; stat -c %a /test-syslog'",
        "for syslog600",
    )
}

/// Files, users, mounts and commands: rows 6, 9, 31, 47, 48, 64.
fn console(guest: &Guest) -> anyhow::Result<()> {
    prints(guest, "sudo cat /etc/big/plain", "plain")?;
    prints(
        guest,
        "sudo stat -c '%a %U %G' /etc/big/plain",
        "640 rancher docker",
    )?;
    prints(guest, "cat /etc/big/base64 /etc/big/packed", "hellohello")?;
    prints(
        guest,
        "cat /etc/big/order",
        "boot\nstring 2\na  list\nstart\nlocal",
    )?;
    guest.run("grep -q AAAAIDISC ~/.ssh/authorized_keys")?;
    guest.run("grep -q 'none /mnt/small tmpfs' /proc/mounts")?;
    prints(
        guest,
        "awk -F: '$3 == 1200 {print $1}' /etc/passwd; id -Gn ada | tr ' ' '\\n' | sort | tr '\\n' ' '",
        "ada\nada docker makers testers",
    )?;
    prints(guest, "date -d @0 +%H:%M", "01:00").context("the time zone")?;
    default_user(guest).context("the user that `user` names")?;
    sshd(guest).context("the owner's sshd_config")?;
    prints(guest, "sudo -u ada sudo -n id -u", "0")?;
    guest.run("sudo grep -q '^ada:[$]' /etc/shadow")?;
    prints(
        guest,
        "sudo grep -h . /etc/profile.d/locale.sh /var/lib/rancher/conf/chrony/cloud-config.conf",
        "export LANG='C.UTF-8'\nserver 10.0.2.2 iburst",
    )?;
    guest.run_until(
        "system-docker exec ntp chronyc -n sources | grep -q 10.0.2.2",
        BOOT_DEADLINE,
    )?;
    guest.run("grep -q registry.invalid:5000 ~/.docker/config.json && test $(stat -c %a ~/.docker/config.json) = 600")?;
    Ok(())
}

/// Keys, sudo and Docker; that rancher has them still is what every command of the test shows.
fn default_user(guest: &Guest) -> anyhow::Result<()> {
    guest.run("sudo grep -q AAAAIDISC ~bob/.ssh/authorized_keys /run/rancher/ssh/bob")?;
    prints(guest, "sudo -u bob sudo -n id -u", "0")?;
    prints(guest, "id -Gn bob", "bob docker")
}

/// The owner's values hold, except for those that would have locked the test out.
fn sshd(guest: &Guest) -> anyhow::Result<()> {
    const SETTINGS: &str = "sudo /usr/sbin/sshd -T -f /etc/ssh/sshd_config.rancher -C user=rancher,host=a,addr=127.0.0.1,laddr=127.0.0.1,lport=22";
    let settings = guest.run(SETTINGS)?;
    for line in [
        "clientaliveinterval 77",
        "usepam no",
        "permitrootlogin no",
        "authorizedkeysfile .ssh/authorized_keys /run/rancher/ssh/%u /run/rancher/ssh-users/%u /etc/big/keys",
        "subsystem sftp /usr/lib/openssh/sftp-server",
    ] {
        let is_there = settings.lines().any(|known| known.trim() == line);
        ensure!(is_there, "no {line:?} in {settings}");
    }
    Ok(())
}

fn docker(guest: &Guest) -> anyhow::Result<()> {
    let info = guest.run("docker info --format '{{json .}}'")?;
    for word in [
        "from=user-data",
        "registry.invalid:5000",
        "http://mirror.invalid:5001/",
    ] {
        ensure!(info.contains(word), "{word} is not in {info}");
    }
    guest.run("ip -4 addr show docker0 | grep -q 172.31.0.1/24")?;
    guest.run(
        "tr '\\0' ' ' < /proc/$(pidof dockerd)/cmdline | grep -q -- '--max-concurrent-downloads 2'",
    )?;
    guest.run("sudo grep -qz FROM_USER_DATA=yes /proc/$(pidof dockerd)/environ")?;
    Ok(())
}

/// Whatever is not applied or fails is on the console and in `ros status`, with file and line.
fn said(guest: &Guest) -> anyhow::Result<()> {
    for words in [
        "rancher.console: not applied: this version has one console",
        "rancher.state.dev: not applied: it is read before the disk",
        "rancher.services_include.kernel-extras: not applied: it is not needed",
        "rancher.netwrk: unknown key, did you mean \"rancher.network\"?",
        "console: runcmd[2]: ",
        "console: the big user data is applied",
        "service: unpullable: cannot pull registry.invalid:5000/none:1",
    ] {
        guest
            .console
            .wait(words, Duration::from_secs(60))
            .with_context(|| words.to_owned())?;
    }
    let status = guest.run("sudo ros status")?;
    for words in [
        "boot: ",
        "services: ",
        "user docker: version ",
        "link eth0: up 10.0.2.15/24",
        "boot.yml:",
        "rancher.console: not applied",
        "rancher.state.dev: not applied",
    ] {
        ensure!(status.contains(words), "{words} is not in {status}");
    }
    Ok(())
}

/// `ros` as RancherOS had it: rows 45, 65, 66, and what it got wrong.
fn commands(guest: &Guest) -> anyhow::Result<()> {
    guest.run("sudo ros config set rancher.network.dns.search '[a.b, c.d]' && sudo ros c set rancher.log true")?;
    prints(
        guest,
        "sudo ros config get rancher.network.dns.search",
        "- a.b\n- c.d",
    )?;
    prints(
        guest,
        "sudo ros config set rancher.network.dns.search '[]' && sudo ros config get rancher.network.dns.search",
        "[]",
    )?;
    for wrong in [
        "sudo ros config set hostnam x",
        "sudo ros config set rancher.debug perhaps",
        "sudo ros config set hostname",
        "printf 'hostname: [' | ros config validate",
        "printf '#cloud-config\\nhostnam: a\\n' | ros config validate",
        "printf '#cloud-config\\nrancher: {services: {a: {command: b}}}' | ros config validate",
        "printf '## template: jinja\\n#cloud-config\\nhostname: a\\n' | ros config validate",
        "sudo ros config get rancher.netwrk",
        "sudo ros config get rancher.environment.NOT_SET",
    ] {
        ensure!(guest.ssh.answer(wrong)?.code != 0, "{wrong} must fail");
    }
    prints(
        guest,
        "printf '#cloud-config\\r\\nrancher:\\r\\n  debug: true\\r\\n' | sudo ros config merge && sudo ros config get rancher.debug",
        "true",
    )?;
    let export = guest.run("sudo ros config export")?;
    ensure!(
        !export.contains("lovelace") && !export.contains("password: p"),
        "export shows a password: {export}"
    );
    guest.run("sudo ros config export -p | grep -q 'password: p' && sudo ros config export --full | grep -q 'udev:'")?;
    guest.run("sudo ros config diff | grep -q 'hostname .*boot.yml:3:11'")?;
    prints(guest, "sudo ros env sh -c 'echo $A; echo $BB'", "AA\nBB")?;
    guest.run("ros console list | grep -q 'current *default' && ros engine list | grep -q 'current *docker-'")?;
    services_of_files(guest)
}

/// Services of files that `ros service` switches on and off, in both Dockers.
fn services_of_files(guest: &Guest) -> anyhow::Result<()> {
    conf_file(
        guest,
        "test.yml",
        "local:
  image: rancher/os-base:${VERSION}
  command: sh -c 'ls / ; sleep 1000'
  labels: {io.rancher.os.scope: system}",
    )?;
    guest.run(
        "sudo ros service enable /var/lib/rancher/conf/test.yml && sudo ros service up local",
    )?;
    guest.run_until("sudo ros service logs local | grep -q bin", BOOT_DEADLINE)?;
    let listed = guest.run("sudo ros service ps --format json")?;
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed)?;
    let local = listed.iter().find(|container| container["name"] == "local");
    ensure!(
        local.is_some_and(|container| container["state"] == "running"),
        "{listed:?}"
    );
    prints(
        guest,
        "sudo ros service list",
        "enabled  /var/lib/rancher/conf/included.yml\nenabled  /var/lib/rancher/conf/test.yml\nenabled  kernel-extras\ndisabled wifi",
    )?;
    guest.run(
        "sudo ros service down local && sudo ros service disable /var/lib/rancher/conf/test.yml",
    )?;
    conf_file(
        guest,
        "user.yml",
        "mine:
  image: busybox
  command: ls /",
    )?;
    guest.run(
        "sudo ros service enable /var/lib/rancher/conf/user.yml && sudo ros service up mine",
    )?;
    guest.run_until("docker logs mine | grep -q bin", BOOT_DEADLINE)?;
    ensure!(
        guest.ssh.answer("sudo ros service enable /tmp/x.yml")?.code != 0,
        "a path elsewhere must be refused"
    );
    Ok(())
}

/// Writes a file next to the machine's own configuration.
fn conf_file(guest: &Guest, name: &str, text: &str) -> anyhow::Result<()> {
    guest
        .run(&format!(
            "sudo tee /var/lib/rancher/conf/{name} >/dev/null <<'EOF'\n{text}\nEOF"
        ))
        .map(drop)
}

fn broken_parts_leave_the_machine_reachable(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "user-data-broken", BROKEN, &[])?;
    guest.run_until("test -e /run/rancher/runcmd-done", BOOT_DEADLINE)?;
    prints(
        &guest,
        "hostname; cat /etc/good; id -un fine",
        "still-good\ngoodgood\nfine",
    )?;
    for words in [
        "hostnmae: unknown key, did you mean \"hostname\"?",
        "rancher.debug: expected true or false, found a string",
        "interfaces: eth0: address: \"10.0.2.999/24\" is not an address",
        "rancher.network.interfaces.dns: this is not a link: did you mean \"rancher.network.dns\"?",
        "rancher.network.dns.override: unknown key: it is gone",
        "rancher.services_include: expected a map, found a list: write `NAME: true` for each",
        "services wait for each other",
        "rancher.sysctl: ",
        "rancher.modules: ",
        "rancher.state.formatzero: unknown key: use rancher.state.autoformat",
        "write_files[4]: /x: there is no service \"nowhere\"",
        "relative: the path is not absolute",
        "user a:b: ",
        "power_state: mode is",
        "snap: not applied: it belongs to Ubuntu",
        "write_files[5].path: nobody reads /etc/ntp.conf",
        "disable_root: not applied: root cannot log in by ssh",
        "package_upgrade: noted, not done",
    ] {
        guest
            .console
            .wait(words, Duration::from_secs(60))
            .with_context(|| words.to_owned())?;
    }
    let status = guest.run("sudo ros status --format json")?;
    ensure!(status.contains("boot.yml:"), "no place in {status}");
    prints(
        &guest,
        "system-docker inspect -f '{{.State.Status}}' ntp",
        "created",
    )?;
    let set = guest.run("sudo ros config set rancher.state.dev LABEL=OTHER 2>&1")?;
    ensure!(
        set.contains("kernel command line") && !set.contains("after a reboot"),
        "ros config set says {set}"
    );
    guest.wait_docker()?;
    guest.check()
}

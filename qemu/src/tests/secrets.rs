//! What is secret in a configuration is shown by no command and no log, and read by nobody but its owner.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use super::user_data::booted;
use crate::context::{Context, alone};
use crate::guest::BOOT_DEADLINE;

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![alone(
        context,
        "secrets_are_shown_by_nothing_and_read_by_nobody_else",
        shown_by_nothing,
    )]
}

/// Each secret is one word with this in it.
const MARK: &str = "s3cret";

const USER_DATA: &str = "#cloud-config
chpasswd: {expire: false, list: 'docker:s3cret-chpasswd'}
users:
- default
- {name: ada, lock_passwd: false, plain_text_passwd: s3cret-ada}
write_files:
- path: /etc/own.key
  permissions: '0600'
  content: |
    -----BEGIN PRIVATE KEY-----
    s3cret-key
- {path: /var/lib/own-ntp.key, container: ntp, permissions: '0600', content: '-----BEGIN PRIVATE KEY----- s3cret-ntp'}
runcmd:
- test -n http://u:s3cret-runcmd@h.invalid/ && exit 3
bootcmd:
- [no-such-program, 'http://u:s3cret-bootcmd@h.invalid/']
rancher:
  password: s3cret-rancher
  registry_auths:
    registry.invalid:5000: {username: u, password: s3cret-registry}
  environment: {DB_PASSWORD: s3cret-environment, MODE: plain}
  docker:
    tls: true
    environment: [API_TOKEN=s3cret-docker]
  network:
    http_proxy: http://u:s3cret-proxy@10.0.2.2:1
    interfaces:
      eth0: {dhcp: true}
      wg0: {address: 10.9.0.1/24, wireguard: {private_key: s3cret-wireguard, listen_port: 7}}
  services:
    probe:
      image: rancher/os-base:${VERSION}
      command: sleep 100000
      environment: [MODE]
      labels: {io.rancher.os.scope: system}
    unpullable:
      image: registry.invalid:5000/none:1
      labels: {io.rancher.os.scope: system}
";

/// Commands that a person runs to look at the machine, or to show it to others.
const SHOWN_BY: &[&str] = &[
    "sudo ros config export",
    "sudo ros config export --full",
    "sudo ros config diff; sudo ros config diff --format json",
    "sudo ros config apply --dry-run",
    "sudo ros config images; sudo ros service list",
    "sudo ros status; sudo ros status --format json",
    "sudo ros net status; sudo ros net status --format json",
    "sudo ros boot blame; sudo ros boot plot",
    "sudo dmesg",
    "sudo sh -c 'cat /var/log/*'",
    "for c in $(system-docker ps -aq); do system-docker inspect $c; system-docker logs $c 2>&1; done",
    "docker info; docker ps -a; docker version",
    "system-docker info; system-docker ps -a",
];

fn shown_by_nothing(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "secrets", USER_DATA, &[])?;
    guest.wait_docker()?;
    guest.run_until("test -e /run/rancher/runcmd-done", BOOT_DEADLINE)?;
    // They are used, or there would be nothing to hide.
    guest.run("sudo grep -q 's3cre[t]-key' /etc/own.key && sudo grep -q '^ada:[$]' /etc/shadow")?;
    for command in SHOWN_BY {
        let answer = guest.ssh.answer(command)?;
        let shown = format!("{}{}", answer.stdout, answer.stderr);
        let line = shown.lines().find(|line| line.contains(MARK));
        ensure!(line.is_none(), "{command} shows {line:?}");
    }
    ensure!(
        !guest.console.text().contains(MARK),
        "the console shows a secret"
    );
    for file in ["cloud-config.d/boot.yml", "metadata"] {
        let mode = guest.run(&format!(
            "sudo sh -c 'stat -c %a /var/lib/rancher/conf/{file} 2>/dev/null || echo 600'"
        ))?;
        ensure!(mode == "600", "{file} has mode {mode}");
    }
    // Not even a user of the machine who may not use Docker. The pattern does not find itself in a command line.
    let pattern = MARK.replace("ret", "re[t]");
    let readable = guest.run(&format!(
        "cd /; sudo -u nobody sh -c 'grep -rls {pattern} /etc /home /media /mnt /opt /run /tmp /usr/share/ros /var 2>/dev/null; grep -ls {pattern} /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null'; true"
    ))?;
    ensure!(readable.is_empty(), "nobody can read {readable}");
    guest.check()
}

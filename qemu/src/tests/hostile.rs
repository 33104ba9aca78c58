//! Configurations that are wrong in every way, all of them in one boot: the owner of the machine gets in, and each is named.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use super::user_data::{booted, prints};
use crate::context::{Context, alone};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![alone(
        context,
        "user_data_forty_hostile_documents_leave_the_machine_reachable",
        forty_hostile_documents_leave_the_machine_reachable,
    )]
}

/// Each is a separate document.
const DOCUMENTS: &[&str] = &[
    "hostname: [unclosed",
    "hostname: \"unclosed",
    "rancher:\n\tdebug: true",
    "hostname: {{ .Hostname }}",
    "<html><body>404 not found</body></html>",
    "{\"error\": \"unauthorized\"}",
    "- a\n- list",
    "only words",
    "a: &a [*a]",
    "a: *nowhere",
    "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]",
    "rancher: 5",
    "rancher: []",
    "rancher: {network: yes}",
    "rancher: {network: {interfaces: [eth0]}}",
    "rancher: {network: {interfaces: {eth0: dhcp}}}",
    "rancher: {network: {interfaces: {'[': {dhcp: true}, '*': {mtu: 99999999}}}}",
    "rancher: {network: {interfaces: {bond9: {bond: bond9, bond_opts: {mode: '77'}}}}}",
    "rancher: {network: {interfaces: {br9: {bridge: br9}, br8: {bridge: br7}, br7: {bridge: br8}}}}",
    "rancher: {network: {interfaces: {dummy5: {vlans: '5000,0,x,1:toolongnameofaninterface'}}}}",
    "rancher: {network: {dns: {nameservers: [not-an-address, 1.1.1]}}}",
    "rancher: {network: {pre_cmds: [exit 1, [no-such-program]]}}",
    "rancher: {services: []}",
    "rancher: {services: {a: 5, b: {}, '../../x': {image: y}}}",
    "rancher: {services: {c: {image: 'NOT A NAME', labels: {io.rancher.os.scope: system}}}}",
    "rancher: {services: {d: {image: rancher/os-base, mem_limit: lots, ports: ['99999:x'], labels: {io.rancher.os.scope: system, io.rancher.os.after: d}}}}",
    "rancher: {sysctl: {../../../etc/passwd: x, kernel.panic: boom}}",
    "rancher: {modules: ['../x', 'loop bogus=1', '']}",
    "rancher: {ssh: {port: 999999, listen_address: nowhere}}",
    "rancher: {shutdown_timeout: -1}",
    "rancher: {docker: {log_driver: [], storage_driver: {}, mtu: -5000000000000}}",
    "rancher: {registry_auths: {x: y}, repositories: [], environment: [=, A]}",
    "rancher: {services_include: {/etc/shadow: true, /dev/zero: true, /dev/ttyS0: true, /dev/console: true, '': true}}",
    "write_files: [{path: /proc/sysrq-trigger, content: ''}, {path: '/', content: a}, 5]",
    "mounts: [[/dev/zero, /], [none], 5, [[a]]]",
    "users: [{name: root, shell: /no}, {name: '../x'}, 7]",
    "groups: [[[]]]\nchpasswd: {list: no-colon}\nswap: {filename: /, size: -1}",
    "runcmd: [[], '', {a: b}, [exit], 'false']\nbootcmd: ['exit 3']",
    "timezone: ../../etc/shadow\nlocale: 'x;y'\nca_certs: {trusted: [rubbish]}",
    "ssh_authorized_keys: {a: b}",
    "#include\nhttp://169.254.169.254/x",
    "write_files: [{path: /etc/ssh/sshd_config.d/bad.conf, content: 'Port none'}, {path: /etc/ssh/sshd_config, content: 'AllowUsers core'}]",
    "power_state: {mode: reboot, condition: 'false', delay: never}",
];

/// As cloud-init's own tool would pack them, with the one that lets its owner in among them.
fn message() -> String {
    let mut text = "Content-Type: multipart/mixed; boundary=ONE\n\n".to_owned();
    let good = "hostname: still-mine\nrancher: {environment: {GOOD: part}}";
    let (first, second) = DOCUMENTS.split_at(DOCUMENTS.len() / 2);
    for document in first.iter().chain(&[good]).chain(second) {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "--ONE\nContent-Type: text/cloud-config\n\n#cloud-config\n{document}\n"
        );
    }
    text + "--ONE--\n"
}

fn forty_hostile_documents_leave_the_machine_reachable(context: &Context) -> anyhow::Result<()> {
    ensure!(DOCUMENTS.len() >= 40, "{} documents", DOCUMENTS.len());
    let guest = booted(context, "user-data-hostile", &message(), &[])?;
    prints(&guest, "hostname", "still-mine")?;
    prints(&guest, "sudo ros env sh -c 'echo $GOOD'", "part")?;
    let walls = "cd /proc/sys/fs; cat protected_symlinks protected_hardlinks protected_fifos protected_regular";
    prints(&guest, walls, "1\n1\n1\n1")?;
    for words in [
        "part 1:2:",
        "indented with a tab",
        "part 12:2:10: error: rancher: expected a map",
        "more than 100000 values",
        "/etc/ssh/sshd_config.d and /etc/ssh/sshd_config are left out, since sshd does not start",
    ] {
        guest
            .console
            .wait(words, Duration::from_secs(60))
            .with_context(|| words.to_owned())?;
    }
    // The console shows the first of each kind only; on a terminal, this shows those of the machine.
    let all = guest
        .ssh
        .answer_typed("sudo ros config validate", "")?
        .stdout;
    for words in [
        "rancher.network.interfaces.eth0: expected a map",
        "rancher.ssh.port: expected a number from 1 to 65535",
        "rancher.services.../../x: the name of a service",
        "rancher.services_include./dev/ttyS0: not applied: it is a device, and not a file",
    ] {
        ensure!(all.contains(words), "no {words:?} in {all}");
    }
    let status = guest.run("sudo ros status")?;
    ensure!(status.contains("boot.yml"), "no place in {status}");
    guest.wait_docker()?;
    guest.check()
}

//! User data that comes over the network, from a server that the test starts; and services that are not there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use super::user_data::prints;
use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHTTPhttpHTTPhttpHTTPhttpHTTPhttpHTTPhttp http";

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "datasources_nocloud_by_http_is_named_by_the_command_line",
            nocloud_by_http_is_named_by_the_command_line,
        ),
        alone(
            context,
            "datasources_nocloud_by_http_is_named_by_the_firmware",
            nocloud_by_http_is_named_by_the_firmware,
        ),
        alone(
            context,
            "datasources_user_data_that_comes_late_holds_in_the_same_boot",
            |context| comes_late(context, false),
        ),
        alone(
            context,
            "datasources_user_data_that_comes_late_holds_in_ram_too",
            |context| comes_late(context, true),
        ),
        alone(
            context,
            "datasources_a_dead_service_keeps_nobody_out",
            a_dead_service_keeps_nobody_out,
        ),
        alone(
            context,
            "datasources_a_vmware_without_an_answer_keeps_nobody_out",
            a_vmware_without_an_answer_keeps_nobody_out,
        ),
    ]
}

/// Serves NoCloud's files until the test's process ends; QEMU's user network shows it at 10.0.2.2.
pub(super) fn serve() -> anyhow::Result<u16> {
    Ok(serve_late()?.0)
}

/// The same; what is below [`LATE`] is there only when the second value is true.
fn serve_late() -> anyhow::Result<(u16, Arc<AtomicBool>)> {
    let is_open = Arc::new(AtomicBool::new(false));
    let of_server = Arc::clone(&is_open);
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot open a port for the server")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away asks again.
            let _ = answer(stream, port, &of_server);
        }
    });
    Ok((port, is_open))
}

/// Below this path the user data has a service of a catalogue, which is there, too.
const WITH_CATALOGUE: &str = "/with-catalogue";

/// User data that the server gives when the machine is up.
const LATE: &str = "/late";
const LATE_USER_DATA: &str = r#"#cloud-config
write_files:
- {path: /etc/late/console, content: late, permissions: "0640"}
- {path: /etc/late-ntp, content: late, container: ntp}
runcmd: ["echo ran >> /etc/late/commands; echo ran >> /home/rancher/commands"]
users: [{name: eve}]
rancher:
  sysctl: {vm.swappiness: 17}
  network: {dns: {search: [late.invalid]}}
  services:
    late: {image: "rancher/os-base:${VERSION}", command: "sleep 1000", labels: {io.rancher.os.scope: system}}
    wrong: {command: [no, image]}
"#;

fn answer(mut stream: TcpStream, port: u16, is_open: &AtomicBool) -> std::io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut line)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
    }
    let path = line.split(' ').nth(1).unwrap_or("");
    let below = path.strip_prefix(WITH_CATALOGUE);
    let catalogue = match below {
        Some(_) => format!(
            "  services_include: {{late: true}}\n  repositories: {{own: {{url: 'http://10.0.2.2:{port}{WITH_CATALOGUE}'}}}}\n"
        ),
        None => String::new(),
    };
    let late = path.strip_prefix(LATE);
    if late.is_some() && !is_open.load(Ordering::SeqCst) {
        return Ok(()); // the connection ends without an answer
    }
    let body = match below.unwrap_or(path) {
        _ if late == Some("/user-data") => Some(LATE_USER_DATA.to_owned()),
        _ if late == Some("/meta-data") => {
            Some("instance-id: i-late\nlocal-hostname: came-late\n".to_owned())
        }
        "/user-data" => Some(format!(
            "#cloud-config\nssh_authorized_keys: ['{KEY}']\nrancher:\n  sysctl: {{vm.swappiness: 17}}\n{catalogue}"
        )),
        "/l/late.yml" => Some(
            "late:\n  image: rancher/os-base:${VERSION}\n  command: [sleep, '1000']\n  labels: {io.rancher.os.scope: system}\n".to_owned(),
        ),
        "/included" => Some(
            "#cloud-config\nwrite_files:\n- {path: /etc/included, content: from the server}\n".to_owned(),
        ),
        "/meta-data" => Some("instance-id: i-http\nlocal-hostname: from-the-server\n".to_owned()),
        "/network-config" => Some(
            "version: 2\nethernets:\n  all:\n    match: {name: 'eth*'}\n    dhcp4: true\n    addresses: [192.0.2.77/24]\n    wakeonlan: true\n"
                .to_owned(),
        ),
        _ => None,
    };
    let (status, body) = match &body {
        Some(body) => ("200 OK", body.as_str()),
        None => ("404 Not Found", ""),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Name, keys, settings and network in the boot that fetched them; nothing of the network that it was fetched by is left over.
fn check(guest: &Guest) -> anyhow::Result<()> {
    guest.wait_ready()?;
    prints(guest, "hostname", "from-the-server")?;
    prints(guest, "sysctl -n vm.swappiness", "17")?;
    prints(
        guest,
        "sudo stat -c %a /var/lib/rancher/conf/metadata",
        "600",
    )?;
    let keys = guest.run("cat ~/.ssh/authorized_keys")?;
    ensure!(
        keys.contains("AAAAIHTTP"),
        "the server's key is not in {keys}"
    );
    let addresses = guest.run("ip -4 -o address show dev eth0")?;
    ensure!(
        addresses.contains("192.0.2.77/24") && addresses.contains("10.0.2.15"),
        "eth0 has {addresses}"
    );
    let problems = guest.run("sudo ros status --problems; true")?;
    ensure!(
        problems.contains(": ethernets.all.wakeonlan: "),
        "a key that is not applied is not named: {problems}"
    );
    guest.check()
}

fn nocloud_by_http_is_named_by_the_command_line(context: &Context) -> anyhow::Result<()> {
    let port = serve()?;
    let guest = Machine::new("nocloud-http", Boot::Kernel)
        .parameters(&format!(
            "ds=nocloud-net;s=http://10.0.2.2:{port}{WITH_CATALOGUE}/"
        ))
        .start(&context.artifacts)?;
    check(&guest)?;
    // Its file is fetched by the boot that reads of it, and kept
    guest.run_until(
        "test \"$(system-docker inspect -f '{{.State.Running}}' late)\" = true",
        BOOT_DEADLINE,
    )?;
    guest.run("sudo test -f /var/lib/rancher/cache/services/uown/late.yml")?;
    prints(
        &guest,
        "sudo ros status --problems | grep -c late; true",
        "0",
    )
}

fn nocloud_by_http_is_named_by_the_firmware(context: &Context) -> anyhow::Result<()> {
    let port = serve()?;
    let serial = format!("type=1,serial=ds=nocloud;s=http://10.0.2.2:{port}/");
    let guest = Machine::new("nocloud-smbios", Boot::Kernel)
        .arguments(&["-smbios", &serial])
        .start(&context.artifacts)?;
    check(&guest)
}

/// The server is away until the machine is up: what it says then holds without a reboot, once.
fn comes_late(context: &Context, in_ram: bool) -> anyhow::Result<()> {
    let (port, is_open) = serve_late()?;
    let machine = Machine::new(if in_ram { "late-in-ram" } else { "late" }, Boot::Kernel);
    let machine = if in_ram { machine.in_ram() } else { machine };
    let guest = machine
        .parameters(&format!("ds=nocloud-net;s=http://10.0.2.2:{port}{LATE}/"))
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    ensure!(guest.run("hostname")? != "came-late", "it came before");
    guest.run("sudo test -e /var/lib/rancher/conf/.cloud-init-late")?;
    is_open.store(true, Ordering::SeqCst);
    // The console restarts in between, and the last thing that it does is to run the commands.
    guest.run_until("sudo grep -q ran /etc/late/commands", BOOT_DEADLINE)?;
    prints(&guest, "hostname; sysctl -n vm.swappiness", "came-late\n17")?;
    prints(
        &guest,
        "sudo cat /etc/late/console; sudo stat -c ' %a' /etc/late/console; id -u eve",
        "late 640\n1200",
    )?;
    guest.run_until(
        "test \"$(system-docker inspect -f '{{.State.Running}}' late)\" = true && grep -q late.invalid /etc/resolv.conf",
        BOOT_DEADLINE,
    )?;
    prints(&guest, "system-docker exec ntp cat /etc/late-ntp", "late")?;
    // Said when all the rest is done, by PID 1: nobody is left to hear its answer.
    guest.run_until(
        "sudo ros status --problems | grep -q 'has no image'",
        BOOT_DEADLINE,
    )?;
    guest.refuses("sudo ros status --problems | grep 'next boot'", 1, "")?;
    // It is neither asked nor applied again.
    guest.run("sudo test ! -e /var/lib/rancher/conf/.cloud-init-late")?;
    guest.run_until(
        "sudo ros config apply --dry-run | grep -q 'nothing to apply'",
        BOOT_DEADLINE,
    )?;
    guest.wait_docker()?;
    prints(&guest, "cat ~/commands", "ran")?;
    guest.check()
}

/// The firmware names a platform whose service is not there.
fn a_dead_service_keeps_nobody_out(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("dead-service", Boot::Kernel)
        .arguments(&["-smbios", "type=1,manufacturer=Hetzner"])
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    let problems = guest.run("sudo ros status --problems; true")?;
    ensure!(
        problems.contains("cloud-init: hetzner: "),
        "nothing is said: {problems}"
    );
    guest.check()
}

/// The firmware says VMware, and the hypervisor is another one: the processor ends the program that asks, and nothing else.
fn a_vmware_without_an_answer_keeps_nobody_out(context: &Context) -> anyhow::Result<()> {
    let mut guest = Machine::new("vmware", Boot::Kernel)
        .arguments(&["-smbios", "type=1,manufacturer=VMware,, Inc."])
        .start(&context.artifacts)?;
    guest.allow("general protection fault");
    guest.wait_ready()?;
    let problems = guest.run("sudo ros status --problems; true")?;
    ensure!(
        problems.contains("cloud-init: vmware: guestinfo: the hypervisor does not "),
        "nothing is said: {problems}"
    );
    guest.check()
}

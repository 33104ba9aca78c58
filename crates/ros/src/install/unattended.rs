//! Installation without a person: `rancher.install.*` on the kernel's command line, for farms that boot from the network or
//! from one ISO.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use config::CommandLine;
use sys::process::Command;

use super::Options;
use crate::supervisor;

/// The parameter that asks for it.
const DEVICE: &str = "rancher.install.device";

/// The console is ready before slow switches and DHCP servers are: spanning tree takes 50 s.
const ROUTE_DEADLINE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Whether the command line asks for an installation. On an installed disk it does not: the medium may still be named there.
fn is_asked_for(line: &CommandLine) -> bool {
    line.values(DEVICE).next().is_some() && line.values("rancher.slot").next().is_none()
}

/// Starts an installation on the machine's console when the command line asks for one; it ends in a reboot.
pub(crate) fn start(line: &CommandLine) -> anyhow::Result<()> {
    if is_asked_for(line) {
        let command = Command::new("ros")
            .args(["install", "--unattended"])
            .terminal(Path::new("/dev/console"));
        supervisor::once(&command)?;
    }
    Ok(())
}

/// Installs as the command line says, once there is a network to fetch from; a failure is kept for `ros status`, since nobody may be
/// there to read it.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let done = fs::read_to_string("/proc/cmdline")
        .context("cannot read /proc/cmdline")
        .and_then(|line| {
            let options = options(&CommandLine::parse(&line));
            if needs_network(&options) {
                wait_for_route(has_route);
            }
            super::run(&options)
        });
    if let Err(error) = &done {
        let text = format!("nothing was installed by {DEVICE}, or not all: {error:#}");
        crate::problems::warn("install", &text);
    }
    done
}

/// Whether something has to be fetched: the cloud-config, or an image that is not a file here.
fn needs_network(options: &Options) -> bool {
    let is_address = |text: &String| text.starts_with("http://") || text.starts_with("https://");
    let is_far = |image: &String| !image.starts_with(['/', '.']) && !Path::new(image).exists();
    options.cloud_config.as_ref().is_some_and(is_address)
        || options.image.as_ref().is_some_and(is_far)
}

/// Waits for a default route. Without one the installation is tried all the same: what it needs may be on the same link.
fn wait_for_route(has_route: impl Fn() -> bool) {
    let end = Instant::now() + ROUTE_DEADLINE;
    if !has_route() {
        println!("Waiting for the network.");
    }
    while !has_route() && Instant::now() < end {
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Whether the kernel has a default route: an all-zero destination and mask (proc(5), `net/route`), or IPv6's with the length 0.
fn has_route() -> bool {
    let table = |name: &str| fs::read_to_string(name).unwrap_or_default();
    is_default_v4(&table("/proc/net/route")) || is_default_v6(&table("/proc/net/ipv6_route"))
}

fn is_default_v4(table: &str) -> bool {
    const ANY: &str = "00000000";
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(1) == Some(&ANY) && fields.get(7) == Some(&ANY)
    })
}

/// The kernel's own entry, which rejects everything, is on the loopback device.
fn is_default_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(1) == Some(&"00") && fields.last().is_some_and(|device| *device != "lo")
    })
}

/// What the command line says, as flags.
pub(super) fn options(line: &CommandLine) -> Options {
    let text = |key: &str| line.values(key).last().map(str::to_owned);
    let flag = |key: &str| {
        line.parameters()
            .iter()
            .any(|p| p.key == key && p.value.as_deref() != Some("false"))
    };
    Options {
        image: text("rancher.install.image"),
        install_type: "generic".to_owned(),
        cloud_config: text("rancher.install.cloud_config"),
        device: text(DEVICE),
        append: text("rancher.install.append"),
        force: flag("rancher.install.force"),
        no_reboot: flag("rancher.install.no_reboot"),
        keep_state: flag("rancher.install.keep_state"),
        unattended: true,
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_same_as_the_flags() {
        let line = CommandLine::parse(
            "rancher.install.device=smallest rancher.install.cloud_config=http://10.0.0.1/c.yml rancher.install.force",
        );
        assert!(is_asked_for(&line));
        let options = options(&line);
        assert_eq!(options.device.as_deref(), Some("smallest"));
        assert_eq!(
            options.cloud_config.as_deref(),
            Some("http://10.0.0.1/c.yml")
        );
        assert!(options.force && !options.keep_state && !options.no_reboot);
        // The console that it runs on is a terminal, at which nobody answers
        assert!(options.unattended);
        assert!(!is_asked_for(&CommandLine::parse("console=tty0")));
        assert!(!is_asked_for(&CommandLine::parse(
            "rancher.install.device=/dev/sda rancher.slot=4"
        )));
    }

    #[test]
    fn only_what_is_fetched_waits_for_the_network() {
        let line = |text: &str| needs_network(&options(&CommandLine::parse(text)));
        assert!(line(
            "rancher.install.device=smallest rancher.install.cloud_config=http://a/c"
        ));
        assert!(line(
            "rancher.install.device=smallest rancher.install.image=rancher/os:v1"
        ));
        assert!(!line(
            "rancher.install.device=smallest rancher.install.image=/media/a.iso"
        ));
        assert!(!line("rancher.install.device=smallest"));
    }

    #[test]
    fn a_route_that_comes_late_is_waited_for() {
        let looks = std::cell::Cell::new(0);
        wait_for_route(|| {
            looks.set(looks.get() + 1);
            looks.get() > 2
        });
        assert_eq!(looks.get(), 3);
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let v4 = |line: &str| is_default_v4(&format!("{head}{line}"));
        assert!(v4("eth0 00000000 0202000A 0003 0 0 0 00000000 0 0 0\n"));
        assert!(!v4("eth0 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"));
        let zeros = "0".repeat(32);
        let v6 = |device: &str| {
            is_default_v6(&format!(
                "{zeros} 00 {zeros} 00 {zeros} ffffffff 1 0 00200200 {device}\n"
            ))
        };
        assert!(v6("eth0") && !v6("lo"));
    }
}

//! The boot of an installed disk next to the boot of the disc, from the same kind of state, through the same firmware.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::boot::stamp;
use super::row;
use crate::artifacts::Artifacts;
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT};
use crate::machine::{Boot, Machine};
use crate::tests::install::{DISK_BYTES, blank_disk, install_on};

/// What the kernel's log has when User Docker answers.
const ANSWERS: &str = "user docker answers";
/// Asks for that line and for the time since the kernel's start.
const ASK: &str = "until sudo dmesg | grep 'user docker answers'; do sleep 1; done; echo up $(cut -d' ' -f1 /proc/uptime) $((40 + 2))";

#[derive(Default)]
struct Figures {
    from_power_s: Vec<f64>,
    from_kernel_s: Vec<f64>,
}

/// Boots both, alternately, and prints the table that docs/measurements.md quotes.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let installed = blank_disk(DISK_BYTES)?;
    install_on(artifacts, "bench-install", &installed.path, "")?;
    let state = Disk::state()?;
    let disk = || {
        let machine = Machine::new("bench-disk", Boot::Disk);
        machine.disk_behind(&installed.path, "virtio-blk-pci,bootindex=1")
    };
    let disc = || Machine::new("bench-disc", Boot::Disc).state_disk(&state.path);
    let (mut of_disk, mut of_disc) = (Figures::default(), Figures::default());
    for round in 0..=rounds {
        eprintln!("bench disk: round {round} of {rounds}");
        let (disk, disc) = (
            measure(disk(), artifacts, by_ssh).context("the installed disk")?,
            measure(disc(), artifacts, by_serial).context("the disc")?,
        );
        // The first boots make keys, and load images that the state then has
        if round == 0 {
            continue;
        }
        for (figures, (power, kernel)) in [(&mut of_disk, disk), (&mut of_disc, disc)] {
            figures.from_power_s.push(power);
            figures.from_kernel_s.push(kernel);
        }
    }
    println!("| | installed disk | disc | ratio |\n|---|---|---|---|");
    for (name, disk, disc) in [
        (
            "power -> User Docker answers",
            &of_disk.from_power_s,
            &of_disc.from_power_s,
        ),
        (
            "kernel start -> User Docker answers",
            &of_disk.from_kernel_s,
            &of_disc.from_kernel_s,
        ),
    ] {
        println!("{}", row(name, "s", disk, disc));
    }
    Ok(())
}

/// Seconds from the start of the machine, and of its kernel, until User Docker answers.
fn measure(
    machine: Machine,
    artifacts: &Artifacts,
    ask: fn(&Guest) -> anyhow::Result<String>,
) -> anyhow::Result<(f64, f64)> {
    let begin = Instant::now();
    let mut guest = machine.start(artifacts)?;
    let said = ask(&guest)?;
    let now = begin.elapsed().as_secs_f64();
    let (answered, up) = times(&said)?;
    guest.press_power()?;
    guest.wait_off()?;
    Ok((now - (up - answered), answered))
}

fn by_ssh(guest: &Guest) -> anyhow::Result<String> {
    guest.wait_ready()?;
    guest.run(ASK)
}

/// The disc knows no key; its own command line logs the serial port in.
fn by_serial(guest: &Guest) -> anyhow::Result<String> {
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    guest.types(ASK, " 42")?;
    Ok(guest.console.text())
}

/// When User Docker answered, and when that was asked, in seconds since the kernel's start.
fn times(said: &str) -> anyhow::Result<(f64, f64)> {
    let mut answered = None;
    let mut up = None;
    for line in said.lines() {
        // The command itself has these words, too
        if line.contains(ANSWERS) && !line.contains("dmesg") {
            answered = stamp(line).or(answered);
        }
        if let Some((_, rest)) = line.split_once("up ") {
            let figure = rest
                .split(' ')
                .next()
                .and_then(|figure| figure.parse().ok());
            up = figure.or(up);
        }
    }
    let (answered, up) = (answered.context("no line says it")?, up.context("no time")?);
    ensure!(answered <= up, "{answered} s, after {up} s");
    Ok((answered, up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_read_from_what_a_shell_prints() {
        let said = "$ until sudo dmesg | grep 'user docker answers'; do sleep 1; done; echo up $(cut ...)\r\n\
                    [    6.500000] user-docker: user docker answers\r\nup 9.25 42\r\n";
        assert_eq!(times(said).unwrap(), (6.5, 9.25));
        assert!(times("up 9.25 42").is_err());
    }
}

//! Keys and names from media that a cloud or an operator attaches; the time from a server.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, SERVICES};
use crate::machine::{Boot, Machine};
use crate::router;

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "configuration_config_drive_gives_keys_and_name",
            config_drive_gives_keys_and_name,
        ),
        alone(
            context,
            "configuration_config_drive_that_is_shared_gives_keys_and_name",
            config_drive_that_is_shared_gives_keys_and_name,
        ),
        alone(
            context,
            "configuration_nocloud_gives_keys_and_name",
            nocloud_gives_keys_and_name,
        ),
        alone(
            context,
            "configuration_bad_user_data_is_reported_and_boots",
            bad_user_data_is_reported_and_boots,
        ),
        alone(
            context,
            "ntp_sets_the_time_from_a_server",
            ntp_sets_the_time_from_a_server,
        ),
    ]
}

pub(super) struct Disc {
    pub(super) path: PathBuf,
    _folder: TempDir,
}

/// Makes a disc with this label and these files.
pub(super) fn disc(label: &str, files: &[(&str, &str)]) -> anyhow::Result<Disc> {
    let files = files.iter().map(|(name, text)| (*name, text.as_bytes()));
    disc_of_bytes(label, &files.collect::<Vec<_>>())
}

/// The same of files that are not text.
pub(super) fn disc_of_bytes(label: &str, files: &[(&str, &[u8])]) -> anyhow::Result<Disc> {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    for (name, content) in files {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&tree))
            .context("cannot make the disc's folders")?;
        std::fs::write(&path, content).context("cannot write the disc's files")?;
    }
    let path = folder.path().join("disc.iso");
    let made = duct::cmd!(
        "xorriso", "-as", "mkisofs", "-quiet", "-J", "-r", "-V", label, "-o", &path, &tree
    )
    .stderr_capture();
    made.run()
        .context("cannot make a disc: is xorriso installed?")?;
    Ok(Disc {
        path,
        _folder: folder,
    })
}

/// Boots with a key on the disc only: the machine's command line has another one.
fn boots_with(context: &Context, name: &str, disc: &Path) -> anyhow::Result<()> {
    named_by_user_data(context, Machine::new(name, Boot::Kernel).disc(disc))
}

fn named_by_user_data(context: &Context, machine: Machine) -> anyhow::Result<()> {
    let guest = machine.start(&context.artifacts)?;
    guest.wait_ready()?;
    ensure!(
        guest.run("hostname")? == "from-the-disc",
        "the host name is {}",
        guest.run("hostname")?
    );
    let keys = guest.run("cat ~/.ssh/authorized_keys")?;
    ensure!(
        keys.contains("AAAAC3NzaC1lZDI1NTE5AAAAIDISC"),
        "the disc's key is not in {keys}"
    );
    guest.check()
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDISCdiscDISCdiscDISCdiscDISCdiscDISCdiscDISC disc";

fn config_drive_gives_keys_and_name(context: &Context) -> anyhow::Result<()> {
    let user_data =
        format!("#cloud-config\nhostname: from-the-disc\nssh_authorized_keys:\n  - {KEY}\n");
    let drive = disc(
        "config-2",
        &[
            ("openstack/latest/user_data", &user_data),
            ("openstack/latest/meta_data.json", "{\"uuid\": \"1\"}"),
        ],
    )?;
    boots_with(context, "config-drive", &drive.path)
}

/// The hypervisor shares a directory by 9p: RancherOS's other form of a config drive.
fn config_drive_that_is_shared_gives_keys_and_name(context: &Context) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let files = folder.path().join("openstack/latest");
    std::fs::create_dir_all(&files).context("cannot make the shared folders")?;
    let user_data =
        format!("#cloud-config\nhostname: from-the-disc\nssh_authorized_keys:\n  - {KEY}\n");
    std::fs::write(files.join("user_data"), user_data).context("cannot write user data")?;
    let share = format!(
        "local,path={},mount_tag=config-2,security_model=none,readonly=on",
        folder.path().display()
    );
    let machine = Machine::new("config-drive-9p", Boot::Kernel).arguments(&["-virtfs", &share]);
    named_by_user_data(context, machine)
}

fn nocloud_gives_keys_and_name(context: &Context) -> anyhow::Result<()> {
    let user_data = format!("#cloud-config\nssh_authorized_keys:\n  - {KEY}\n");
    let drive = disc(
        "cidata",
        &[
            ("user-data", &user_data),
            (
                "meta-data",
                "instance-id: one\nlocal-hostname: from-the-disc\n",
            ),
        ],
    )?;
    boots_with(context, "nocloud", &drive.path)
}

fn bad_user_data_is_reported_and_boots(context: &Context) -> anyhow::Result<()> {
    let drive = disc(
        "cidata",
        &[
            ("user-data", "#cloud-config\nhostname: [unclosed\n"),
            ("meta-data", "instance-id: one\n"),
        ],
    )?;
    let guest = Machine::new("nocloud-bad", Boot::Kernel)
        .disc(&drive.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.console.wait("user-data", BOOT_DEADLINE)?;
    guest.wait_services(&SERVICES)?;
    guest.check()
}

/// The clock starts in 2020; the only server that chrony is told of is this test.
fn ntp_sets_the_time_from_a_server(context: &Context) -> anyhow::Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0").context("cannot open a port for NTP")?;
    let port = server.local_addr()?.port();
    std::thread::spawn(move || answer_ntp(&server));
    let guest = Machine::new("ntp", Boot::Kernel)
        .arguments(&["-rtc", "base=2020-01-01T00:00:00"])
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    ensure!(
        guest.run("date +%Y")? == "2020",
        "the clock did not start in 2020"
    );
    guest.run(&format!(
        "system-docker exec ntp chronyc add server 10.0.2.2 port {port} iburst"
    ))?;
    guest.run_until(
        "system-docker exec ntp chronyc waitsync 1 && system-docker exec ntp chronyc makestep",
        BOOT_DEADLINE,
    )?;
    let year = guest.run_until(
        "y=$(date +%Y); test $y -gt 2020 && echo $y",
        Duration::from_secs(60),
    )?;
    ensure!(
        year.parse::<u32>().is_ok_and(|year| year > 2020),
        "the year is {year}"
    );
    guest.check()
}

/// Answers every request.
fn answer_ntp(server: &UdpSocket) {
    let mut packet = [0; 256];
    while let Ok((length, client)) = server.recv_from(&mut packet) {
        if let Some(answer) = router::time(&packet[..length]) {
            // A lost answer is asked for again.
            let _ = server.send_to(&answer, client);
        }
    }
}

//! `ros os upgrade` from a registry, and from what User Docker has.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use super::install::{DISK_BYTES, blank_disk, install_on, reboot, start};
use crate::context::{Context, alone};
use crate::guest::BOOT_DEADLINE;
use crate::machine::Firmware;
use crate::registry::{self, Registry};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![alone(
        context,
        "install_upgrade_from_a_registry_and_docker_fetches_what_is_missing",
        upgrade_from_a_registry,
    )]
}

/// The version in the registry is the one that runs: of its files only kernel and initrd are not on the disk.
#[expect(clippy::too_many_lines, reason = "one story")]
fn upgrade_from_a_registry(context: &Context) -> anyhow::Result<()> {
    let archive = context.artifacts.os_image()?;
    let registry = Registry::start(registry::of_layout(&archive, "v9.0")?)?;
    let host = format!("10.0.2.2:{}", registry.port);
    let disk = blank_disk(DISK_BYTES)?;
    let config = format!(
        "rancher: {{docker: {{insecure_registry: [\"{host}\"]}}, upgrade: {{image: \"{host}/os\"}}}}"
    );
    install_on(&context.artifacts, "registry-install", &disk.path, &config)?;

    let guest = start(
        context,
        "registry-upgrade",
        &disk.path,
        "virtio-blk-pci",
        Firmware::Bios,
    )?;
    for (arguments, code, words) in [
        ("check", 4, "it is not signed"),
        ("upgrade --no-reboot", 4, "it is not signed"),
        (
            "upgrade --insecure --no-reboot HOST/os:v9.0",
            2,
            "already at version",
        ),
        (
            "upgrade --insecure --no-reboot HOST/os:v8.0",
            3,
            "cannot be fetched",
        ),
        (
            "upgrade --insecure --no-reboot -f HOST/liar:v9.0",
            4,
            "digest mismatch",
        ),
        ("upgrade --no-reboot /no/such.iso", 1, "is not an ISO file"),
    ] {
        let arguments = arguments.replace("HOST", &host);
        guest.refuses(&format!("sudo ros os {arguments}"), code, words)?;
    }
    let list = guest.run("sudo ros os list -u")?;
    ensure!(
        list.contains("/os:v9.0 remote latest"),
        "the registry's versions: {list}"
    );
    guest.run("sudo ros os pin 8.0")?;
    let upgrade = "sudo ros os upgrade --insecure --no-reboot";
    guest.refuses(upgrade, 2, "is pinned to v8.0")?;
    guest.run("sudo ros os pin off")?;

    registry.fetched();
    guest.run(&format!(
        "sudo ros os upgrade --insecure --no-reboot -f {host}/os:v9.0"
    ))?;
    let fetched = registry.fetched();
    // The configuration and the manifest at each of two visits, kernel, initrd
    ensure!(fetched.len() == 5, "fetched {fetched:?}");
    guest.run("docker run -d --restart always --name web busybox sleep 100000")?;
    reboot(&guest, 1)?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list")?;
    ensure!(
        list.contains("slot 5 good running"),
        "after an upgrade: {list}"
    );
    let verified = guest.run("sudo ros os verify")?;
    ensure!(verified.matches("whole").count() == 2, "{verified}");

    // The same from what Docker has, which `docker load` could have brought
    guest.wait_docker()?;
    guest.run(&format!(
        "docker pull -q {host}/os:v9.0 && docker tag {host}/os:v9.0 rancher/os:v9.0"
    ))?;
    registry.fetched();
    guest.run("sudo ros os upgrade --insecure --no-reboot -f rancher/os:v9.0")?;
    ensure!(registry.fetched().is_empty(), "the registry was asked");
    ensure!(
        guest
            .run("docker ps -aq --filter status=created")?
            .is_empty(),
        "a container stayed"
    );
    guest.run("sudo ros os cancel")?;
    guest.check()
}

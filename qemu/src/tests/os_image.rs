//! `ros os upgrade` from a registry, and from what User Docker has.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use minisign::KeyPair;

use super::install::{DISK_BYTES, blank_disk, install_on, reboot, start, write_cloud_config};
use crate::context::{Context, alone, long};
use crate::guest::BOOT_DEADLINE;
use crate::machine::{Boot, Firmware, Machine};
use crate::registry::{self, Documents, Registry};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "install_upgrade_from_a_registry_and_docker_fetches_what_is_missing",
            upgrade_from_a_registry,
        ),
        long(
            context,
            "install_from_another_linux_by_docker_run",
            from_another_linux,
        ),
    ]
}

/// Each is a separate layer of the image.
pub(super) const MANIFEST: &str = "dist/rancheros/manifest.json";
pub(super) const SIGNATURE: &str = "dist/rancheros/manifest.json.minisig";

/// The image of `archive` under four tags: not signed, and signed by the returned key, by another one, and over something else.
fn signed(archive: &Path) -> anyhow::Result<(Documents, String)> {
    let mut documents = registry::of_layout(archive, "v9.0")?;
    let manifest = registry::file(&documents, "v9.0", MANIFEST)?;
    let [ours, theirs] = [(); 2].map(|()| KeyPair::generate_unencrypted_keypair());
    let (ours, theirs) = (ours?, theirs?);
    for (tag, key, what) in [
        ("v9.1", &ours, &manifest[..]),
        ("v9.2", &theirs, &manifest),
        ("v9.3", &ours, b"something else"),
    ] {
        let signature = minisign::sign(None, &key.sk, Cursor::new(what), None, None)?;
        let file = (SIGNATURE, signature.into_string().into_bytes());
        registry::with_file(&mut documents, "v9.0", (file.0, &file.1), tag)?;
    }
    Ok((documents, ours.pk.to_base64()))
}

/// The version in the registry is the one that runs: of its files only kernel and initrd are not on the disk.
#[expect(clippy::too_many_lines, reason = "one story")]
fn upgrade_from_a_registry(context: &Context) -> anyhow::Result<()> {
    let archive = context.artifacts.os_image()?;
    let (documents, key) = signed(&archive)?;
    let registry = Registry::start(documents)?;
    let host = format!("10.0.2.2:{}", registry.port);
    let disk = blank_disk(DISK_BYTES)?;
    let config = format!(
        "rancher: {{docker: {{insecure_registry: [\"{host}\"]}}, upgrade: {{image: \"{host}/os\", keys: [{key}]}}}}"
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
        // Its signature is good, so that it is taken for what it is
        ("upgrade --no-reboot HOST/os:v9.1", 2, "already at version"),
        (
            "upgrade --no-reboot HOST/os:v9.2",
            4,
            "signed with none of the",
        ),
        (
            "upgrade --no-reboot HOST/os:v9.3",
            4,
            "signed with none of the",
        ),
        (
            "upgrade --insecure --no-reboot -f HOST/short:v9.0",
            3,
            "boot/",
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
        "sudo ros os upgrade --insecure --stage -f {host}/os:v9.0"
    ))?;
    let fetched = registry.fetched();
    // The configuration and the manifest at each of two visits, kernel, initrd
    ensure!(fetched.len() == 5, "fetched {fetched:?}");
    // What lies on the disk is asked as everything else is
    guest.refuses("sudo ros os upgrade --no-reboot", 2, "already at version")?;
    guest.run("sudo ros os pin 8.0")?;
    guest.refuses("sudo ros os upgrade --no-reboot", 2, "is pinned to v8.0")?;
    guest.run("sudo ros os pin off")?;
    let said = guest.run("sudo ros os upgrade --no-reboot -f")?;
    ensure!(
        said.contains("from slot 5") && said.contains("no service changes"),
        "of a staged version it said: {said}"
    );
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

    // And from its archive, which a stick could have brought
    guest.run("sudo docker save -o /opt/os.tar rancher/os:v9.0 && docker rmi rancher/os:v9.0")?;
    guest.run("sudo ros os upgrade --insecure --no-reboot -f -i /opt/os.tar")?;
    ensure!(registry.fetched().is_empty(), "the registry was asked");
    let status = guest.run("sudo ros os status")?;
    ensure!(status.contains("state: armed"), "{status}");
    guest.run("sudo ros os cancel")?;
    guest.check()
}

/// Unpacking 30 layers under emulation.
const LOAD_DEADLINE: Duration = Duration::from_secs(900);
/// As a person on any Linux types it.
const RUN: &str = "docker run --rm -v /tmp/cloud-config.yml:/c.yml";

/// User Docker stands for the other Linux: it has loaded the image, and knows nothing of what installs.
fn from_another_linux(context: &Context) -> anyhow::Result<()> {
    let archive = context.artifacts.os_image()?;
    let disk = blank_disk(DISK_BYTES)?;
    let mut guest = Machine::new("image-install", Boot::Kernel)
        .disk(&disk.path)
        .disk(&archive)
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("(sudo docker load -qi /dev/vdb >/tmp/loaded 2>&1; echo $? >/tmp/load.code) >/dev/null 2>&1 &")?;
    guest.run_until("test -s /tmp/load.code", LOAD_DEADLINE)?;
    let loaded = guest.run("cat /tmp/loaded")?;
    let image = loaded.trim().rsplit(' ').next().unwrap_or_default();
    ensure!(image.starts_with("rancher/os:v"), "loaded: {loaded}");
    write_cloud_config(context, &guest)?;
    guest.refuses(
        &format!("{RUN} {image} install -d /dev/vda -c /c.yml"),
        1,
        "there is no disk /dev/vda",
    )?;
    let run = format!("{RUN} --privileged -v /dev:/dev {image} install -c /c.yml");
    if context.artifacts.state_disks {
        guest.refuses(&format!("{run} -d /dev/vdc -f"), 1, "/dev/vdc is ")?;
    }
    let said = guest.run(&format!(
        "{run} -d /dev/vda -a 'loglevel=8 rancher.debug=true' 2>&1"
    ))?;
    ensure!(
        said.contains("the disk is empty")
            && said.contains("is installed on /dev/vda")
            && said.contains("This machine goes on"),
        "it said: {said}"
    );
    let left = guest.run("sudo losetup; mount | grep ros-install || true")?;
    ensure!(!left.contains("dist/rancheros"), "it left: {left}");
    guest.press_power()?;
    guest.wait_off()?;
    drop(guest);

    for (name, firmware) in [
        ("image-installed-bios", Firmware::Bios),
        ("image-installed-uefi", Firmware::Uefi),
    ] {
        let mut guest = start(context, name, &disk.path, "virtio-blk-pci", firmware)?;
        ensure!(
            guest.run("hostname")? == "installed",
            "{name}: the cloud-config is not there"
        );
        guest.wait_docker()?;
        guest.run("docker run --rm busybox true")?;
        guest.press_power()?;
        guest.wait_off()?;
    }
    Ok(())
}

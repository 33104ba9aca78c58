//! `rancher.upgrade.policy: auto`: a signed version of the machine's channel is fetched, ordered and started without a person, and only when
//! nobody and nothing holds it.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;
use minisign::{KeyPair, SecretKey};
use serde_json::{Value, json};

use super::install::{DISK_BYTES, blank_disk, install_on, start};
use super::os_image::{MANIFEST, SIGNATURE};
use crate::context::{Context, long};
use crate::guest::BOOT_DEADLINE;
use crate::machine::Firmware;
use crate::registry::{self, Documents, Registry};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![long(
        context,
        "policy_auto_fetches_and_tries_a_signed_version_of_its_channel",
        auto,
    )]
}

const VERSION: &str = "9.4.0";
/// The machine has a mirror for this registry: the server of the test.
const RELEASES: &str =
    "channels:\n  stable: registry.example/os:v0.0.1\n  beta: registry.example/os:v9.4.0\n";

fn signature(key: &SecretKey, content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let signature = minisign::sign(None, key, Cursor::new(content), None, None)?;
    Ok(signature.into_string().into_bytes())
}

/// The image of `archive` under a later version's name, signed; a list of releases, signed; and one that somebody else has signed.
/// Returns the key that is good, too.
fn offered(archive: &Path) -> anyhow::Result<(Documents, String)> {
    let mut documents = registry::of_layout(archive, "built")?;
    let [ours, theirs] = [(); 2].map(|()| KeyPair::generate_unencrypted_keypair());
    let (ours, theirs) = (ours?, theirs?);
    let mut manifest: Value =
        serde_json::from_slice(&registry::file(&documents, "built", MANIFEST)?)?;
    manifest["version"] = json!(VERSION);
    let manifest = serde_json::to_vec(&manifest)?;
    let signed = signature(&ours.sk, &manifest)?;
    let tag = format!("v{VERSION}");
    registry::with_file(&mut documents, "built", (MANIFEST, &manifest), &tag)?;
    registry::with_file(&mut documents, &tag, (SIGNATURE, &signed), &tag)?;
    for (name, key) in [("releases.yml", &ours.sk), ("forged.yml", &theirs.sk)] {
        let signed = signature(key, RELEASES.as_bytes())?;
        documents.insert(name.to_owned(), ("text/yaml", RELEASES.into()));
        documents.insert(format!("{name}.minisig"), ("text/plain", signed.into()));
    }
    Ok((documents, ours.pk.to_base64()))
}

/// What the policy says when it is asked, one step after the other: a person does not wait for its next look.
fn auto(context: &Context) -> anyhow::Result<()> {
    let (documents, key) = offered(&context.artifacts.os_image()?)?;
    let registry = Registry::start(documents)?;
    let host = format!("10.0.2.2:{}", registry.port);
    let disk = blank_disk(DISK_BYTES)?;
    let config = format!(
        "rancher: {{registry_mirrors: {{registry.example: [\"http://{host}\"]}}, upgrade: {{policy: auto, channel: beta, \
         url: \"http://{host}/forged.yml\", keys: [{key}], not_now: test -e /run/busy, checks: [test -e /run/go]}}}}"
    );
    install_on(&context.artifacts, "policy-install", &disk.path, &config)?;
    let guest = start(
        context,
        "policy",
        &disk.path,
        "virtio-blk-pci",
        Firmware::Bios,
    )?;
    guest.wait_docker()?;
    let does = |words: &str| -> anyhow::Result<()> {
        let said = guest.run("sudo ros os policy")?;
        ensure!(
            said.contains(words),
            "the policy says {said:?}, not {words:?}"
        );
        Ok(())
    };
    let set = |key: &str, value: &str| {
        let command = format!("sudo ros config set rancher.upgrade.{key} '{value}'");
        guest.run(&command).map(drop)
    };

    guest.refuses("sudo ros os policy", 4, "signed with none of the")?;
    set("url", &format!("http://{host}/releases.yml"))?;
    does("v9.4.0 is on the disk")?;
    ensure!(!registry.fetched().is_empty(), "nobody asked the registry");
    does("v9.4.0 is tried at the next reboot")?;
    does("it is a person who reboots")?;
    let status = guest.run("sudo ros os status")?;
    ensure!(
        status.contains("policy: auto; v9.4.0 is tried"),
        "the status: {status}"
    );

    let other_day = guest.run("date -d @$(($(date +%s) + 259200)) +%a")?;
    set("window", &format!("{} 00:00-24:00", other_day.trim()))?;
    does("rancher.upgrade.window is closed")?;
    set("window", "00:00-24:00")?;
    guest.run(
        "docker run -d --name holds --label io.rancher.os.upgrade.hold=true busybox sleep 1000000",
    )?;
    does("container holds holds the reboot")?;
    guest.run("docker rm -f holds && sudo touch /run/busy")?;
    does("rancher.upgrade.not_now holds the reboot")?;
    guest.run("sudo rm /run/busy")?;
    let mark = guest.console.mark();
    // The connection ends with the machine.
    let _ = guest.ssh.answer("sudo ros os policy");
    guest
        .console
        .wait_after(mark, "rancher.slot=5 ", BOOT_DEADLINE)?;
    guest.wait_ready_after(guest.console.mark())?;

    does("this boot tries a version")?;
    guest.run("sudo touch /run/go")?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list")?;
    ensure!(
        list.contains("v9.4.0 local slot 5 good running"),
        "it was not kept: {list}"
    );
    guest.check()
}

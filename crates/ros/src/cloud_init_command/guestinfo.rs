//! VMware's guestinfo, asked in a separate process: where the hypervisor is another one the processor ends it.

use std::path::Path;
use std::time::Duration;

use cloud_init::dmi::{self, Dmi};
use cloud_init::guestinfo::{self, Answers};
use cloud_init::media::Contents;
use cloud_init::{Error, Result, platform};
use sys::process::Command;

/// What the whole of it costs at most; an answer is there in a fraction.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks on a machine whose firmware is VMware's; no other one is asked, whoever names the datasource.
pub(super) fn find() -> Result<Option<Contents>> {
    if !is_vmware() {
        println!("vmware: the firmware is not VMware's: its hypervisor is not asked");
        return Ok(None);
    }
    let asked = Command::new("/proc/self/exe")
        .args(["cloud-init", "guestinfo"])
        .deadline(DEADLINE)
        .run()?;
    let failed = |why: &str| Error::Service(format!("guestinfo: {why}"));
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        return Err(match said.trim() {
            "" => failed(&format!(
                "the hypervisor does not answer ({})",
                asked.status
            )),
            said => failed(said),
        });
    }
    let answers: Answers =
        serde_json::from_slice(&asked.stdout).map_err(|error| failed(&error.to_string()))?;
    Ok(guestinfo::contents(&answers))
}

/// Prints what the hypervisor says.
pub(super) fn print() -> anyhow::Result<bool> {
    anyhow::ensure!(
        is_vmware(),
        "the firmware of this machine is not VMware's: it is not asked"
    );
    let answers = guestinfo::answers().map_err(anyhow::Error::msg)?;
    println!("{}", serde_json::to_string(&answers)?);
    Ok(true)
}

fn is_vmware() -> bool {
    platform::by_firmware(&Dmi::read(Path::new(dmi::DIRECTORY))) == Some("vmware")
}

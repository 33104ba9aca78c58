//! What all tests share: the artifacts, and one guest for the tests that leave no trace in it.

use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};

use crate::artifacts::Artifacts;
use crate::machine::{Boot, Guest, Machine};

/// Shared by every test of a run.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) artifacts: Artifacts,
    shared: OnceLock<Result<Guest, String>>,
}

/// A test with machines of its own.
pub(crate) type Alone = fn(&Context) -> anyhow::Result<()>;
/// A test in the guest that others use at the same time.
pub(crate) type Shared = fn(&Guest) -> anyhow::Result<()>;

impl Context {
    /// Nothing is booted yet.
    pub(crate) fn new(artifacts: Artifacts) -> Arc<Context> {
        Arc::new(Context {
            artifacts,
            shared: OnceLock::new(),
        })
    }

    /// A guest booted from the ISO by kernel and initrd, ready, with User Docker answering.
    fn guest(&self) -> anyhow::Result<&Guest> {
        let booted = self
            .shared
            .get_or_init(|| self.boot_shared().map_err(|error| format!("{error:#}")));
        booted
            .as_ref()
            .map_err(|error| anyhow::anyhow!("the shared guest: {error}"))
    }

    fn boot_shared(&self) -> anyhow::Result<Guest> {
        let guest = Machine::new("shared", Boot::Kernel)
            .parameters("cc.hostname=testhost rancher.autologin=ttyS0 rancher.not_a_key=1")
            .memory_mib(1536)
            .start(&self.artifacts)?;
        guest.wait_ready()?;
        guest.wait_docker()?;
        Ok(guest)
    }

    /// Ends the shared guest, which a process that exits would leave behind.
    pub(crate) fn end(self: Arc<Self>) {
        drop(self);
    }
}

/// The tests that were seen green on a booted system. The others are shown as ignored, and run by
/// `cargo xtask qemu-test --include-ignored`; each moves here once it has passed.
const SEEN_GREEN: &[&str] = &[
    "system_docker_runs_containers_for_the_stock_client",
    "system_docker_client_has_dockers_verbs",
    "system_docker_loads_and_removes_images",
    "system_docker_survives_garbage",
    "system_docker_follows_logs_to_their_end",
    "user_docker_runs_the_preloaded_busybox",
    "user_docker_reaches_the_network",
    "user_docker_sees_the_consoles_files",
    "user_docker_keeps_volumes",
    "user_docker_uses_overlay2_and_caps_logs",
];

/// Makes a trial of a test that boots its own machines.
pub(crate) fn alone(context: &Arc<Context>, name: &str, test: Alone) -> Trial {
    let context = Arc::clone(context);
    Trial::test(name, move || test(&context).map_err(failed))
        .with_ignored_flag(!SEEN_GREEN.contains(&name))
}

/// Makes a trial of a test in the shared guest; its console must be clean afterwards.
pub(crate) fn shared(context: &Arc<Context>, name: &str, test: Shared) -> Trial {
    let context = Arc::clone(context);
    Trial::test(name, move || {
        let run = || -> anyhow::Result<()> {
            let guest = context.guest()?;
            test(guest)?;
            guest.check()
        };
        run().map_err(failed)
    })
    .with_ignored_flag(!SEEN_GREEN.contains(&name))
}

fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

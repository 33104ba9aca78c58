//! What all tests share: the artifacts, and one guest for the tests that leave no trace in it.

use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};

use crate::artifacts::Artifacts;
use crate::guest::Guest;
use crate::machine::{Boot, Machine};
use crate::tries::Tries;

/// What a failed boot of the guest that tests share is called among the failures.
const SHARED: &str = "the shared guest";

/// Shared by every test of a run.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) artifacts: Artifacts,
    shared: OnceLock<Result<Guest, String>>,
    tries: Tries,
}

/// A test that starts its own machines.
pub(crate) type Alone = fn(&Context) -> anyhow::Result<()>;
/// A test in the guest that others use at the same time.
pub(crate) type Shared = fn(&Guest) -> anyhow::Result<()>;

impl Context {
    /// Nothing is booted yet; `second_tries` tests may fail once.
    pub(crate) fn new(artifacts: Artifacts, second_tries: usize) -> Arc<Context> {
        Arc::new(Context {
            artifacts,
            shared: OnceLock::new(),
            tries: Tries::new(second_tries),
        })
    }

    /// A guest booted from the ISO by kernel and initrd, ready, with User Docker answering.
    fn guest(&self) -> anyhow::Result<&Guest> {
        let booted = self.shared.get_or_init(|| {
            self.tries
                .attempt(SHARED, || self.boot_shared())
                .map_err(|error| format!("{error:#}"))
        });
        booted
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{SHARED}: {error}"))
    }

    fn boot_shared(&self) -> anyhow::Result<Guest> {
        let mut guest = Machine::new("shared", Boot::Kernel)
            .parameters("cc.hostname=testhost rancher.autologin=ttyS0 rancher.not_a_key=1")
            .memory_mib(1536)
            .start(&self.artifacts)?;
        // A test has containers that take more memory than they may have.
        guest.allow("oom-kill:constraint=CONSTRAINT_MEMCG");
        guest.wait_ready()?;
        guest.wait_docker()?;
        guest.check()?;
        Ok(guest)
    }

    /// Names the tests that were tried again, and ends the shared guest, which a process that exits would leave behind.
    pub(crate) fn end(self: Arc<Self>) {
        self.tries.say();
        drop(self);
    }
}

fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

/// Makes a trial of a test that boots its own machines.
pub(crate) fn alone(context: &Arc<Context>, name: &str, test: Alone) -> Trial {
    let context = Arc::clone(context);
    let own_name = name.to_owned();
    Trial::test(name, move || {
        context
            .tries
            .attempt(&own_name, || test(&context))
            .map_err(failed)
    })
}

/// The same of a test that takes too long for every run: it is ignored, and run by its name with `--include-ignored`, or with
/// all others of its kind by `cargo xtask qemu-test --include-ignored '[long]'`.
pub(crate) fn long(context: &Arc<Context>, name: &str, test: Alone) -> Trial {
    alone(context, name, test)
        .with_kind("long")
        .with_ignored_flag(true)
}

/// Makes a trial of a test in the shared guest; its console must be clean afterwards.
pub(crate) fn shared(context: &Arc<Context>, name: &str, test: Shared) -> Trial {
    shared_with(context, name, move |_, guest| test(guest))
}

/// As [`shared`], for a test that brings something along.
pub(crate) fn shared_with(
    context: &Arc<Context>,
    name: &str,
    test: impl Fn(&Artifacts, &Guest) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let context = Arc::clone(context);
    let own_name = name.to_owned();
    Trial::test(name, move || {
        let run = || -> anyhow::Result<()> {
            let guest = context.guest()?;
            test(&context.artifacts, guest)?;
            guest.check()
        };
        context.tries.attempt(&own_name, run).map_err(failed)
    })
}

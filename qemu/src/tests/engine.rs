//! The engine's own tests, those of `cargo test`, as programs in the console of a guest: its kernel, its file systems, and
//! for the tests that start PID 1's program or replace it, the program that is PID 1 there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone, long};
use crate::guest::Guest;
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(context, "engine_passes_its_own_tests", |context| {
            own_tests(context, "engine", &PROGRAMS)
        }),
        long(context, "engine_passes_its_own_soak", |context| {
            own_tests(context, "engine-soak", &SLOW_PROGRAMS)
        }),
    ]
}

/// The programs, and how many tests of each must have passed: one that finds nothing to run passes too.
const PROGRAMS: [(&str, usize); 6] = [
    ("engine", 80),
    ("engine_server", 45),
    ("images", 15),
    ("network", 45),
    ("runtime", 10),
    ("containers", 25),
];
/// Those that take minutes in a guest. CI runs them on its own machine.
const SLOW_PROGRAMS: [(&str, usize); 2] = [("soak", 8), ("upgrade", 9)];
/// Programs whose tests that need root are ignored unless that is asked for. What soak ignores takes minutes.
const WITH_IGNORED: [&str; 2] = ["engine_server", "network"];
/// Time for one of them in a guest without KVM.
const DEADLINE: Duration = Duration::from_secs(600);
/// Where everything is: the machine's own file system. The console's root is an overlay, and on such a one no other can be.
const FOLDER: &str = "/opt/engine-tests";

fn own_tests(context: &Context, name: &str, programs: &[(&str, usize)]) -> anyhow::Result<()> {
    let mut guest = Machine::new(name, Boot::Kernel)
        .memory_mib(2048)
        .start(&context.artifacts)?;
    // One test takes more memory than its container may have.
    guest.allow("oom-kill:");
    // Another one has a disk on a loop device that runs out of room behind the file system's back.
    for device in ["(device loop", "on dev loop", "on device loop"] {
        guest.allow(device);
    }
    guest.wait_ready()?;
    guest.wait_docker()?;
    // The console's busybox is dynamic, which a container with nothing else cannot run: that of User Docker's image is not.
    guest.run(&format!(
        "sudo mkdir -m 1777 {FOLDER} && sudo cp /proc/1/exe {FOLDER}/init \
         && sudo cp /proc/1/root/usr/lib/rancher/worker {FOLDER} \
         && docker create --name tools busybox && sudo docker cp -q tools:/bin/busybox {FOLDER} && docker rm tools"
    ))?;
    for (name, least) in programs {
        let program = context.artifacts.engine_test(name)?;
        guest
            .ssh
            .send_program(&program, &format!("{FOLDER}/{name}-tests"))?;
        let said = run(&guest, name)?;
        let passed = passed(&said).with_context(|| format!("{name}:\n{said}"))?;
        ensure!(
            passed >= *least && !said.contains("skipped: "),
            "{passed} tests of {name} passed, of {least} at least and none skipped:\n{said}"
        );
    }
    guest.check()
}

/// Runs one program as root and returns what it said. The corpus of the fuzz targets is not here.
fn run(guest: &Guest, name: &str) -> anyhow::Result<String> {
    let tests = format!("{FOLDER}/{name}-tests");
    let ignored = if WITH_IGNORED.contains(&name) {
        "--include-ignored"
    } else {
        ""
    };
    guest.run(&format!(
        "cat > {tests}.sh <<'END'\n\
         mount --bind {FOLDER}/busybox /bin/busybox\n\
         export TMPDIR={FOLDER} ENGINE_PROGRAM={FOLDER}/init\n\
         {tests} --nocapture {ignored} --skip fuzz:: >{tests}.log 2>&1\n\
         echo $? >{tests}.code\n\
         END\n\
         sudo setsid unshare --mount sh {tests}.sh >/dev/null 2>&1 </dev/null &"
    ))?;
    let code = guest.run_until(&format!("grep . {tests}.code"), DEADLINE)?;
    let said = guest.run(&format!("cat {tests}.log"))?;
    ensure!(code == "0", "the tests of {name} end with {code}:\n{said}");
    Ok(said)
}

/// The number in libtest's last line, `test result: ok. 8 passed; 0 failed; ...`.
fn passed(said: &str) -> Option<usize> {
    let (_, rest) = said.rsplit_once("test result: ok. ")?;
    rest.split(' ').next()?.parse().ok()
}

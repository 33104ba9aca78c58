//! The program under test. Both tests of this crate that start it have this file.

use std::path::PathBuf;
use std::sync::OnceLock;

use sys::process::Command;

/// PID 1's program: the one that cargo built next to this test or, in a guest, to which the test was brought, the guest's
/// own, which `ENGINE_PROGRAM` names.
pub(crate) fn path() -> PathBuf {
    let given = std::env::var_os("ENGINE_PROGRAM");
    given.map_or_else(built, PathBuf::from)
}

/// PID 1's program with the worker next to it. Cargo builds programs of this package only for its tests, and the worker is
/// its own package, so that what it needs is not part of PID 1.
fn built() -> PathBuf {
    static WORKER: OnceLock<()> = OnceLock::new();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_init"));
    WORKER.get_or_init(|| {
        let release = program
            .components()
            .any(|part| part.as_os_str() == "release");
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let fixed = ["build", "--quiet", "--package", "worker", "--manifest-path"];
        let cargo = Command::new(env!("CARGO")).args(fixed).arg(manifest);
        let cargo = cargo.args(release.then_some("--release"));
        let built = cargo.run().unwrap();
        assert!(built.status.success(), "build the worker");
    });
    program
}

//! The program under test. Both tests of this crate that start it have this file.

use std::path::PathBuf;

/// PID 1's program: the one that cargo built beside this test or, in a guest, to which the test was brought, the guest's
/// own, which `ENGINE_PROGRAM` names.
pub(crate) fn path() -> PathBuf {
    let given = std::env::var_os("ENGINE_PROGRAM");
    given.map_or_else(|| env!("CARGO_BIN_EXE_init").into(), PathBuf::from)
}

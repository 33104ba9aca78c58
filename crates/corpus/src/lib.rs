//! The inputs of the fuzz targets (`crates/fuzz/corpus`), for the tests that run each of them again.
//!
//! **Belongs here:** how a test finds the inputs of a target.
//!
//! **Not here:** this crate is for tests only: no program has it, and it knows no target.
//!
//! **May import:** none of our crates.

use std::path::Path;

/// Runs a target on every input of its corpus.
///
/// # Panics
/// When the target has no corpus, and when the target panics.
#[allow(clippy::unwrap_used, reason = "for tests, which fail by a panic")]
pub fn replay(target: &str, run: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{target} has no corpus");
}

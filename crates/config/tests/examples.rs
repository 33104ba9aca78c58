//! The examples of the repository are good: no warning, no error.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use config::{CommandLine, Source, load};

#[test]
fn every_example_is_taken_without_a_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#cloud-config\n"), "{}", path.display());
        let built_in = "rancher: {environment: {}}";
        let loaded = load(
            &[
                Source {
                    name: "built-in",
                    text: built_in,
                },
                Source {
                    name: &path.display().to_string(),
                    text: &text,
                },
            ],
            &CommandLine::default(),
        );
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        count += 1;
    }
    assert!(count >= 4, "{count} examples");
}

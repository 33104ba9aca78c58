//! Layers: nothing may appear or change outside the directory they are unpacked to.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let outer = tempfile::tempdir().expect("a directory for temporary files");
 oci_transfer::fuzz::layer(data, outer.path());
});

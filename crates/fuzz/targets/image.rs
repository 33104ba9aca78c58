//! Manifests, indexes, configurations and whole archives of images.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oci_image::fuzz::image(data));

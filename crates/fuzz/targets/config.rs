//! Configuration: cloud-config, user data, metadata, the kernel command line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloud_init::fuzz::config(data));

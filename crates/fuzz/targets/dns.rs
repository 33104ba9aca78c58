//! DNS messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| network::fuzz::dns(data));

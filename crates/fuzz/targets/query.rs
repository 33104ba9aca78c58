//! Query strings and filters of the API.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engine_server::fuzz::query(data));

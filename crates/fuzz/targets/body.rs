//! Bodies of API requests, to types, validation and the specification.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engine_server::fuzz::body(data));

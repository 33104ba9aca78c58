//! Configuration: cloud-config, user data, the kernel command line.
#![no_main]

use config::{CommandLine, Source, load};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = cloud_init::user_data::classify(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (line, document) = text.split_once('\0').unwrap_or(("", text));
    let source = Source {
        name: "fuzz",
        text: document,
    };
    let loaded = load(&[source], &CommandLine::parse(line));
    let _ = config::emit::to_yaml(&loaded.tree);
    let _ = config::words::split(line);
});

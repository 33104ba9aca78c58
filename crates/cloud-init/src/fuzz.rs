//! Entry point of the fuzz target `config` in `crates/fuzz`: all that strangers write into a machine's configuration.
//! Compiled for fuzzing and for tests, which run the corpus; never into the program.

use config::{CommandLine, Source, load};

use crate::{Metadata, metadata, network, ovf, user_data, variables};

/// User data, metadata and, before a NUL byte, the kernel's command line. Takes any bytes and must return.
pub fn config(data: &[u8]) {
    let _ = user_data::documents(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (line, document) = text.split_once('\0').unwrap_or(("", text));
    let source = Source {
        name: "fuzz",
        text: document,
    };
    let loaded = load(&[source], &CommandLine::parse(line));
    // What is printed reads back the same: `ros config export` is somebody's next configuration.
    let printed = config::emit::to_yaml(&loaded.tree);
    let again = config::parse("printed", &printed);
    let same = again.is_ok_and(|(node, _)| node.to_json() == loaded.tree.to_json());
    // The parser takes no key of more than 1,024 characters without a mark (YAML 1.2.2, section 7.4.3).
    let has_long_lines = printed.lines().any(|line| line.len() > 1000);
    assert!(same || has_long_lines, "{printed}");
    let _ = config::words::split(line);
    let _ = metadata::openstack(document);
    let _ = metadata::no_cloud(document);
    if let Ok(Some(network)) = network::network_config(document) {
        let _ = network.to_json();
    }
    if let Ok(value) = serde_json::from_str(document) {
        let _ = network::openstack::translate(&value).to_json();
        for translate in [
            network::clouds::digitalocean,
            network::clouds::vultr,
            network::clouds::upcloud,
            network::clouds::packet,
            network::clouds::hetzner,
        ] {
            let _ = translate(&value).to_json();
        }
    }
    let _ = ovf::parse(document);
    let _ = variables::fill(document, &Metadata::default());
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("config", super::config);
    }
}

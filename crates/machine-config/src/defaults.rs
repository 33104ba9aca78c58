//! Variables that services have although no file sets them: those of RancherOS's own configuration and of its code.

use std::fs;

use config::{CommandLine, Loaded, Source};

/// What their places are reported under.
pub const NAME: &str = "built-in defaults";
/// The variables of this module.
pub const NAMES: [&str; 3] = ["KERNEL_VERSION", "REGISTRY_DOMAIN", "SUFFIX"];

/// Loads the layers above these variables: whatever a file says of one wins.
pub(crate) fn load(sources: &[Source<'_>], command_line: &CommandLine) -> Loaded {
    // Absent where /proc is not mounted: a service that wants it is told so.
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let text = document(std::env::consts::ARCH, kernel.trim());
    let mut all = vec![Source {
        name: NAME,
        text: &text,
    }];
    all.extend_from_slice(sources);
    config::load(&all, command_line)
}

fn document(architecture: &str, kernel: &str) -> String {
    // What RancherOS's images of a processor have at the end of their names.
    let suffix = match architecture {
        "x86_64" => String::new(),
        "aarch64" => "_arm64".to_owned(),
        other => format!("_{other}"),
    };
    let mut text = format!(
        "rancher:\n  environment:\n    REGISTRY_DOMAIN: docker.io\n    SUFFIX: '{suffix}'\n"
    );
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~');
    if !kernel.is_empty() && kernel.chars().all(is_plain) {
        text.push_str(&format!("    KERNEL_VERSION: '{kernel}'\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(architecture: &str, own: &str) -> Vec<String> {
        let text = document(architecture, "6.12.57-ros+1");
        let sources = [text.as_str(), own].map(|text| Source { name: NAME, text });
        let loaded = config::load(&sources, &CommandLine::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let services = loaded.config.rancher.services.into_values();
        services.filter_map(|service| service.image).collect()
    }

    #[test]
    fn services_have_the_variables_of_rancheros() {
        const SERVICES: &str = "services: {a: {image: '${REGISTRY_DOMAIN}/x${SUFFIX}:1'}, b: {image: 'k:${KERNEL_VERSION}'}}";
        let own = format!("rancher: {{{SERVICES}}}");
        assert_eq!(images("x86_64", &own), ["docker.io/x:1", "k:6.12.57-ros+1"]);
        assert_eq!(images("aarch64", &own)[0], "docker.io/x_arm64:1");
        let own = format!("rancher: {{environment: {{REGISTRY_DOMAIN: r.example}}, {SERVICES}}}");
        assert_eq!(images("x86_64", &own)[0], "r.example/x:1");
        assert!(!document("x86_64", "a'b").contains("KERNEL_VERSION"));
    }
}

//! `#compose` user data (RancherOS's): a compose file whose services become the machine's.

use config::Value;

/// The first line of such a document.
pub(crate) const FIRST_LINE: &str = "#compose";

/// The same as a cloud-config. Lines stay whole, one for one below `services:`, so that what is said of them leads to the file.
///
/// # Errors
/// A text that is not YAML with services, in words.
pub(crate) fn cloud_config(text: &str) -> Result<String, String> {
    let (node, _) = config::parse("#compose", text).map_err(|problem| problem.to_string())?;
    let Value::Map(map) = &node.value else {
        return Err("#compose: expected services by their names".to_owned());
    };
    // The second form of compose files has a version, and its services below a key.
    let head = if map.contains_key("services") {
        "rancher:\n"
    } else {
        "rancher:\n  services:\n"
    };
    let indent = if map.contains_key("services") {
        "  "
    } else {
        "    "
    };
    let mut converted = format!("#cloud-config\n{head}");
    for line in text.lines().skip(1) {
        let is_marker = matches!(line.trim_end(), "---" | "...") || line.starts_with("version:");
        if is_marker || line.trim().is_empty() {
            converted.push('\n');
        } else {
            converted.push_str(&format!("{indent}{line}\n"));
        }
    }
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_become_the_machines() {
        for text in [
            "#compose\nweb:\n  image: nginx\n  command: |\n    a\n\n    b\n",
            "#compose\n---\nversion: '2'\nservices:\n  web:\n    image: nginx\n    command: |\n      a\n\n      b\n",
            "#compose\n{web: {image: nginx, command: \"a\\n\\nb\\n\"}}\n",
        ] {
            let text = cloud_config(text).unwrap();
            let source = config::Source {
                name: "t",
                text: &text,
            };
            let loaded = config::load(&[source], &config::CommandLine::default());
            assert!(loaded.problems.is_empty(), "{text}: {:?}", loaded.problems);
            let web = &loaded.config.rancher.services["web"];
            assert_eq!(web.image.as_deref(), Some("nginx"), "{text}");
            assert_eq!(web.command.as_ref().unwrap(), &["a", "b"], "{text}");
        }
        assert!(cloud_config("#compose\n- a\n").is_err());
        assert!(cloud_config("#compose\na: [\n").is_err());
    }
}

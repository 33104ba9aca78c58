//! Labels and files of services that nothing comes of.

use std::collections::BTreeMap;

use config::cloud_config::WriteFile;
use config::service::SCOPE;
use config::{Node, Problem, Service};

use super::{at_item, at_key};
use crate::console::write_files::{container, content};

const SCHEDULE: &str = "cron.schedule";

/// Schedules of User Docker's services, which nobody reads.
pub(super) fn schedules(
    services: &BTreeMap<String, Service>,
    tree: &Node,
    problems: &mut Vec<Problem>,
) {
    for (name, _) in services.iter().filter(|(_, service)| !service.is_system()) {
        let labels = format!("rancher.services.{name}.labels");
        let labels = tree.get(&labels).and_then(Node::as_map);
        if let Some(entry) = labels.and_then(|labels| labels.get(SCHEDULE)) {
            let key = format!("rancher.services.{name}.labels.{SCHEDULE}");
            let words = format!(
                "not applied: only containers of System Docker are started by the clock: add the label {SCOPE}: system"
            );
            problems.push(at_key(entry, &key, words));
        }
    }
}

/// Scripts that a service's image has no program for. The system's images have busybox; console, and docker in whose view of files
/// dockerd runs, have more.
pub(super) fn scripts(
    services: &BTreeMap<String, Service>,
    files: &[WriteFile],
    tree: &Node,
    problems: &mut Vec<Problem>,
) {
    for (index, file) in files.iter().enumerate() {
        let name = container(file);
        let image = services
            .get(name)
            .and_then(|service| service.image.as_deref());
        let is_small = image.is_some_and(|image| image.starts_with("rancher/os-"))
            && !matches!(name, "console" | "docker");
        let Some(program) = is_small.then(|| interpreter(file)).flatten() else {
            continue;
        };
        let base = program.rsplit('/').next().unwrap_or_default();
        if !matches!(base, "sh" | "ash" | "busybox" | "awk" | "sed" | "") {
            let words = format!(
                "the image of the service {name} does not have {program}, it has busybox: write the script for sh and begin it with #!/bin/sh"
            );
            problems.push(at_item(tree, "write_files", index, words));
        }
    }
}

/// What acpid does at an event is named by the files of one folder; RancherOS's image had more there.
pub(super) fn actions(files: &[WriteFile], tree: &Node, problems: &mut Vec<Problem>) {
    const EVENTS: &str = "/etc/acpi/events/";
    let texts: Vec<Vec<u8>> = files.iter().filter_map(|file| content(file).ok()).collect();
    for (index, file) in files.iter().enumerate() {
        let path = file.path.as_deref().unwrap_or_default();
        let is_action = container(file) == "acpid" && !path.starts_with(EVENTS);
        let is_named = |text: &Vec<u8>| String::from_utf8_lossy(text).contains(path);
        if is_action && !texts.iter().any(is_named) {
            let words = format!("nobody reads {path}: acpid runs what the files of {EVENTS} name");
            problems.push(at_item(tree, "write_files", index, words));
        }
    }
}

/// What the first line of a script names; `env NAME` is NAME.
fn interpreter(file: &WriteFile) -> Option<String> {
    let bytes = content(file).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.lines().next()?.strip_prefix("#!")?.split_whitespace();
    let program = words.next()?;
    let program = if program.ends_with("/env") {
        words.next()?
    } else {
        program
    };
    Some(program.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn a_schedule_that_starts_nothing_is_named() {
        let text = "rancher:\n  services:\n    a:\n      image: x\n      labels:\n        cron.schedule: '@daily'\n    b: {image: x, labels: {cron.schedule: '@daily', io.rancher.os.scope: system}}\n";
        let said = said(text);
        assert!(
            said.len() == 1
                && said[0].starts_with(
                    "t:6:9: warning: rancher.services.a.labels.cron.schedule: not applied: "
                )
                && said[0].contains("io.rancher.os.scope: system"),
            "{said:?}"
        );
    }

    #[test]
    fn an_action_that_no_event_names_is_named() {
        let action = "{container: acpid, path: /etc/acpi/suspend.sh, content: 'exit 0'}";
        let text = format!("write_files:\n- {{path: /a}}\n- {action}\n");
        let alone = said(&text);
        assert!(
            alone.len() == 1
                && alone[0].starts_with(
                    "t:3:3: warning: write_files[1]: nobody reads /etc/acpi/suspend.sh"
                ),
            "{alone:?}"
        );
        let event = "- {container: acpid, path: /etc/acpi/events/lid, content: 'action=/etc/acpi/suspend.sh'}\n";
        assert_eq!(said(&format!("{text}{event}")), Vec::<String>::new());
    }

    /// RancherOS's documentation has such a script for the service network.
    #[test]
    fn a_script_without_its_program_is_named() {
        for (container, line, words) in [
            (
                "network",
                "#!/bin/bash",
                "service network does not have /bin/bash",
            ),
            ("ntp", "#! /usr/bin/env python3", "does not have python3"),
        ] {
            let text = format!(
                "write_files:\n- {{path: /a}}\n- {{path: /b, container: {container}, content: \"{line}\\necho\\n\"}}\n"
            );
            let said = said(&text);
            assert!(
                said.len() == 1
                    && said[0].starts_with("t:3:3: warning: write_files[1]: ")
                    && said[0].contains(words),
                "{said:?}"
            );
        }
        for entry in [
            "container: network, content: \"#!/bin/sh -e\\n\"",
            "container: network, content: '# text'",
            "container: console, content: \"#!/bin/bash\\n\"",
            "content: \"#!/usr/bin/env bash\\n\"",
            "container: mine, content: \"#!/bin/bash\\n\"",
        ] {
            let text = format!(
                "write_files: [{{path: /b, {entry}}}]\nrancher: {{services: {{mine: {{image: x}}}}}}\n"
            );
            assert_eq!(said(&text), Vec::<String>::new(), "{entry}");
        }
    }
}

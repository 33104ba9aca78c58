//! Labels and files of services that nothing comes of.

use std::collections::BTreeMap;

use config::service::SCOPE;
use config::{Node, Problem, Service};

use super::at_key;

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
}

//! Files of `write_files` that nobody reads: those of RancherOS's programs where this system has others.

use super::text;
use crate::{Node, Problem, Value};

/// Their paths, or the folders that they are in, and what to do.
const UNREAD: &[(&[&str], &str)] = &[(
    &[
        "/etc/ntp.conf",
        "/etc/ntp/",
        "/etc/ntpd.conf",
        "/etc/openntpd/",
        "/etc/systemd/timesyncd.conf",
        "/etc/systemd/timesyncd.conf.d/",
    ],
    "the service ntp is chrony: name servers in `ntp`, or write chrony's lines to /var/lib/rancher/conf/chrony/NAME.conf",
)];

/// What to say about the entries of `write_files`.
pub(super) fn files(node: &Node, path: &str) -> Vec<Problem> {
    let Value::List(items) = &node.value else {
        return Vec::new();
    };
    let said = items.iter().enumerate().filter_map(|(index, item)| {
        let entry = item.as_map()?.get("path")?;
        let file = text(entry.node.value.clone())?;
        let (_, hint) = UNREAD.iter().find(|(places, _)| {
            let mut places = places.iter();
            places.any(|place| file == *place || place.ends_with('/') && file.starts_with(place))
        })?;
        let key = format!("{path}[{index}].path");
        let message = format!("nobody reads {file}: {hint}");
        Some(Problem::warning(&entry.node.at, key, message))
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use crate::check::tests::checked;

    #[test]
    fn a_file_that_no_program_reads_is_named() {
        for path in ["/etc/ntp.conf", "/etc/systemd/timesyncd.conf.d/a.conf"] {
            let text =
                format!("write_files:\n- {{path: /a}}\n- {{container: ntp, path: {path}}}\n");
            let problems = checked(&text).1;
            assert_eq!(problems.len(), 1, "{path}");
            let start = "t.yml:3:26: warning: write_files[1].path: nobody reads ";
            assert!(
                problems[0].starts_with(start) && problems[0].contains("conf/chrony/"),
                "{problems:?}"
            );
        }
        assert!(
            checked("write_files: [{container: ntp, path: /etc/chrony/chrony.conf}]")
                .1
                .is_empty()
        );
    }

    #[test]
    fn an_address_without_its_prefix_is_asked_about() {
        let interface =
            |text: &str| format!("rancher: {{network: {{interfaces: {{eth0: {{{text}}}}}}}}}");
        for (text, words) in [
            (
                "address: 192.168.1.5",
                "write 192.168.1.5/24 for a usual network, or 192.168.1.5/32",
            ),
            (
                "addresses: [10.0.0.2/32, 'fd00::2']",
                "write fd00::2/64 for a usual network, or fd00::2/128",
            ),
        ] {
            let problems = checked(&interface(text)).1;
            assert!(
                problems.len() == 1 && problems[0].contains(words),
                "{problems:?}"
            );
            assert!(
                problems[0].contains(": warning: rancher.network.interfaces.eth0.address"),
                "{problems:?}"
            );
        }
        let good = "address: 10.0.0.2/24, gateway: 10.0.0.1, addresses: [$private_ipv4]";
        assert!(checked(&interface(good)).1.is_empty());
    }
}

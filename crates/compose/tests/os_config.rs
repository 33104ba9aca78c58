//! The built-in configuration is valid, its plan has the order the system promises, and privileges are few.

use std::collections::BTreeSet;

use compose::{Plan, plan};
use config::{CommandLine, Source, load};

const OS_CONFIG: &str = include_str!("../../../rootfs/os-config.yml");

fn built_in() -> Plan {
    let source = Source {
        name: "os-config.yml",
        text: OS_CONFIG,
    };
    let loaded = load(&[source], &CommandLine::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let plan = plan(&loaded.config.rancher.services, &loaded.config.rancher);
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    plan
}

#[test]
fn the_services_are_the_promised_ones() {
    let plan = built_in();
    let names = |one_shot: bool| -> BTreeSet<&str> {
        plan.steps
            .iter()
            .filter(|step| (step.request.host_config.restart_policy.name != "always") == one_shot)
            .map(|step| step.name.as_str())
            .collect()
    };
    assert_eq!(
        names(false),
        BTreeSet::from([
            "acpid", "console", "docker", "network", "ntp", "syslog", "udev"
        ])
    );
    assert_eq!(
        names(true),
        BTreeSet::from(["cloud-init", "preload-user-images", "udev-cold"])
    );
}

#[test]
fn the_console_waits_for_cloud_init_and_never_for_the_network() {
    let plan = built_in();
    let after = |name: &str| {
        plan.steps
            .iter()
            .find(|step| step.name == name)
            .unwrap()
            .after
            .clone()
    };
    assert_eq!(after("console"), ["cloud-init"]);
    assert_eq!(after("docker"), ["cloud-init"]); // it waits for the console itself
    assert!(after("cloud-init").is_empty());
    // What nobody waits for leaves the processors to the console, which dockerd waits for.
    for name in ["acpid", "preload-user-images", "syslog", "udev"] {
        assert_eq!(after(name), ["console", "docker"], "{name}");
    }
}

/// What mounts, loads or signals as no container may under `docker-default`; the reasons stand
/// in os-config.yml. No other service may loosen anything.
const UNCONFINED: [&str; 5] = ["acpid", "cloud-init", "network", "udev", "udev-cold"];

#[test]
fn privileged_is_the_exception_and_everything_else_drops_all() {
    for step in built_in().steps {
        let host = &step.request.host_config;
        let allowed = ["console", "docker"].contains(&step.name.as_str());
        assert_eq!(host.privileged, allowed, "{}", step.name);
        if !allowed {
            assert!(host.readonly_rootfs, "{}", step.name);
            assert_eq!(
                host.cap_drop.as_deref(),
                Some(&["ALL".to_owned()][..]),
                "{}",
                step.name
            );
            let unconfined = UNCONFINED
                .contains(&step.name.as_str())
                .then(|| vec!["apparmor=unconfined".to_owned()]);
            assert_eq!(host.security_opt, unconfined, "{}", step.name);
        }
        let image = &step.request.config.image;
        assert!(
            image.starts_with("rancher/os-") && image.ends_with(config::VERSION),
            "{image}"
        );
    }
}

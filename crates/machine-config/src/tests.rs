//! The layers in a folder of the test.

use std::fs;

use super::*;

fn machine(files: &[(&str, &str)], cmdline: &str) -> MachineConfig {
    let root = tempfile::tempdir().unwrap();
    let conf = root.path().join("conf");
    fs::create_dir_all(conf.join("cloud-config.d")).unwrap();
    for (name, text) in files {
        fs::write(root.path().join(name), text).unwrap();
    }
    fs::write(root.path().join("cmdline"), cmdline).unwrap();
    MachineConfig::load_from(&Places {
        built_in: root.path().join("os.yml"),
        oem: root.path().join("oem.yml"),
        conf,
        command_line: root.path().join("cmdline"),
        leases: root.path().to_owned(),
    })
}

#[test]
fn a_servers_name_counts_only_where_nobody_names_the_machine() {
    let lease = ("hostnames", "1002 eth0 by-dhcp\n");
    let default = ("os.yml", "rancher: {defaults: {hostname: d}}");
    let unnamed = machine(&[lease, default], "");
    assert_eq!(unnamed.hostname(), "by-dhcp");
    assert_eq!(unnamed.given_hostname(), None);
    let files = [lease, default, ("conf/metadata", r#"{"hostname": "m"}"#)];
    assert_eq!(machine(&files, "").hostname(), "m");
    assert_eq!(machine(&files, "cc.hostname=own").hostname(), "own");
    assert_eq!(machine(&[default], "").hostname(), "d");
    // What no host can be called is not a name, and does not keep a good one away.
    let named = [lease, default, ("conf/cloud-config.yml", "hostname: a b")];
    assert_eq!(machine(&named, "").hostname(), "by-dhcp");
}

#[test]
fn files_are_laid_over_each_other_in_order() {
    let machine = machine(
        &[
            (
                "os.yml",
                "hostname: built-in\nrancher: {defaults: {hostname: d}}",
            ),
            (
                "oem.yml",
                "hostname: vendor\nrancher: {upgrade: {image: foo}}",
            ),
            (
                "conf/cloud-config.d/a.yml",
                "hostname: a\nrancher: {debug: true}",
            ),
            ("conf/cloud-config.d/b.yml", "hostname: b"),
            ("conf/cloud-config.d/.hidden", "hostname: ["),
            ("conf/cloud-config.yml", "rancher: {debug: false}"),
        ],
        "cc.ssh_authorized_keys=['ssh-rsa AAAA k']",
    );
    assert!(
        machine.loaded.problems.is_empty(),
        "{:?}",
        machine.loaded.problems
    );
    assert_eq!(machine.hostname(), "b");
    assert_eq!(machine.loaded.config.rancher.debug, Some(false));
    assert_eq!(
        machine.loaded.config.rancher.upgrade.image.as_deref(),
        Some("foo")
    );
    assert_eq!(
        machine.loaded.config.ssh_authorized_keys,
        ["ssh-rsa AAAA k"]
    );
}

#[test]
fn metadata_fills_what_the_configuration_leaves_open() {
    let metadata = (
        "conf/metadata",
        r#"{"hostname": "meta", "ssh_authorized_keys": ["k"]}"#,
    );
    let named = machine(&[metadata, ("conf/cloud-config.yml", "hostname: own")], "");
    assert_eq!(named.hostname(), "own");
    let open = machine(&[metadata], "");
    assert_eq!(open.hostname(), "meta");
    assert_eq!(open.metadata.ssh_authorized_keys, ["k"]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_and_not_the_end() {
    let machine = machine(
        &[
            ("conf/cloud-config.yml", "hostname: [\n"),
            ("conf/metadata", "{"),
        ],
        "cc.hostname=x",
    );
    assert_eq!(machine.hostname(), "x");
    assert_eq!(machine.errors().count(), 2);
}

#[test]
fn a_name_that_no_host_can_have_is_reported_and_not_taken() {
    for name in ["", "-a", "a b", "a/b", "é", &"x".repeat(65)] {
        assert!(!is_hostname(name), "{name}");
    }
    assert!(is_hostname("node-1.example.org"));
    let machine = machine(&[("conf/cloud-config.yml", "hostname: my host\n")], "");
    assert_eq!(machine.hostname(), DEFAULT_HOST_NAME);
    let reported: Vec<String> = machine.errors().map(ToString::to_string).collect();
    assert!(
        reported[0].contains("cloud-config.yml:1:11: error: hostname: expected a host name"),
        "{reported:?}"
    );
}

#[test]
fn more_files_than_are_read_are_reported() {
    let files: Vec<(String, String)> = (0..=files::MAX_FILES)
        .map(|n| {
            (
                format!("conf/cloud-config.d/{n:04}.yml"),
                format!("hostname: h{n}"),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let machine = machine(&files, "");
    assert_eq!(machine.hostname(), format!("h{}", files::MAX_FILES - 1));
    assert!(machine.errors().any(|p| p.message.contains("257 files")));
}

#[test]
fn a_service_of_a_catalogue_is_read_from_its_folder_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("w")).unwrap();
    fs::write(folder.path().join("w/web.yml"), "web: {image: nginx}\n").unwrap();
    let text = format!(
        "rancher:\n  repositories: {{own: {{url: {}}}}}\n  services_include: {{web: true, other: true, 'https://e.example/a.yml': true}}\n",
        folder.path().display()
    );
    let machine = machine(&[("conf/cloud-config.yml", &text)], "");
    let services = &machine.loaded.config.rancher.services;
    assert_eq!(services["web"].image.as_deref(), Some("nginx"));
    let said: Vec<String> = machine
        .loaded
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("services_include.other") && said[0].contains("in no catalogue"));
    let unfetched = machine.unfetched["https://e.example/a.yml"].to_string();
    assert!(unfetched.contains("its file is not here"), "{unfetched}");
}

#[test]
fn the_datasources_network_counts_where_the_machine_says_nothing() {
    let metadata = r#"{"network": {"interfaces": {"eth0": {"match": "mac=52:54:00:00:00:01", "address": "10.0.0.2/24"}},
        "dns": {"nameservers": ["10.0.0.1"]}}}"#;
    let built_in = "rancher: {network: {dns: {nameservers: [9.9.9.9], search: [a]}}}";
    let own = "rancher: {network: {interfaces: {eth0: {dhcp: true}}}}";
    let files = [("os.yml", built_in), ("conf/metadata", metadata)];
    let network = machine(&files, "").loaded.config.rancher.network;
    assert_eq!(
        network.interfaces["eth0"].address.as_deref(),
        Some("10.0.0.2/24")
    );
    assert_eq!(network.dns.nameservers, ["10.0.0.1"]);
    assert_eq!(network.dns.search, ["a"]);
    let files = [files[0], files[1], ("conf/cloud-config.d/boot.yml", own)];
    let network = machine(&files, "").loaded.config.rancher.network;
    assert_eq!(network.interfaces["eth0"].dhcp, Some(true));
    assert_eq!(network.interfaces["eth0"].address, None);
    assert_eq!(network.dns.nameservers, ["10.0.0.1"]);
    let network = machine(&files, "rancher.network.dns.nameservers=[1.1.1.1]")
        .loaded
        .config
        .rancher
        .network;
    assert_eq!(network.dns.nameservers, ["1.1.1.1"]);
}

/// Without the look at them each of these would keep PID 1 and the logins waiting.
#[test]
fn pipes_and_devices_are_named_and_never_waited_for() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let pipe = |name: &str| mknodat(CWD, at(name), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir_all(at("conf/cloud-config.d/directory")).unwrap();
    for name in [
        "oem.yml",
        "include.yml",
        "conf/metadata",
        "conf/cloud-config.d/pipe",
    ] {
        pipe(name);
    }
    let link = |target: &str| {
        let path = at("conf/cloud-config.d").join(target);
        std::os::unix::fs::symlink(target, path).unwrap();
    };
    link("loop");
    let zero = at("conf/cloud-config.d/zero");
    std::os::unix::fs::symlink("/dev/zero", zero).unwrap();
    let include = at("include.yml").display().to_string();
    let text = format!(
        "hostname: mine\nrancher: {{services_include: {{{include}: true, /dev/zero: true, {}: true}}}}\n",
        root.path().display()
    );
    fs::write(at("conf/cloud-config.yml"), text).unwrap();
    let machine = MachineConfig::load_from(&Places {
        built_in: at("none"),
        oem: at("oem.yml"),
        conf: at("conf"),
        command_line: at("none"),
        leases: at("none"),
    });
    assert_eq!(machine.hostname(), "mine");
    let said: Vec<String> = machine
        .loaded
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    for (name, words) in [
        ("oem.yml", "it is a named pipe, and not a file"),
        ("include.yml", "it is a named pipe, and not a file"),
        ("metadata", "it is a named pipe, and not a file"),
        ("cloud-config.d/pipe", "it is a named pipe, and not a file"),
        (
            "cloud-config.d/directory",
            "it is a directory, and not a file",
        ),
        ("cloud-config.d/zero", "it is a device, and not a file"),
        ("cloud-config.d/loop", "symbolic links"),
        (
            "services_include./dev/zero",
            "it is a device, and not a file",
        ),
    ] {
        let is_it = |text: &&String| text.contains(name) && text.contains(words);
        assert_eq!(said.iter().filter(is_it).count(), 1, "{name}: {said:?}");
    }
}

#[test]
fn a_file_of_services_counts_before_cloud_init_has_written_it() {
    let text = "rancher: {services_include: {/nonexistent/x.yml: true, /nonexistent/y.yml: true}}\nwrite_files:\n- path: /nonexistent/x.yml\n  content: |\n    own: {image: busybox}\n";
    let machine = machine(&[("conf/cloud-config.d/boot.yml", text)], "");
    assert!(machine.loaded.config.rancher.services.contains_key("own"));
    let said: Vec<String> = machine
        .loaded
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("y.yml") && said[0].contains("does not exist"),
        "{said:?}"
    );
}

#[test]
fn addresses_of_the_datasource_are_filled_into_the_machines_own_files() {
    let text = "hostname: a\nrancher: {environment: {A: $private_ipv4, B: \"${public_ipv4}\", C: '\\$private_ipv4'}}\n";
    let files = [
        ("os.yml", "rancher: {environment: {D: $private_ipv4}}"),
        ("conf/metadata", r#"{"private_ipv4": "10.0.0.2"}"#),
        (
            "conf/cloud-config.d/boot.yml",
            "rancher: {environment: {E: $private_ipv4}}",
        ),
        ("conf/cloud-config.yml", text),
    ];
    let machine = machine(&files, "");
    for (name, want) in [
        ("A", "10.0.0.2"),
        ("B", "${public_ipv4}"),
        ("C", "$private_ipv4"),
        ("D", "$private_ipv4"),
        ("E", "$private_ipv4"),
    ] {
        let value = machine.loaded.config.rancher.environment.get(name);
        assert_eq!(value.unwrap().as_deref(), Some(want), "{name}");
    }
    let unfilled: Vec<String> = machine.unfilled.iter().map(ToString::to_string).collect();
    assert_eq!(unfilled.len(), 1, "{unfilled:?}");
    assert!(
        unfilled[0].contains("cloud-config.yml:2:1: warning: $public_ipv4"),
        "{unfilled:?}"
    );
}

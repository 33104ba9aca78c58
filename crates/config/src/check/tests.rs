//! Documents, what is left of them, and what is said.

use super::*;
use crate::{parse, schema};

pub(super) fn checked(text: &str) -> (serde_json::Value, Vec<String>) {
    let (node, _) = parse("t.yml", text).unwrap();
    let mut problems = Vec::new();
    let node = check(node, &schema::CLOUD_CONFIG, &mut problems);
    (
        node.map_or(serde_json::Value::Null, |node| node.to_json()),
        problems.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn scalars_get_the_type_of_the_schema() {
    for (text, want) in [
        ("hostname: 123", serde_json::json!({"hostname": "123"})),
        (
            "rancher: {debug: yes}",
            serde_json::json!({"rancher": {"debug": true}}),
        ),
        (
            "rancher: {debug: \"true\"}",
            serde_json::json!({"rancher": {"debug": true}}),
        ),
        (
            "write_files: [{permissions: 0644}]",
            serde_json::json!({"write_files": [{"permissions": "0644"}]}),
        ),
        (
            "rancher: {state: {autoformat: /dev/sda}}",
            serde_json::json!({"rancher": {"state": {"autoformat": ["/dev/sda"]}}}),
        ),
        (
            "rancher: {services: {a: {command: sh -c 'x y'}}}",
            serde_json::json!({"rancher": {"services": {"a": {"command": ["sh", "-c", "x y"]}}}}),
        ),
        (
            "rancher: {services: {a: {environment: [A=1, B]}}}",
            serde_json::json!({"rancher": {"services": {"a": {"environment": {"A": "1", "B": null}}}}}),
        ),
        (
            "rancher: {services: {a: {restart: no}}}",
            serde_json::json!({"rancher": {"services": {"a": {"restart": "no"}}}}),
        ),
        (
            "runcmd: [ls, [a, 1]]",
            serde_json::json!({"runcmd": ["ls", ["a", "1"]]}),
        ),
        ("hostname:", serde_json::json!({})),
    ] {
        let (json, problems) = checked(text);
        assert_eq!(json, want, "{text}");
        assert!(problems.is_empty(), "{text}: {problems:?}");
    }
}

#[test]
fn what_does_not_fit_is_reported_with_its_place_and_the_rest_stays() {
    for (text, keeps, report) in [
        (
            "ssh_authorised_keys: [x]\nhostname: h",
            serde_json::json!({"hostname": "h"}),
            "t.yml:1:1: warning: ssh_authorised_keys: unknown key, did you mean \"ssh_authorized_keys\"? it is ignored",
        ),
        (
            "hostname: h\nrancher:\n  debug: perhaps",
            serde_json::json!({"hostname": "h", "rancher": {}}),
            "t.yml:3:10: error: rancher.debug: expected true or false, found a string",
        ),
        (
            "services: {}",
            serde_json::json!({}),
            "t.yml:1:1: warning: services: unknown key here, did you mean \"rancher.services\"? it is ignored",
        ),
        (
            "snap: []",
            serde_json::json!({"snap": []}),
            "t.yml:1:1: warning: snap: not applied: it belongs to Ubuntu",
        ),
        (
            "ssh_authorized_keys: [a, {b: c}, d]",
            serde_json::json!({"ssh_authorized_keys": ["a", "d"]}),
            "t.yml:1:26: error: ssh_authorized_keys[1]: expected a string, found a map",
        ),
        (
            "rancher: {services: {web: {imge: x}}}",
            serde_json::json!({"rancher": {"services": {"web": {}}}}),
            "t.yml:1:28: warning: rancher.services.web.imge: unknown key, did you mean \"rancher.services.web.image\"? it is ignored",
        ),
    ] {
        let (json, problems) = checked(text);
        assert_eq!(json, keeps, "{text}");
        assert_eq!(problems, [report], "{text}");
    }
}

#[test]
fn a_report_never_shows_the_value() {
    let (_, problems) = checked("rancher: {password: [s3cret], ssh: {port: s3cret}}");
    assert_eq!(problems.len(), 2);
    assert!(
        problems.iter().all(|problem| !problem.contains("s3cret")),
        "{problems:?}"
    );
}

#[test]
fn a_document_that_is_not_a_map_leaves_nothing() {
    let (json, problems) = checked("just text");
    assert_eq!(json, serde_json::Value::Null);
    assert_eq!(problems.len(), 1);
}

/// Mistakes of real files (config-apply.md, section 3.2): each gets its own words.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes_that_people_make_are_explained() {
    for (text, report) in [
        (
            "network: {interfaces: {}}",
            "network: unknown key here, did you mean \"rancher.network\"? it is ignored",
        ),
        (
            "docker: {tls: true}",
            "docker: unknown key here, did you mean \"rancher.docker\"? it is ignored",
        ),
        (
            "eth0: {dhcp: true}",
            "eth0: unknown key, did you mean \"rancher.network.interfaces.eth0\"? it is ignored",
        ),
        (
            "rancher: {network: {eth0: {dhcp: true}}}",
            "rancher.network.eth0: unknown key, did you mean \"rancher.network.interfaces.eth0\"? it is ignored",
        ),
        (
            "rancher: {network: {dns: {interfaces: {}}}}",
            "rancher.network.dns.interfaces: unknown key here, did you mean \"rancher.network.interfaces\"? it is ignored",
        ),
        (
            "rancher: {network: {interfaces: {dns: {search: [a]}}}}",
            "rancher.network.interfaces.dns: this is not a link: did you mean \"rancher.network.dns\"? it is ignored",
        ),
        (
            "rancher: {network: {hostname: a}}",
            "rancher.network.hostname: unknown key here, did you mean \"hostname\"? it is ignored",
        ),
        (
            "rancher: {network: {registry_auths: {}}}",
            "rancher.network.registry_auths: unknown key here, did you mean \"rancher.registry_auths\"? it is ignored",
        ),
        (
            "rancher: {ssh_authorized_keys: [a]}",
            "rancher.ssh_authorized_keys: unknown key here, did you mean \"ssh_authorized_keys\"? it is ignored",
        ),
        (
            "autologin: tty1",
            "autologin: unknown key here, did you mean \"rancher.autologin\"? it is ignored",
        ),
        (
            "rancher: {network: {dns: {override: true}}}",
            "rancher.network.dns.override: unknown key: it is gone: name servers that are given always replace those of DHCP. It is ignored",
        ),
        (
            "rancher: {state: {formatzero: true}}",
            "rancher.state.formatzero: unknown key: use rancher.state.autoformat on the kernel command line, which formats blank disks. It is ignored",
        ),
        (
            "rancher: {dev: /dev/vda}",
            "rancher.dev: unknown key: use rancher.state.dev, on the kernel command line. It is ignored",
        ),
        (
            "rancher: {autoformat: /dev/vda}",
            "rancher.autoformat: not applied: RancherOS never read it: use rancher.state.autoformat, on the kernel command line",
        ),
        (
            "rancher: {user_docker: {tls: false}}",
            "rancher.user_docker: unknown key: use rancher.docker. It is ignored",
        ),
        (
            "rancher: {system_containers: {a: {image: b}}}",
            "rancher.system_containers: unknown key: use rancher.services. It is ignored",
        ),
        (
            "rancher: {network: {dns: {domain: a.example}}}",
            "rancher.network.dns.domain: unknown key: a resolver has a list of them: use `search` in its place. It is ignored",
        ),
        (
            "network: {config: disabled}",
            "network: unknown key: it is cloud-init's: use rancher.network. It is ignored",
        ),
        (
            "debug: {verbose: true}",
            "debug: unknown key: it steers cloud-init itself, which this system does not have. It is ignored",
        ),
        (
            "rancher: {docker: {insecure-registries: [a]}}",
            "rancher.docker.insecure-registries: unknown key: it is daemon.json's word: use rancher.docker.insecure_registry. It is ignored",
        ),
        (
            "rancher: {docker: {data-root: /a}}",
            "rancher.docker.data-root: taken as \"rancher.docker.data_root\"",
        ),
        (
            "rancher: {services_include: [zfs]}",
            "rancher.services_include: expected a map, found a list: write `NAME: true` for each",
        ),
        (
            "ssh_authorizes_keys: [a]",
            "ssh_authorizes_keys: unknown key, did you mean \"ssh_authorized_keys\"? it is ignored",
        ),
        (
            "rancher: {console: debian}",
            "rancher.console: not applied: this version has one console, the media's",
        ),
    ] {
        let (_, problems) = checked(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].ends_with(report), "{text}: {problems:?}");
    }
}

/// A body whose keys are as deep as its name: one mistake, and the other services stay.
#[test]
fn a_service_whose_keys_are_not_below_it_is_told_once() {
    let text = "rancher:\n  services:\n    web: {image: x}\n    a:\n    privileged: true\n    image: y\n    labels: {b: c}\n    volumes: [/a:/b]\n    dns: {image: z}\n";
    let (json, problems) = checked(text);
    let left = serde_json::json!({"rancher": {"services": {"web": {"image": "x"}, "dns": {"image": "z"}}}});
    assert_eq!(json, left);
    assert_eq!(
        problems,
        [
            "t.yml:5:5: error: rancher.services: the keys of a service stand here in place of services: indent them below a"
        ]
    );
    let (_, problems) = checked("rancher: {services: {image: {image: x}}}");
    assert_eq!(problems, Vec::<String>::new());
}

/// A key that is not applied says so; the built-in words of such a key do not.
#[test]
fn nothing_that_is_not_applied_is_silent() {
    for text in [
        "rancher: {console: default}",
        "package_upgrade: false",
        "rancher: {log: true}",
    ] {
        assert_eq!(checked(text).1, Vec::<String>::new(), "{text}");
    }
    fn walk(kind: &schema::Kind, open: &str, count: &mut usize) {
        for field in kind.fields() {
            let here = format!("{open}{{{}: ", field.name);
            if let schema::Effect::Never(reason) = field.effect {
                let text = format!("{here}word{}", "}".repeat(here.matches('{').count()));
                let (_, problems) = checked(&text);
                assert!(
                    problems
                        .iter()
                        .any(|problem| problem.contains(reason) || problem.contains("expected")),
                    "{text}: {problems:?}"
                );
                *count += 1;
            }
            match field.kind {
                schema::Kind::MapOf(inner) => walk(inner, &format!("{here}{{any: "), count),
                schema::Kind::ListOf(inner) => walk(inner, &here, count),
                _ => walk(&field.kind, &here, count),
            }
        }
    }
    let mut count = 0;
    walk(&schema::CLOUD_CONFIG, "", &mut count);
    assert!(count > 100, "{count}");
}

/// The keys of schema-cloud-config-v1 (cloud-init 26.2), each known here.
#[test]
fn every_key_of_cloud_init_is_known() {
    let keys = include_str!("cloud_init_keys.txt");
    for key in keys.lines() {
        let (_, problems) = checked(&format!("{key}: x"));
        assert!(
            !problems.iter().any(|problem| problem.contains("unknown")),
            "{key}: {problems:?}"
        );
    }
    assert_eq!(keys.lines().count(), 98);
}

#[test]
fn values_that_a_machine_cannot_use_are_reported_and_kept() {
    for (text, said) in [
        (
            "rancher: {ssh: {port: 999999}}",
            "t.yml:1:23: error: rancher.ssh.port: expected a number from 1 to 65535",
        ),
        (
            "rancher: {ssh: {listen_address: nowhere}}",
            "t.yml:1:33: error: rancher.ssh.listen_address: expected an IP address, as 10.0.0.1 or 10.0.0.1:22",
        ),
        (
            "rancher: {network: {dns: {nameservers: [10.0.0.1, 1.1.1]}}}",
            "t.yml:1:51: error: rancher.network.dns.nameservers[1]: expected an IP address, as 10.0.0.1",
        ),
        (
            "rancher: {network: {interfaces: {eth0: {address: 10.0.0.2/33}}}}",
            "t.yml:1:50: error: rancher.network.interfaces.eth0.address: expected an IP address with its prefix, as 10.0.0.2/24",
        ),
    ] {
        let (json, problems) = checked(text);
        assert_eq!(problems, [said], "{text}");
        assert!(json.to_string().len() > "{}".len(), "{text} is lost");
    }
    let (json, problems) = checked("rancher: {services: {../../x: {image: y}, web: {image: y}}}");
    assert_eq!(
        json,
        serde_json::json!({"rancher": {"services": {"web": {"image": "y"}}}})
    );
    assert!(
        problems[0]
            .starts_with("t.yml:1:22: error: rancher.services.../../x: the name of a service"),
        "{problems:?}"
    );
}

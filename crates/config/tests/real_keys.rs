//! Every key that 82 public sources of RancherOS configurations use, by how many use it: each is applied, or named with its
//! place and the reason.
#![allow(clippy::unwrap_used, reason = "tests")]

use config::schema::Effect;
use config::{CommandLine, Source, load, schema};

/// What becomes of a key.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It has its effect, and nothing is said.
    Applied,
    /// It has none here because nothing is left to do, and nothing is said.
    Given,
    /// It is named with these words.
    Said(&'static str),
}

use Fate::{Applied, Given, Said};

/// The sources that use it, the document, its key in the schema, and its fate.
#[rustfmt::skip] // one line a key, so that it can be read as a table
const KEYS: &[(u32, &str, &str, Fate)] = &[
    (58, "ssh_authorized_keys: [ssh-rsa AAAA me]", "ssh_authorized_keys", Applied),
    (41, "hostname: a", "hostname", Applied),
    (33, "rancher: {network: {interfaces: {eth0: {dhcp: true}}}}", "rancher.network.interfaces.eth0.dhcp", Applied),
    (30, "rancher: {network: {dns: {nameservers: [1.1.1.1]}}}", "rancher.network.dns.nameservers", Applied),
    (27, "write_files: [{path: /a, content: b}]", "write_files", Applied),
    (25, "rancher: {network: {interfaces: {eth0: {address: 10.0.0.2/24}}}}", "rancher.network.interfaces.eth0.address", Applied),
    (25, "write_files: [{path: /a, permissions: 0644, content: b}]", "write_files.0.permissions", Applied),
    (23, "rancher: {network: {interfaces: {eth0: {gateway: 10.0.0.1}}}}", "rancher.network.interfaces.eth0.gateway", Applied),
    (22, "write_files: [{path: /a, owner: 'root:root', content: b}]", "write_files.0.owner", Applied),
    (21, "rancher: {services: {a: {image: b}}}", "rancher.services", Applied),
    (20, "rancher: {console: default}", "rancher.console", Applied),
    (19, "rancher: {services: {a: {image: b}}}", "rancher.services.a.image", Applied),
    (19, "rancher: {services_include: {/var/lib/rancher/conf/a.yml: true}}", "rancher.services_include", Applied),
    (17, "rancher: {network: {interfaces: {eth0: {mtu: 1460}}}}", "rancher.network.interfaces.eth0.mtu", Applied),
    (16, "rancher: {services: {a: {volumes: ['/a:/b']}}}", "rancher.services.a.volumes", Applied),
    (16, "runcmd: [echo a]", "runcmd", Applied),
    (15, "rancher: {services: {a: {privileged: true}}}", "rancher.services.a.privileged", Applied),
    (15, "rancher: {services: {a: {restart: always}}}", "rancher.services.a.restart", Applied),
    (12, "rancher: {services: {a: {labels: {io.rancher.os.scope: system}}}}", "rancher.services.a.labels", Applied),
    (10, "rancher: {resize_device: /dev/sda}", "rancher.resize_device", Applied),
    (10, "rancher: {services: {a: {command: sh -c 'a b'}}}", "rancher.services.a.command", Applied),
    (9, "rancher: {services: {a: {labels: [io.rancher.os.after=network]}}}", "rancher.services.a.labels", Applied),
    (9, "rancher: {docker: {engine: docker-17.03.2-ce}}", "rancher.docker.engine", Said("one engine")),
    (9, "rancher: {services: {a: {environment: [A=b]}}}", "rancher.services.a.environment", Applied),
    (8, "mounts: [['nas:/x', /mnt, nfs4, '']]", "mounts", Applied),
    (8, "rancher: {services: {a: {ports: ['80:80']}}}", "rancher.services.a.ports", Applied),
    (7, "rancher: {services: {a: {net: host}}}", "rancher.services.a.net", Applied),
    (6, "rancher: {network: {dns: {override: true}}}", "", Said("it is gone: name servers")),
    (6, "rancher: {system_docker: {registry_mirror: 'http://m'}}", "rancher.system_docker.registry_mirror", Applied),
    (5, "rancher: {bootstrap_docker: {registry_mirror: 'http://m'}}", "rancher.bootstrap_docker.registry_mirror", Applied),
    (5, "rancher: {docker: {registry_mirror: 'http://m'}}", "rancher.docker.registry_mirror", Applied),
    (5, "rancher: {network: {dns: {search: [a.b]}}}", "rancher.network.dns.search", Applied),
    (5, "rancher: {services: {a: {pid: host}}}", "rancher.services.a.pid", Applied),
    (5, "rancher: {services: {a: {volumes_from: [b]}}}", "rancher.services.a.volumes_from", Applied),
    (5, "rancher: {state: {dev: LABEL=RANCHER_STATE}}", "rancher.state.dev", Applied),
    (5, "rancher: {state: {fstype: auto}}", "rancher.state.fstype", Applied),
    (5, "rancher: {sysctl: {vm.max_map_count: 262144}}", "rancher.sysctl", Applied),
    (4, "rancher: {environment: {A: b}}", "rancher.environment", Applied),
    (4, "rancher: {repositories: {core: {url: 'https://x'}}}", "rancher.repositories", Applied),
    (4, "rancher: {ssh: {port: 2222}}", "rancher.ssh.port", Applied),
    (4, "rancher: {state: {autoformat: [/dev/sda]}}", "rancher.state.autoformat", Said("kernel command line")),
    (4, "write_files: [{path: /a, container: ntp, content: b}]", "write_files.0.container", Applied),
    (3, "network: {interfaces: {eth0: {dhcp: true}}}", "", Said("did you mean \"rancher.network\"?")),
    (3, "rancher: {debug: true}", "rancher.debug", Applied),
    (3, "rancher: {docker: {storage_driver: overlay2}}", "rancher.docker.storage_driver", Applied),
    (3, "rancher: {network: {interfaces: {eth0: {addresses: [10.0.0.2/24]}}}}", "rancher.network.interfaces.eth0.addresses", Applied),
    (3, "rancher: {network: {interfaces: {'eth*': {dhcp: true}}}}", "rancher.network.interfaces", Applied),
    (3, "rancher: {password: a}", "rancher.password", Applied),
    (3, "rancher: {services: {a: {ipc: host}}}", "rancher.services.a.ipc", Applied),
    (3, "runcmd: [[sh, -c, a]]", "runcmd", Applied),
    (2, "rancher: {services: {a: {labels: {cron.schedule: '0 * * * * ?'}}}}", "rancher.services.a.labels", Applied),
    (2, "rancher: {disable: [password]}", "rancher.disable", Applied),
    (2, "rancher: {docker: {extra_args: [--debug]}}", "rancher.docker.extra_args", Applied),
    (2, "rancher: {docker: {insecure_registry: ['r:5000']}}", "rancher.docker.insecure_registry", Applied),
    (2, "rancher: {network: {interfaces: {eth0: {bond: bond0}}}}", "rancher.network.interfaces.eth0.bond", Applied),
    (2, "rancher: {state: {formatzero: true}}", "", Said("use rancher.state.autoformat")),
    (2, "rancher: {services: {a: {labels: [{io.rancher.os.scope: system}]}}}", "rancher.services.a.labels", Applied),
    (1, "rancher: {network: {interfaces: {br0: {bridge: true}}}}", "rancher.network.interfaces.br0.bridge", Applied),
    (1, "rancher: {network: {interfaces: {eth0: {post_up: [a]}}}}", "rancher.network.interfaces.eth0.post_up", Applied),
    (1, "rancher: {network: {post_cmds: [a]}}", "rancher.network.post_cmds", Applied),
    (1, "rancher: {network: {http_proxy: 'http://p'}}", "rancher.network.http_proxy", Applied),
    (1, "rancher: {docker: {storage_context: console}}", "rancher.docker.storage_context", Applied),
    (1, "rancher: {preload_wait: true}", "rancher.preload_wait", Given),
    (1, "rancher: {docker: {tls: true}}", "rancher.docker.tls", Applied),
    (1, "rancher: {docker: {graph: /mnt/docker}}", "rancher.docker.graph", Applied),
    (1, "rancher: {ssh: {keys: {rsa: a}}}", "rancher.ssh.keys", Applied),
    (1, "rancher: {state: {wait: true}}", "rancher.state.wait", Said("kernel command line")),
    (1, "rancher: {services_include: [kernel-extras]}", "", Said("write `NAME: true` for each")),
    (1, "ssh_authorizes_keys: [a]", "", Said("did you mean \"ssh_authorized_keys\"?")),
    (1, "eth0: {dhcp: true}", "", Said("did you mean \"rancher.network.interfaces.eth0\"?")),
    (1, "docker: {engine: a}", "", Said("did you mean \"rancher.docker\"?")),
    (1, "rancher: {ssh_authorized_keys: [a]}", "", Said("did you mean \"ssh_authorized_keys\"?")),
    (1, "rancher: {network: {hostname: a}}", "", Said("did you mean \"hostname\"?")),
    (1, "rancher: {network: {registry_auths: {}}}", "", Said("did you mean \"rancher.registry_auths\"?")),
    (1, "rancher: {docker: {data-root: /a}}", "", Said("taken as \"rancher.docker.data_root\"")),
];

#[test]
fn every_key_of_real_machines_is_applied_or_named() {
    for (sources, text, key, fate) in KEYS {
        let name = format!("used by {sources}");
        let source = Source { name: &name, text };
        let loaded = load(&[source], &CommandLine::default());
        let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        match fate {
            Applied | Given => assert!(said.is_empty(), "{text}: {said:?}"),
            Said(words) => assert!(
                said.iter()
                    .any(|line| line.contains(words) && line.starts_with(&format!("{name}:1:"))),
                "{text}: {said:?}"
            ),
        }
        if key.is_empty() {
            continue;
        }
        let effect = schema::field(key).map(|field| field.effect);
        let is_applied = match effect {
            Some(Effect::Given(_)) => matches!(fate, Given),
            Some(Effect::Never(_)) => matches!(fate, Said(_)),
            Some(_) => true,
            None => false,
        };
        assert!(is_applied, "{key}: {effect:?}");
    }
}

/// What stands in `services_include`, by how many sources turn it on.
#[test]
fn every_service_of_the_catalogue_that_is_included_is_named() {
    for name in [
        "kernel-extras",
        "volume-nfs",
        "debian-console",
        "zfs",
        "kernel-headers-system-docker",
        "crontab",
        "qemu-guest-agent",
        "centos-console",
        "open-vm-tools",
        "open-iscsi",
        "volume-cifs",
        "kernel-headers",
        "nfs",
        "own-service",
        "https://example.org/a.yml",
    ] {
        let reason = config::include::reason(name);
        assert!(!reason.is_empty(), "{name}");
    }
}

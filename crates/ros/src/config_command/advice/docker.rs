//! Settings that dockerd would refuse: it would not start with them, or only with the last good ones.

use config::{Docker, Node, Problem};

use super::at_item;

/// Long options of Docker 26.1: those of `dockerd --help`, and hidden ones that it still takes.
#[rustfmt::skip] // in the order of the help
const OPTIONS: &[&str] = &[
    "add-host", "add-runtime", "allow-nondistributable-artifacts", "api-cors-header", "authorization-plugin", "bip",
    "bridge", "cdi-spec-dir", "cgroup-parent", "config-file", "containerd", "containerd-namespace",
    "containerd-plugins-namespace", "cpu-rt-period", "cpu-rt-runtime", "cri-containerd", "data-root", "debug",
    "default-address-pool", "default-cgroupns-mode", "default-gateway", "default-gateway-v6", "default-ipc-mode",
    "default-network-opt", "default-runtime", "default-shm-size", "default-ulimit", "dns", "dns-opt", "dns-search",
    "exec-opt", "exec-root", "experimental", "fixed-cidr", "fixed-cidr-v6", "group", "help", "host",
    "host-gateway-ip", "http-proxy", "https-proxy", "icc", "init", "init-path", "insecure-registry", "ip",
    "ip-forward", "ip-masq", "ip6tables", "iptables", "ipv6", "label", "live-restore", "log-driver", "log-format",
    "log-level", "log-opt", "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts",
    "metrics-addr", "mtu", "network-control-plane-mtu", "no-new-privileges", "no-proxy", "node-generic-resource",
    "pidfile", "raw-logs", "registry-mirror", "restart", "rootless", "seccomp-profile", "selinux-enabled",
    "shutdown-timeout", "storage-driver", "storage-opt", "swarm-default-advertise-addr", "tls", "tlscacert",
    "tlscert", "tlskey", "tlsverify", "userland-proxy", "userland-proxy-path", "userns-remap", "validate", "version",
];

/// What to do without options that dockerd had.
const GONE: &[(&str, &str)] = &[
    ("cluster-advertise", "swarm mode has its own"),
    ("cluster-store", "swarm mode has its own"),
    ("cluster-store-opt", "swarm mode has its own"),
    ("graph", "use rancher.docker.data_root"),
];

const DRIVER: &str = "rancher.docker.storage_driver";

pub(super) fn add(docker: &Docker, tree: &Node, problems: &mut Vec<Problem>) {
    let mut driver = docker.storage_driver.as_deref();
    if let Some(words) = driver.and_then(bad_driver) {
        problems.push(Problem::warning(&super::place(tree, DRIVER), DRIVER, words));
    }
    let arguments = "rancher.docker.extra_args";
    for (index, argument) in docker.extra_args.iter().enumerate() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (
                &**argument,
                docker.extra_args.get(index + 1).map(String::as_str),
            ),
        };
        let said = match name.strip_prefix("--") {
            Some("storage-driver") => {
                driver = value;
                value.and_then(bad_driver)
            }
            Some(name) => bad_option(name),
            None if name == "-s" => value.and_then(bad_driver),
            None => None,
        };
        problems.extend(said.map(|words| at_item(tree, arguments, index, words)));
    }
    // `dm.basesize=20G`: each driver refuses the options of another.
    let driver = driver
        .filter(|driver| !driver.is_empty())
        .unwrap_or("overlay2");
    for (index, option) in docker.storage_opts.iter().enumerate() {
        let of = option.split('.').next().unwrap_or_default();
        if of != driver {
            let words =
                format!("it is not an option of the storage driver {driver}, which refuses it");
            problems.push(at_item(tree, "rancher.docker.storage_opts", index, words));
        }
    }
}

/// What is wrong with a storage driver on this system.
fn bad_driver(name: &str) -> Option<String> {
    let why = match name {
        "" | "overlay2" | "vfs" => return None,
        "btrfs" => "it works only where rancher.docker.data_root is on btrfs",
        "zfs" => "this version has no ZFS",
        "fuse-overlayfs" => "this version does not have its program",
        "aufs" | "devicemapper" | "overlay" => {
            "Docker removed it, and dockerd does not start with it"
        }
        _ => "dockerd does not have it, and does not start with it",
    };
    Some(format!("{why}: use overlay2, or leave it out"))
}

fn bad_option(name: &str) -> Option<String> {
    if OPTIONS.contains(&name) || name.is_empty() {
        return None;
    }
    let hint = GONE.iter().find(|(gone, _)| *gone == name);
    let hint = hint.map_or("leave it out", |(_, hint)| hint);
    Some(format!(
        "dockerd 26.1 does not have --{name}, and does not start with it: {hint}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn what_dockerd_refuses_is_named() {
        for (docker, words) in [
            (
                "storage_driver: overlay",
                "storage_driver: Docker removed it",
            ),
            ("storage_driver: devicemapper", "use overlay2"),
            ("storage_driver: zfs", "no ZFS"),
            ("storage_driver: btrfs", "is on btrfs"),
            ("storage_driver: overlay3", "dockerd does not have it"),
            (
                "extra_args: [--icc=false, --cluster-store=x]",
                "extra_args[1]: dockerd 26.1 does not have --cluster-store",
            ),
            ("extra_args: [--graph, /a]", "data_root"),
            (
                "extra_args: [--storage-driver, aufs]",
                "extra_args[0]: Docker removed it",
            ),
            ("extra_args: [-s=aufs]", "extra_args[0]: Docker removed it"),
            (
                "storage_opts: [dm.basesize=20G]",
                "storage_opts[0]: it is not an option of the storage driver overlay2",
            ),
        ] {
            let said = said(&format!("rancher: {{docker: {{{docker}}}}}"));
            assert!(
                said.len() == 1 && said[0].contains(words),
                "{docker}: {said:?}"
            );
            assert!(said[0].starts_with("t:1:"), "{said:?}");
        }
    }

    #[test]
    fn what_dockerd_takes_is_silent() {
        for docker in [
            "storage_driver: overlay2, storage_opts: [overlay2.size=1G]",
            "storage_driver: vfs, storage_opts: [vfs.quota=1]",
            "extra_args: [--icc=false, --default-ulimit, 'nofile=1:2', -D, --storage-driver=overlay2]",
            "extra_args: [--storage-driver=vfs], storage_opts: [vfs.quota=1]",
        ] {
            let said = said(&format!("rancher: {{docker: {{{docker}}}}}"));
            assert_eq!(said, Vec::<String>::new(), "{docker}");
        }
    }
}

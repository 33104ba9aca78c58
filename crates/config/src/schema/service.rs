//! A service entry: compose v1 as RancherOS's libcompose took it, plus what today's compose files have and a service of the
//! system can use.

use super::Effect::{Boot, Given, Never, Only};
use super::{Effect, Field, Kind, Origin};

const NOT_HERE: Effect = Never("not supported for system services");

/// A key of compose; compose documents what it means.
const fn f(name: &'static str, kind: Kind) -> Field {
    super::f(name, kind, Boot, "")
}

/// A key of compose that is not applied.
const fn unused(name: &'static str, kind: Kind) -> Field {
    super::f(name, kind, NOT_HERE, "")
}

/// A key of today's compose.
const fn today(name: &'static str, kind: Kind) -> Field {
    f(name, kind).from(Origin::Here)
}

/// A key of today's compose that is not applied, and why.
const fn other(name: &'static str, reason: &'static str) -> Field {
    super::f(name, Kind::Any, Never(reason), "").from(Origin::Here)
}

/// A key of today's compose that asks for what is so anyway.
const fn given(name: &'static str, kind: Kind, reason: &'static str) -> Field {
    super::f(name, kind, Given(reason), "").from(Origin::Here)
}

/// One service.
pub const SERVICE: Kind = Kind::Object(&[
    f("blkio_weight", Kind::Int),
    unused("build", Kind::Any),
    f("cap_add", Kind::Strings),
    f("cap_drop", Kind::Strings),
    f("cgroup", Kind::String), // host or private: the cgroup namespace
    f("cgroup_parent", Kind::String),
    f("command", Kind::Command),
    other("configs", "mount a file with `volumes`"),
    f("container_name", Kind::String),
    today("cpu_period", Kind::Int),
    f("cpu_quota", Kind::Int),
    f("cpu_shares", Kind::Int),
    today("cpus", Kind::String),
    f("cpuset", Kind::String),
    unused("default_gateway", Kind::String),
    today("depends_on", Kind::Any), // names, or a map of them; read by config::service
    other("deploy", "limits are cpus, mem_limit and pids_limit"),
    f("device_cgroup_rules", Kind::Strings),
    f("devices", Kind::Strings),
    f("dns", Kind::Strings),
    f("dns_opts", Kind::Strings),
    f("dns_search", Kind::Strings),
    f("domainname", Kind::String),
    f("entrypoint", Kind::Command),
    super::f(
        "env_file",
        Kind::Strings,
        Boot,
        "Files of NAME=VALUE lines below /var/lib/rancher/conf, root's; `environment` wins. A change of a file: `ros service up NAME`, or reboot.",
    ),
    f("environment", Kind::StringMap),
    f("expose", Kind::Strings),
    other("extends", "write the service out"),
    unused("external_links", Kind::Strings),
    f("extra_hosts", Kind::Strings),
    f("group_add", Kind::Strings),
    f("healthcheck", HEALTHCHECK),
    f("hostname", Kind::String),
    f("image", Kind::String),
    f("init", Kind::Bool),
    f("ipc", Kind::String),
    unused("isolation", Kind::String),
    f("labels", Kind::StringMap),
    unused("links", Kind::Strings),
    f("log_driver", Kind::String),
    f("log_opt", Kind::StringMap),
    today("logging", LOGGING), // driver and options; they win over log_driver and log_opt
    unused("mac_address", Kind::String),
    f("mem_limit", Kind::String),
    f("mem_reservation", Kind::String),
    f("mem_swappiness", Kind::Int),
    f("memswap_limit", Kind::String),
    f("net", Kind::String),
    f("network_mode", Kind::String),
    other("networks", "network_mode names one"),
    f("oom_kill_disable", Kind::Bool),
    f("oom_score_adj", Kind::Int),
    f("pid", Kind::String),
    f("pids_limit", Kind::Int),
    other("platform", "an image is taken for this machine's processor"),
    f("ports", PORTS),
    f("privileged", Kind::Bool),
    other(
        "profiles",
        "rancher.services_include turns files of services on and off",
    ),
    other(
        "pull_policy",
        "an image is pulled when it is not here; `ros service pull NAME` pulls it again",
    ),
    f("read_only", Kind::Bool),
    f("restart", Kind::Word),
    other("runtime", "both engines have one"),
    other("scale", "a service is one container"),
    other("secrets", "mount a file with `volumes`"),
    f("security_opt", Kind::Strings),
    f("shm_size", Kind::String),
    f("stdin_open", Kind::Bool),
    f("stop_grace_period", Kind::String),
    f("stop_signal", Kind::String),
    f("sysctls", Kind::StringMap),
    f("tmpfs", Kind::Strings),
    f("tty", Kind::Bool),
    f("ulimits", Kind::MapOf(&Kind::Any)), // a number, or {soft, hard}; read by config::service
    f("user", Kind::String),
    f("userns_mode", Kind::String),
    f("uts", Kind::String),
    f("volume_driver", Kind::String),
    f("volumes", VOLUMES),
    f("volumes_from", Kind::Strings),
    f("working_dir", Kind::String),
]);

const LOGGING: Kind = Kind::Object(&[
    today("driver", Kind::String),
    today("options", Kind::StringMap),
]);

/// `[[address:]host:]container[/protocol]`, or the same as a map.
const PORTS: Kind = Kind::Either(
    &Kind::Strings,
    &Kind::ListOf(&Kind::Either(&Kind::String, &PORT)),
);

const PORT: Kind = Kind::Object(&[
    given("app_protocol", Kind::String, "it is a note"),
    today("host_ip", Kind::String),
    given(
        "mode",
        Kind::String,
        "a port is published on the machine itself",
    ),
    given("name", Kind::String, "it is a note"),
    today("protocol", Kind::String),
    today("published", Kind::String),
    today("target", Kind::String),
]);

/// `source:target[:options]`, or the same as a map.
const VOLUMES: Kind = Kind::Either(
    &Kind::Strings,
    &Kind::ListOf(&Kind::Either(&Kind::String, &VOLUME)),
);

const VOLUME: Kind = Kind::Object(&[
    today("bind", BIND),
    given(
        "consistency",
        Kind::String,
        "host and container have the same files",
    ),
    today("read_only", Kind::Bool),
    today("source", Kind::String),
    today("target", Kind::String),
    today("tmpfs", TMPFS),
    today("type", Kind::String), // bind, volume or tmpfs
    today("volume", VOLUME_OPTIONS),
]);

const BIND: Kind = Kind::Object(&[
    super::f(
        "create_host_path",
        Kind::Word,
        Only(&["true"], "a directory is made where there is none"),
        "",
    )
    .from(Origin::Here),
    today("propagation", Kind::String),
    other("selinux", "the system has AppArmor"),
]);

const TMPFS: Kind = Kind::Object(&[today("mode", Kind::String), today("size", Kind::String)]);

const VOLUME_OPTIONS: Kind = Kind::Object(&[
    other(
        "labels",
        "`docker volume create --label` gives a volume labels",
    ),
    today("nocopy", Kind::Bool),
    other("subpath", "the whole volume is mounted"),
]);

const HEALTHCHECK: Kind = Kind::Object(&[
    f("disable", Kind::Bool),
    f("interval", Kind::String),
    f("retries", Kind::Int),
    f("start_period", Kind::String),
    f("test", Kind::Strings),
    f("timeout", Kind::String),
]);

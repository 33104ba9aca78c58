//! A service entry: compose v1 as RancherOS's libcompose took it, plus `healthcheck`, `sysctls`, `init` and `pids_limit` of v2.

use super::Effect::{Boot, Never};
use super::{Effect, Field, Kind};

const NOT_HERE: Effect = Never("not supported for system services");

/// A key of compose; compose documents what it means.
const fn f(name: &'static str, kind: Kind) -> Field {
    super::f(name, kind, Boot, "")
}

/// A key of compose that is not applied.
const fn unused(name: &'static str, kind: Kind) -> Field {
    super::f(name, kind, NOT_HERE, "")
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
    f("container_name", Kind::String),
    f("cpu_quota", Kind::Int),
    f("cpu_shares", Kind::Int),
    f("cpuset", Kind::String),
    unused("default_gateway", Kind::String),
    f("device_cgroup_rules", Kind::Strings),
    f("devices", Kind::Strings),
    f("dns", Kind::Strings),
    f("dns_opts", Kind::Strings),
    f("dns_search", Kind::Strings),
    f("domainname", Kind::String),
    f("entrypoint", Kind::Command),
    f("env_file", Kind::Strings),
    f("environment", Kind::StringMap),
    f("expose", Kind::Strings),
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
    unused("mac_address", Kind::String),
    f("mem_limit", Kind::String),
    f("mem_reservation", Kind::String),
    f("mem_swappiness", Kind::Int),
    f("memswap_limit", Kind::String),
    f("net", Kind::String),
    f("network_mode", Kind::String),
    f("oom_kill_disable", Kind::Bool),
    f("oom_score_adj", Kind::Int),
    f("pid", Kind::String),
    f("pids_limit", Kind::Int),
    f("ports", Kind::Strings),
    f("privileged", Kind::Bool),
    f("read_only", Kind::Bool),
    f("restart", Kind::Word),
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
    f("volumes", Kind::Strings),
    f("volumes_from", Kind::Strings),
    f("working_dir", Kind::String),
]);

const HEALTHCHECK: Kind = Kind::Object(&[
    f("disable", Kind::Bool),
    f("interval", Kind::String),
    f("retries", Kind::Int),
    f("start_period", Kind::String),
    f("test", Kind::Strings),
    f("timeout", Kind::String),
]);

//! Settings of a Docker daemon (RancherOS `DockerConfig` and `EngineOpts`). Most become `--name value` of dockerd.

use super::Effect::{Command, Given, Never, Service};
use super::{Effect, Field, Kind, Origin, Rule, f};

const D: Effect = Service("docker");
const PID_1: &str = "System Docker is PID 1 and has no options";
const NO_BOOTSTRAP: &str = "there is no bootstrap Docker: PID 1 does its work";

/// `rancher.docker`: the real Docker Engine.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
pub(super) const USER: Kind = Kind::Object(&[
    f("args", Kind::Strings, Never("RancherOS never read it: use extra_args"), ""),
    f("bip", Kind::String, D, "Address and prefix of docker0.").rule(Rule::Prefix),
    f("bridge", Kind::String, D, "Bridge to use in place of docker0; `none` for no network."),
    f("ca_cert", Kind::String, Command("ros tls generate"), "Certificate authority of `ros tls generate`, PEM."),
    f("ca_key", Kind::String, Command("ros tls generate"), "Its key, PEM."),
    f("config_file", Kind::String, D, "dockerd's file of settings; /etc/docker/daemon.json when absent."),
    f("containerd", Kind::String, D, "Socket of a containerd to use."),
    f("data_root", Kind::String, D, "Directory of images and containers.").from(Origin::BurmillaOs),
    f("debug", Kind::Bool, D, "More output."),
    f("engine", Kind::String, Effect::Only(&["docker"], "this version has one engine, the media's"), "Name of the engine."),
    f("environment", Kind::Strings, D, "`NAME=VALUE` for dockerd."),
    f("exec", Kind::Any, Given("dockerd takes the place of the program that starts it"), ""),
    f("exec_root", Kind::String, D, "Directory of run-time state."),
    f("extra_args", Kind::Strings, D, "Options after the ones made of these keys."),
    f("graph", Kind::String, D, "Directory of images and containers; data_root wins."),
    f("group", Kind::String, D, "Group that may use the socket."),
    f("host", Kind::Strings, D, "Sockets to listen on."),
    f("insecure_registry", Kind::Strings, D, "Registries without TLS, or with a certificate that is not checked."),
    f("live_restore", Kind::Bool, D, "Whether containers outlive dockerd; `false` for swarm mode."),
    f("log_driver", Kind::String, D, "Logging driver of containers."),
    f("log_opts", Kind::StringMap, D, "Its options."),
    f("mtu", Kind::Int, D, "MTU of docker0.").from(Origin::Here).rule(Rule::Range(68, 65_535)),
    f("pid_file", Kind::String, D, "File of the process number."),
    f("registry_mirror", Kind::Strings, D, "Mirrors of Docker Hub: an address, or a list of them."),
    f("restart", Kind::Any, Never("Docker removed the option; containers have restart policies"), ""),
    f("selinux_enabled", Kind::Any, Never("there is no SELinux; AppArmor confines containers"), ""),
    f("server_cert", Kind::String, D, "Server certificate, PEM; `ros tls generate --server` writes it."),
    f("server_key", Kind::String, D, "Its key, PEM."),
    f("storage_context", Kind::String, D, "The service in whose files dockerd runs."),
    f("storage_driver", Kind::String, D, "Storage driver."),
    f("storage_opts", Kind::Strings, D, "Its options.").from(Origin::Here),
    f("tls", Kind::Bool, D, "Whether it listens with TLS, as tls_args say."),
    f("tls_args", Kind::Strings, D, "Options used with TLS."),
    f("userland_proxy", Kind::Bool, D, "Whether published ports have a proxy process."),
    f("userns_enabled", Kind::Bool, D, "Whether containers have user namespaces.").from(Origin::BurmillaOs),
]);

/// `rancher.system_docker`: the engine in PID 1.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
pub(super) const SYSTEM: Kind = Kind::Object(&unused(PID_1));

/// `rancher.bootstrap_docker`.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
pub(super) const BOOTSTRAP: Kind = Kind::Object(&unused(NO_BOOTSTRAP));

/// The keys of a daemon that does not exist here, each with the reason, and those that the engine in PID 1 takes in its place.
const fn unused(reason: &'static str) -> [Field; 34] {
    const NAMES: [&str; 32] = [
        "args",
        "bip",
        "bridge",
        "ca_cert",
        "ca_key",
        "config_file",
        "containerd",
        "data_root",
        "debug",
        "engine",
        "environment",
        "exec",
        "exec_root",
        "extra_args",
        "graph",
        "group",
        "host",
        "live_restore",
        "log_driver",
        "log_opts",
        "mtu",
        "pid_file",
        "restart",
        "selinux_enabled",
        "server_cert",
        "server_key",
        "storage_context",
        "storage_driver",
        "storage_opts",
        "tls",
        "tls_args",
        "userland_proxy",
    ];
    let mut fields = [f("", Kind::Any, Never(reason), ""); 34];
    let mut index = 0;
    while index < NAMES.len() {
        fields[index].name = NAMES[index];
        index += 1;
    }
    fields[32] = f(
        "insecure_registry",
        Kind::Strings,
        Effect::Boot,
        "Registries that System Docker reaches without TLS, or with a certificate that is not checked.",
    );
    fields[33] = f(
        "registry_mirror",
        Kind::Strings,
        Effect::Boot,
        "Mirrors of Docker Hub for System Docker; rancher.registry_mirrors has those of any registry.",
    );
    fields
}

//! The `rancher` key: the system's own settings (RancherOS `config/types.go`, `RancherConfig`).

use super::network::NETWORK;
use super::service::SERVICE;
use super::{Kind, f};

/// `rancher`.
pub const RANCHER: Kind = Kind::Object(&[
    f("autoformat", Kind::Any), // RancherOS has it in the schema and reads it nowhere
    f("autologin", Kind::Strings), // kernel command line, repeatable
    f("boot", Kind::Any),       // which try of which choice this boot is; from the boot loader
    f("bootstrap", Kind::MapOf(&SERVICE)),
    f("bootstrap_docker", DOCKER),
    f(
        "cloud_init",
        Kind::Object(&[f("datasources", Kind::Strings)]),
    ),
    f("cloud_init_services", Kind::MapOf(&SERVICE)),
    f("console", Kind::String),
    f("debug", Kind::Bool),
    f("defaults", DEFAULTS),
    f("disable", Kind::Strings),
    f("disk", Kind::Any), // the disk that was booted; from the boot loader
    f("docker", DOCKER),
    f("environment", Kind::StringMap),
    f("force_console_rebuild", Kind::Bool),
    f("http_load_retries", Kind::Int),
    f("hypervisor_service", Kind::Bool),
    f("install", INSTALL), // kernel command line: an installation without a person
    f("log", Kind::Bool),
    f("modules", Kind::Strings),
    f("network", NETWORK),
    f("no_sharedroot", Kind::Bool),
    f("password", Kind::String), // kernel command line
    f("preload_wait", Kind::Bool),
    f("recovery", Kind::Bool),
    f("registry_auths", Kind::MapOf(&REGISTRY_AUTH)),
    f(
        "repositories",
        Kind::MapOf(&Kind::Object(&[f("url", Kind::String)])),
    ),
    f("resize_device", Kind::String),
    f("restart_services", Kind::Strings),
    f("rm_usr", Kind::Bool),
    f("services", Kind::MapOf(&SERVICE)),
    f("services_include", Kind::MapOf(&Kind::Bool)),
    f("shutdown_timeout", Kind::Int),
    f("slot", Kind::Any), // the slot that was booted; from the boot loader
    f("ssh", SSH),
    f("state", STATE),
    f("sysctl", Kind::StringMap),
    f("system_docker", DOCKER),
    f("upgrade", UPGRADE),
]);

const INSTALL: Kind = Kind::Object(&[
    f("append", Kind::Any),
    f("cloud_config", Kind::String),
    f("device", Kind::String),
    f("force", Kind::Bool),
    f("image", Kind::String),
    f("keep_state", Kind::Bool),
    f("no_reboot", Kind::Bool),
]);

const SSH: Kind = Kind::Object(&[
    f("daemon", Kind::Bool),
    f("keys", Kind::StringMap),
    f("listen_address", Kind::String),
    f("port", Kind::Int),
]);

const STATE: Kind = Kind::Object(&[
    f("autoformat", Kind::Strings),
    f("boot_dev", Kind::String),
    f("boot_fstype", Kind::String),
    f("cryptsetup", Kind::Bool),
    f("dev", Kind::String),
    f("directory", Kind::String),
    f("fstype", Kind::String),
    f("lvm_scan", Kind::Bool),
    f("mdadm_scan", Kind::Bool),
    f("oem_dev", Kind::String),
    f("oem_fstype", Kind::String),
    f("required", Kind::Bool),
    f("rngd", Kind::Bool),
    f("script", Kind::String),
    f("wait", Kind::Bool),
]);

const UPGRADE: Kind = Kind::Object(&[
    f("image", Kind::String),
    f("policy", Kind::String),
    f("rollback", Kind::String),
    f("url", Kind::String),
]);

const REGISTRY_AUTH: Kind = Kind::Object(&[
    f("auth", Kind::String),
    f("email", Kind::String),
    f("identitytoken", Kind::String),
    f("password", Kind::String),
    f("registrytoken", Kind::String),
    f("serveraddress", Kind::String),
    f("username", Kind::String),
]);

const DEFAULTS: Kind = Kind::Object(&[
    f("docker", DOCKER),
    f("hostname", Kind::String),
    f("network", NETWORK),
    f("system_docker_logs", Kind::String),
]);

/// Settings of a Docker daemon; most become `--name value` on its command line.
const DOCKER: Kind = Kind::Object(&[
    f("args", Kind::Strings),
    f("bip", Kind::String),
    f("bridge", Kind::String),
    f("ca_cert", Kind::String),
    f("ca_key", Kind::String),
    f("config_file", Kind::String),
    f("containerd", Kind::String),
    f("data_root", Kind::String), // BurmillaOS's name for graph
    f("debug", Kind::Bool),
    f("engine", Kind::String),
    f("environment", Kind::Strings),
    f("exec", Kind::Bool),
    f("exec_root", Kind::String),
    f("extra_args", Kind::Strings),
    f("graph", Kind::String),
    f("group", Kind::String),
    f("host", Kind::Strings),
    f("insecure_registry", Kind::Strings),
    f("live_restore", Kind::Bool),
    f("log_driver", Kind::String),
    f("log_opts", Kind::StringMap),
    f("mtu", Kind::Int),
    f("pid_file", Kind::String),
    f("registry_mirror", Kind::String),
    f("restart", Kind::Bool),
    f("selinux_enabled", Kind::Bool),
    f("server_cert", Kind::String),
    f("server_key", Kind::String),
    f("storage_context", Kind::String),
    f("storage_driver", Kind::String),
    f("storage_opts", Kind::Strings), // this system
    f("tls", Kind::Bool),
    f("tls_args", Kind::Strings),
    f("userland_proxy", Kind::Bool),
    f("userns_enabled", Kind::Bool), // BurmillaOS
]);

//! The `rancher` key: the system's own settings (RancherOS `config/types.go`, `RancherConfig`).

use super::Effect::{Boot, Command, CommandLine, EarlyBoot, Given, Inside, Never, Only, Service};
use super::network::NETWORK;
use super::service::SERVICE;
use super::{CONSOLE, Effect, Kind, Origin, Rule, docker, f};

/// What an installation without a person reads.
const I: Effect =
    CommandLine("it is for the boot of the medium, which installs before it has user data");

/// What is needed to find the disk that the machine's files are on.
const EARLY: Effect =
    CommandLine("it is read before the disk with the machine's files, and before user data");

const DEVELOPMENT: &str = "it was a switch for RancherOS's developers";

/// `rancher`.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
pub const RANCHER: Kind = Kind::Object(&[
    f("autoformat", Kind::Any, Never("RancherOS never read it: use rancher.state.autoformat, on the kernel command line"), ""),
    f("autologin", Kind::Strings, CONSOLE, "Terminals that log in by themselves: `tty1`, `ttyS0`, `user:tty`. Usually on the kernel command line, repeatable."),
    f("boot", Kind::Any, Given("the boot loader says it: which try of which choice this boot is"), "").from(Origin::Here),
    f("bootstrap", Kind::Any, Never("there is no bootstrap phase: PID 1 does its work"), ""),
    f("bootstrap_docker", docker::BOOTSTRAP, Inside, "The Docker of RancherOS's early boot."),
    f(
        "cloud_init",
        Kind::Object(&[f(
            "datasources",
            Kind::Strings,
            EarlyBoot,
            "Where user data comes from: `*` for what a label, the firmware or the kernel command line names, or names (docs/datasources.md).",
        )]),
        Inside,
        "User data.",
    ),
    f("cloud_init_services", Kind::Any, Never("cloud-init is a service as any other: rancher.services"), ""),
    f("console", Kind::String, Only(&["default"], "this version has one console, the media's"), "Name of the console."),
    f("debug", Kind::Bool, CONSOLE, "More output: the kernel's messages stay on the console."),
    f("defaults", DEFAULTS, Inside, "Values used when nothing else says."),
    f("disable", Kind::Strings, CONSOLE, "What is switched off: `password`, `autologin`."),
    f("disk", Kind::Any, Given("the boot loader says it: the disk that was booted"), "").from(Origin::Here),
    f("docker", docker::USER, Inside, "User Docker."),
    f("environment", Kind::StringMap, Boot, "Variables: for `${NAME}` in services, for names without a value in their `environment`, and for `ros env`."),
    f("force_console_rebuild", Kind::Bool, Given("the console starts from its image at each boot"), ""),
    f("http_load_retries", Kind::Int, Never("a service is fetched once and kept: ros service enable fetches it again"), ""),
    f("hypervisor_service", Kind::Bool, Never("this version has no VM tools"), "Whether VM tools start by hypervisor."),
    f("install", INSTALL, Inside, "Kernel command line: an installation without a person.").from(Origin::Here),
    f("log", Kind::Bool, Given("logs are always written: /var/log, dmesg, system-docker logs"), "Logs of the early boot."),
    f("modules", Kind::Strings, Boot, "Kernel modules to load, each `name [parameter=value ...]`."),
    f("network", NETWORK, Inside, "Links, addresses, DNS, proxies."),
    f("no_sharedroot", Kind::Any, Never(DEVELOPMENT), ""),
    f("password", Kind::String, CONSOLE, "Password of user rancher: plain, or a hash that begins with `$`."),
    f("preload_wait", Kind::Bool, Given("an image counts as loaded only when Docker has said so"), ""),
    f("recovery", Kind::Bool, EARLY, "Start a rescue shell in place of the system."),
    f("registry_auths", Kind::MapOf(&REGISTRY_AUTH), CONSOLE, "Accounts at registries, for root's and rancher's docker and system-docker. One that leaves the configuration leaves their config.json at the next start; what `docker login` wrote stays."),
    f("registry_mirrors", Kind::MapOf(&Kind::Strings), Service("docker"), "Mirrors by registry, as URLs, asked first and in order: `ghcr.io: [https://mirror.example]`. System Docker takes those of every registry, User Docker those of docker.io.").from(Origin::Here),
    f("repositories", Kind::MapOf(&REPOSITORY), Boot, "Catalogues of services, by name."),
    f("resize_device", Kind::String, CONSOLE, "Disk whose first partition grows once to its end; the file system follows."),
    f("restart_services", Kind::Strings, Never("services start after cloud-init and find its files"), ""),
    f("rm_usr", Kind::Any, Never(DEVELOPMENT), ""),
    f("services", Kind::MapOf(&SERVICE), Boot, "System services, in compose's form."),
    f("services_include", Kind::MapOf(&Kind::Bool), Boot, "Services by path below /var/lib/rancher/conf, by name in a catalogue (rancher.repositories) or by address, and whether they are on."),
    f("shutdown_timeout", Kind::Int, Boot, "Seconds that a shutdown may take, at least 5.").rule(Rule::Range(0, 86_400)),
    f("slot", Kind::Any, Given("the boot loader says it: the slot that was booted"), "").from(Origin::Here),
    f("ssh", SSH, Inside, "The ssh server."),
    f("state", STATE, Inside, "The state partition."),
    f("sysctl", Kind::StringMap, Boot, "Kernel settings by their names in /proc/sys, with dots or slashes."),
    f("system_docker", docker::SYSTEM, Inside, "System Docker."),
    f("upgrade", UPGRADE, Inside, "Upgrades of the system."),
    f("watchdog", Kind::Int, Boot, "Seconds without a sign of life from PID 1 after which the watchdog resets the machine, at least 45; 0 turns it off.").from(Origin::Here),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const REPOSITORY: Kind = Kind::Object(&[
    f("url", Kind::String, Boot, "Its address, or a folder of this machine: a service NAME is the file N/NAME.yml, N its first letter, or NAME.yml."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const INSTALL: Kind = Kind::Object(&[
    f("append", Kind::Any, I, "As --append of ros install: arguments for the kernel.").from(Origin::Here),
    f("cloud_config", Kind::String, I, "As --cloud-config.").from(Origin::Here),
    f("device", Kind::String, I, "The disk.").from(Origin::Here),
    f("force", Kind::Bool, I, "As --force.").from(Origin::Here),
    f("image", Kind::String, I, "As --image.").from(Origin::Here),
    f("keep_state", Kind::Bool, I, "As --keep-state.").from(Origin::Here),
    f("no_reboot", Kind::Bool, I, "As --no-reboot.").from(Origin::Here),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const SSH: Kind = Kind::Object(&[
    f("daemon", Kind::Bool, CONSOLE, "Whether sshd runs."),
    f("keys", Kind::StringMap, CONSOLE, "Host keys by type: `ed25519`, `ecdsa`, `rsa`, and the same with `-pub`."),
    f("listen_address", Kind::String, CONSOLE, "Address that sshd listens on.").rule(Rule::Listen),
    f("port", Kind::Int, CONSOLE, "Port that sshd listens on.").rule(Rule::Range(1, 65_535)),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const STATE: Kind = Kind::Object(&[
    f("autoformat", Kind::Strings, EARLY, "Disks that are formatted when they are blank; the first one that is."),
    f("boot_dev", Kind::String, Never("ros install finds the boot partition by its label"), ""),
    f("boot_fstype", Kind::String, Never("ros install finds the boot partition by its label"), ""),
    f("cryptsetup", Kind::Bool, EARLY, "Whether LUKS devices are opened: `true` all, `false` none; when absent the one that `dev` names."),
    f("dev", Kind::String, EARLY, "`LABEL=`, `UUID=` or a device; `none` keeps everything in RAM."),
    f("directory", Kind::String, EARLY, "Directory of the partition that is used in place of all of it; it is made when it is not there."),
    f("fstype", Kind::String, EARLY, "Its file system; found out when absent or `auto`."),
    f("growpart", Kind::Bool, EARLY, "Whether a state partition that is the last of its disk takes the room of a disk that became larger; yes when absent.").from(Origin::Here),
    f("key_file", Kind::String, EARLY, "Key of a LUKS device, as `LABEL=KEYS:/state.key`: a file on another disk; without it the console asks.").from(Origin::Here),
    f("lvm_scan", Kind::Bool, EARLY, "Whether LVM is activated: `true` always, `false` never; when absent if the state is not found otherwise."),
    f("mdadm_scan", Kind::Bool, EARLY, "Whether md arrays are assembled: as `lvm_scan`."),
    f("oem_dev", Kind::String, EarlyBoot, "File system with oem-config.yml of the machine's vendor; LABEL=RANCHER_OEM when absent."),
    f("oem_fstype", Kind::String, Given("it is found out"), ""),
    f("required", Kind::Bool, EARLY, "Whether the boot stops without it."),
    f("rngd", Kind::Bool, Given("the kernel has its own sources of randomness"), ""),
    f("script", Kind::String, Never("nothing of the machine's owner runs before the state partition is mounted"), ""),
    f("wait", Kind::Bool, EARLY, "Whether to wait 30 s for the device."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const UPGRADE: Kind = Kind::Object(&[
    f("channel", Kind::String, CONSOLE, "Channel of releases.yml whose version is taken; stable when absent.").from(Origin::Here),
    f("checks", Kind::Strings, Command("ros os"), "Shell commands that must succeed in the console before a new version is kept.").from(Origin::Here),
    f("image", Kind::String, Command("ros os"), "Image of the system, without a tag: its registry is asked for versions."),
    f("insecure", Kind::Bool, Command("ros os"), "Whether versions are taken from images that nobody has signed.").from(Origin::Here),
    f("jitter", Kind::Int, CONSOLE, "Minutes within which machines ask for versions at different times; 120 when absent.").from(Origin::Here),
    f("keys", Kind::Strings, Command("ros os"), "Public keys of minisign that versions may be signed with, in addition to the system's own.").from(Origin::Here),
    f("not_now", Kind::String, CONSOLE, "Shell command that succeeds while the machine must not reboot by itself.").from(Origin::Here),
    f("policy", Kind::String, CONSOLE, "`none`; `download`: new versions are put on the disk; `auto`: they are tried as well, at the next reboot or in the window."),
    f("rollback", Kind::String, Never("RancherOS never read it"), ""),
    f("timeout", Kind::Int, Boot, "Seconds within which a new version has to pass its checks; 600 when absent.").from(Origin::Here).rule(Rule::Range(30, 86_400)),
    f("url", Kind::String, CONSOLE, "Address of a signed releases.yml; without it versions are the tags of rancher.upgrade.image."),
    f("window", Kind::String, CONSOLE, "When the machine may reboot by itself, such as `Sat,Sun 02:00-04:30`.").from(Origin::Here),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const REGISTRY_AUTH: Kind = Kind::Object(&[
    f("auth", Kind::String, CONSOLE, "`user:password` in base64."),
    f("email", Kind::String, Given("registries do not ask for it any more"), ""),
    f("identitytoken", Kind::String, CONSOLE, "Token in place of a password."),
    f("password", Kind::String, CONSOLE, "Password."),
    f("registrytoken", Kind::String, CONSOLE, "Bearer token."),
    f("serveraddress", Kind::String, Given("the registry is the entry's key"), ""),
    f("username", Kind::String, CONSOLE, "User."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const DEFAULTS: Kind = Kind::Object(&[
    f("docker", Kind::Any, Never("set rancher.docker"), ""),
    f("hostname", Kind::String, Boot, "Name of a machine that gets none, from a DHCP server either."),
    f("network", NETWORK, Service("network"), "Network settings under everything else."),
    f("system_docker_logs", Kind::String, Never("System Docker logs to the kernel's log: dmesg, /var/log/syslog"), ""),
]);

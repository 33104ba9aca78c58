//! The top of the document: what cloud-init and RancherOS share, and every other key of cloud-init with the reason why it
//! is not applied.

use super::Effect::{Always, Boot, Given, Inside, Never, NotDone, Only};
use super::rancher::RANCHER;
use super::{CONSOLE, Field, Kind, c, f};

const PACKAGES: &str =
    "the console has no package manager and starts from its image at each boot: run containers";
const MANAGER: &str = "this system is not managed by that tool";
const UBUNTU: &str = "it belongs to Ubuntu";
const INSIDE: &str = "it steers cloud-init itself, which this system does not have";

/// Every top-level key.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
pub(super) const TOP: &[Field] = &[
    f("bootcmd", Kind::Commands, CONSOLE, "Commands run at every boot in the console, before everything else that the console applies."),
    c("ca_certs", CA_CERTS, CONSOLE, "Certificate authorities that the console, User Docker and System Docker's pulls trust. `ca-certs` is the same key."),
    c("chpasswd", CHPASSWD, CONSOLE, "Passwords of users."),
    c("disk_setup", DISK_SETUP, CONSOLE, "Partitions of disks, by their paths, once for each instance. A disk with something else on it is left alone and named, unless `overwrite` is set; one that is in use always is."),
    c("final_message", Kind::String, CONSOLE, "Printed on the machine's console when all of this was applied."),
    c("fqdn", Kind::String, Boot, "Full name of the machine, used when `hostname` is not set."),
    c("fs_setup", Kind::ListOf(&FS_SETUP), CONSOLE, "File systems on disks and partitions, before `mounts`, once for each instance. What is as asked stays; what is something else is left alone and named, unless `overwrite` or `replace_fs` says otherwise."),
    c("groups", Kind::Any, CONSOLE, "Groups to make: names, or maps of a name and its members."),
    c("growpart", Kind::Any, Always("the state partition grows with its disk at each boot, unless rancher.state.growpart=false is on the kernel's command line"), "Growing of partitions."),
    f("hostname", Kind::String, Boot, "Name of the machine; when absent the datasource's, or the one that a DHCP server gives."),
    c("locale", Kind::String, CONSOLE, "`LANG` of logins. Consoles with only C.UTF-8 show it as that."),
    c("manage_etc_hosts", Kind::Word, Always("/etc/hosts names the machine at each boot"), "Whether /etc/hosts names the machine."),
    c("manage_resolv_conf", Kind::Bool, Always("the service network writes /etc/resolv.conf; its name servers are rancher.network.dns"), "Whether /etc/resolv.conf is written."),
    f("mounts", Kind::ListOf(&Kind::Strings), CONSOLE, "`[device, mount point, file system, options]` entries; a file system `swap` is swapped on. Fewer words take defaults. NFS finds out the server's version; CIFS takes `credentials=FILE`."),
    c("ntp", NTP, CONSOLE, "Time servers."),
    c("package_reboot_if_required", Kind::Bool, NotDone("nothing is installed"), "Reboot after an upgrade of packages."),
    c("package_update", Kind::Bool, NotDone("the system is upgraded as a whole: ros os upgrade"), "Update of the package lists."),
    c("package_upgrade", Kind::Bool, NotDone("the system is upgraded as a whole: ros os upgrade"), "Upgrade of packages."),
    c("packages", Kind::Any, Never(PACKAGES), "Packages to install."),
    c("password", Kind::String, CONSOLE, "Password of the default user and of rancher: plain, or a hash that begins with `$`."),
    c("phone_home", PHONE_HOME, CONSOLE, "A message to a server when all else was applied, once for each instance. `final_message` and `power_state` wait for it."),
    c("power_state", POWER_STATE, CONSOLE, "What the machine does when all of this was applied."),
    c("prefer_fqdn_over_hostname", Kind::Bool, Boot, "Whether `fqdn` wins over `hostname`."),
    f("rancher", RANCHER, Inside, "The system's own settings."),
    c("resize_rootfs", Kind::Word, Always("the state file system grows with its partition at each boot"), "Growing of the root file system."),
    c("resolv_conf", Kind::Any, Never("set rancher.network.dns"), "Settings of the resolver."),
    f("runcmd", Kind::Commands, CONSOLE, "Commands run at every boot in the console, in order, after files and mounts: strings by `sh -c`, lists as they are."),
    f("ssh_authorized_keys", Kind::Strings, CONSOLE, "Public keys for the users rancher and docker and the default user. Those of all files add up."),
    c("ssh_deletekeys", Kind::Bool, Given("host keys are made at the first boot and kept"), "Whether host keys of the image are deleted."),
    c("ssh_keys", Kind::StringMap, Never("set rancher.ssh.keys"), "Host keys."),
    c("ssh_pwauth", Kind::Word, CONSOLE, "Whether sshd takes passwords."),
    c("swap", SWAP, CONSOLE, "A file to swap to, made when it does not exist."),
    c("timezone", Kind::String, CONSOLE, "Time zone of the console, as `Europe/Berlin`, when the console's image knows it."),
    c("user", USER, CONSOLE, "The default user: its name, or a map. It has the keys of `ssh_authorized_keys`, `password`, sudo and both Dockers; rancher keeps all that, too. Without a name: changes to rancher."),
    c("users", Kind::ListOf(&USER), CONSOLE, "Users of the console; `default` is rancher, or the one that `user` names."),
    f("write_files", Kind::ListOf(&WRITE_FILE), CONSOLE, "Files to write."),
    // From here on: known by name, so that a message says why.
    c("allow_public_ssh_keys", Kind::Any, Always("keys of the datasource are always taken"), ""),
    c("ansible", Kind::Any, Never(MANAGER), ""),
    c("apk_repos", Kind::Any, Never(PACKAGES), ""),
    c("apt", Kind::Any, Never(PACKAGES), ""),
    c("apt_pipelining", Kind::Any, Never(PACKAGES), ""),
    c("apt_reboot_if_required", Kind::Any, Never(PACKAGES), ""),
    c("apt_update", Kind::Any, Never(PACKAGES), ""),
    c("apt_upgrade", Kind::Any, Never(PACKAGES), ""),
    c("authkey_hash", Kind::Any, Never("fingerprints of keys are not printed"), ""),
    c("autoinstall", Kind::Any, Never(UBUNTU), ""),
    c("byobu_by_default", Kind::Any, Never(UBUNTU), ""),
    c("chef", Kind::Any, Never(MANAGER), ""),
    c("cloud_config_modules", Kind::Any, Never(INSIDE), ""),
    c("cloud_final_modules", Kind::Any, Never(INSIDE), ""),
    c("cloud_init_modules", Kind::Any, Never(INSIDE), ""),
    c("create_hostname_file", Kind::Any, Always("/etc/hostname is always written"), ""),
    c("datasource", Kind::Any, Never("set rancher.cloud_init.datasources"), ""),
    c("datasource_list", Kind::Any, Never("set rancher.cloud_init.datasources"), ""),
    c("device_aliases", Kind::Any, Never("name the device itself"), ""),
    c("disable_ec2_metadata", Kind::Any, Never("block the address in runcmd with iptables"), ""),
    c("disable_root", Kind::Bool, Always("root cannot log in by ssh: log in as rancher and use sudo"), ""),
    c("disable_root_opts", Kind::Any, Given("root cannot log in by ssh"), ""),
    c("drivers", Kind::Any, Never("set rancher.modules"), ""),
    c("fan", Kind::Any, Never(UBUNTU), ""),
    c("grub_dpkg", Kind::Any, Never("the boot loader is not a package here"), ""),
    c("keyboard", Kind::Any, Never("the console has the US keyboard; load another with loadkmap in runcmd"), ""),
    c("landscape", Kind::Any, Never(MANAGER), ""),
    c("launch_index", Kind::Any, Never(INSIDE), ""),
    c("locale_configfile", Kind::Any, Never("`locale` goes into /etc/profile.d"), ""),
    c("lxd", Kind::Any, Never("this system runs Docker"), ""),
    c("mcollective", Kind::Any, Never(MANAGER), ""),
    c("merge_how", Kind::Any, Never("maps merge, lists replace; ssh_authorized_keys add up"), ""),
    c("merge_type", Kind::Any, Never("maps merge, lists replace; ssh_authorized_keys add up"), ""),
    c("migrate", Kind::Any, Never(INSIDE), ""),
    c("mount_default_fields", Kind::Any, Never("give each entry of `mounts` its words"), ""),
    c("no_ssh_fingerprints", Kind::Any, Always("fingerprints of keys are not printed"), ""),
    c("output", Kind::Any, Never("output of commands is in `system-docker logs console`"), ""),
    c("preserve_hostname", Kind::Any, NotDone("the name is set at each boot: remove `hostname` from the configuration"), ""),
    c("puppet", Kind::Any, Never(MANAGER), ""),
    c("random_seed", Kind::Any, Never("the kernel has its own sources of randomness"), ""),
    c("reporting", Kind::Any, Never(INSIDE), ""),
    c("rh_subscription", Kind::Any, Never("it belongs to Red Hat"), ""),
    c("rsyslog", Kind::Any, Never("write a file for the service syslog: write_files with `container: syslog`"), ""),
    c("salt_minion", Kind::Any, Never(MANAGER), ""),
    c("snap", Kind::Any, Never(UBUNTU), ""),
    c("spacewalk", Kind::Any, Never(MANAGER), ""),
    c("ssh", Kind::Any, Never("set rancher.ssh"), ""),
    c("ssh_fp_console_blacklist", Kind::Any, Given("keys are not printed"), ""),
    c("ssh_genkeytypes", Kind::Any, Never("ed25519 and ecdsa keys are made"), ""),
    c("ssh_import_id", Kind::Any, Never("keys are not fetched from the internet: use ssh_authorized_keys"), ""),
    c("ssh_key_console_blacklist", Kind::Any, Given("keys are not printed"), ""),
    c("ssh_publish_hostkeys", Kind::Any, Never("host keys stay on the machine"), ""),
    c("ssh_quiet_keygen", Kind::Any, Always("keys are made quietly"), ""),
    c("system_info", Kind::Any, Never(INSIDE), ""),
    c("ubuntu_advantage", Kind::Any, Never(UBUNTU), ""),
    c("ubuntu_pro", Kind::Any, Never(UBUNTU), ""),
    c("updates", Kind::Any, Never(INSIDE), ""),
    c("vendor_data", Kind::Any, Never(INSIDE), ""),
    c("version", Kind::Any, Never("it belongs to network-config, not to user data"), ""),
    c("wireguard", Kind::Any, Never("use rancher.network.interfaces.NAME.wireguard"), ""),
    c("yum_repo_dir", Kind::Any, Never(PACKAGES), ""),
    c("yum_repos", Kind::Any, Never(PACKAGES), ""),
    c("zypper", Kind::Any, Never(PACKAGES), ""),
];

/// One entry of `write_files`.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const WRITE_FILE: Kind = Kind::Object(&[
    c("append", Kind::Bool, CONSOLE, "Whether the text goes to the end of what the file has."),
    f("container", Kind::String, CONSOLE, "The system service in whose files it is written; the console when absent."),
    f("content", Kind::String, CONSOLE, "The text, encoded as `encoding` says."),
    c("defer", Kind::Bool, CONSOLE, "Whether it is written after users are made; files always are."),
    f("encoding", Kind::String, CONSOLE, "`b64`, `base64`, `gz`, `gzip`, `gz+b64`, `gz+base64`, `gzip+b64`, `gzip+base64`; plain when absent."),
    f("owner", Kind::String, CONSOLE, "`user`, `user:group` or numbers; root when absent."),
    f("path", Kind::String, CONSOLE, "Absolute path; directories on the way are made."),
    f("permissions", Kind::String, CONSOLE, "Octal mode; 0644 when absent."),
    c("source", Kind::Any, Never("give the content itself, or fetch it with curl in runcmd"), "Address that the content is fetched from."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const CA_CERTS: Kind = Kind::Object(&[
    c("remove_defaults", Kind::Bool, CONSOLE, "Whether only the certificates named here are trusted."),
    c("trusted", Kind::Strings, CONSOLE, "Certificates, PEM."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const CHPASSWD: Kind = Kind::Object(&[
    c("expire", Kind::Bool, CONSOLE, "Whether each of these passwords must be changed at the first login; only when it says true, since the console starts from its image at each boot."),
    c("list", Kind::Strings, CONSOLE, "`user:password` lines; a password that begins with `$` is a hash."),
    c(
        "users",
        Kind::ListOf(&Kind::Object(&[
            c("name", Kind::String, CONSOLE, "The user."),
            c("password", Kind::String, CONSOLE, "Its password, or the hash of it."),
            c("type", Kind::String, CONSOLE, "`text`, `hash`, or `RANDOM`, which is refused."),
        ])),
        CONSOLE,
        "The same, one map a user.",
    ),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const NTP: Kind = Kind::Object(&[
    c("allow", Kind::Any, Never("the machine is not a time server"), ""),
    c("config", Kind::Any, Never("write chrony's own file to /var/lib/rancher/conf/chrony/*.conf"), ""),
    c("enabled", Kind::Bool, Boot, "Whether the service ntp sets the time; `false` leaves it stopped."),
    c("ntp_client", Kind::Any, Only(&["auto", "chrony"], "the service ntp is chrony"), ""),
    c("peers", Kind::Any, Never("name servers or pools"), ""),
    c("pools", Kind::Strings, CONSOLE, "Pools of time servers."),
    c("servers", Kind::Strings, CONSOLE, "Time servers."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const POWER_STATE: Kind = Kind::Object(&[
    c("condition", Kind::Any, CONSOLE, "`true`, `false`, or a command whose success says whether to go on."),
    c("delay", Kind::String, CONSOLE, "`now` or `+MINUTES`."),
    c("message", Kind::String, CONSOLE, "Printed before."),
    c("mode", Kind::String, CONSOLE, "`poweroff`, `reboot` or `halt`."),
    c("timeout", Kind::Int, Given("it follows when everything was applied"), "Seconds that cloud-init may take to end."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const DISK_SETUP: Kind = Kind::MapOf(&Kind::Object(&[
    c("layout", Kind::Any, CONSOLE, "`true`: one partition; a list: the part of each in percent, or `[percent, type]`, with types as 82 and 83; `false`: none."),
    c("overwrite", Kind::Bool, CONSOLE, "Whether a disk with something else on it is partitioned all the same: what is on it is lost."),
    c("table_type", Kind::String, CONSOLE, "`mbr`, with at most four partitions and the default, or `gpt`."),
]));

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const FS_SETUP: Kind = Kind::Object(&[
    c("cmd", Kind::Any, Never("nothing is formatted: write the command in runcmd"), "A command in place of mkfs."),
    c("device", Kind::String, CONSOLE, "Path of a disk or a partition."),
    c("extra_opts", Kind::Strings, CONSOLE, "More options of mkfs."),
    c("filesystem", Kind::String, CONSOLE, "`ext2`, `ext3`, `ext4`, `swap`, and with a console that has their mkfs `btrfs`, `vfat`, `xfs`."),
    c("label", Kind::String, CONSOLE, "Its label."),
    c("overwrite", Kind::Bool, CONSOLE, "Whether something else there is formatted all the same: what is on it is lost."),
    c("partition", Kind::String, CONSOLE, "Number of a partition of the device; `none`: the device itself; `auto`: the one that is as asked, else one that `replace_fs` names, else one that is blank, else the blank device; `any`: the same, whatever its label is."),
    c("replace_fs", Kind::String, CONSOLE, "With `auto` and `any`: a file system of this kind is formatted, too."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const PHONE_HOME: Kind = Kind::Object(&[
    c("post", Kind::Strings, CONSOLE, "What is sent: `all`, or some of `pub_key_rsa`, `pub_key_ecdsa`, `pub_key_ed25519`, `instance_id`, `hostname`, `fqdn`."),
    c("tries", Kind::Int, CONSOLE, "How often it is tried; 10 when absent."),
    c("url", Kind::String, CONSOLE, "The address; `$INSTANCE_ID` in it is filled in."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const SWAP: Kind = Kind::Object(&[
    c("filename", Kind::String, CONSOLE, "The file."),
    c("maxsize", Kind::String, CONSOLE, "Largest size when `size` is `auto`."),
    c("size", Kind::String, CONSOLE, "Its size, as `512M`, or `auto`: as large as the RAM, at most 2G."),
]);

/// A user; text alone is its name.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const USER: Kind = Kind::Either(
    &Kind::String,
    &Kind::Object(&[
        c("expiredate", Kind::String, CONSOLE, "Day on which the account ends, as 2032-09-01."),
        c("gecos", Kind::String, CONSOLE, "Its long name."),
        c("groups", Kind::Any, CONSOLE, "Groups it is a member of: a list, or names with commas between; made when missing."),
        c("hashed_passwd", Kind::String, CONSOLE, "Hash of its password, set also when the user exists."),
        c("homedir", Kind::String, CONSOLE, "Home directory; /home/NAME when absent."),
        c("inactive", Kind::Any, Never("accounts do not become inactive"), ""),
        c("lock_passwd", Kind::Bool, CONSOLE, "Whether it has no password to log in with; true when absent."),
        c("name", Kind::String, CONSOLE, "Its name."),
        c("no_create_home", Kind::Bool, CONSOLE, "Whether it gets no home directory."),
        c("no_log_init", Kind::Any, Given("there is no such log"), ""),
        c("no_user_group", Kind::Bool, CONSOLE, "Whether it gets no group that has its name."),
        c("passwd", Kind::String, CONSOLE, "Hash of its password."),
        c("plain_text_passwd", Kind::String, CONSOLE, "Its password."),
        c("primary_group", Kind::String, CONSOLE, "Its first group; when absent, a group that has its name."),
        c("selinux_user", Kind::Any, Never("there is no SELinux"), ""),
        c("shell", Kind::String, CONSOLE, "Login shell; bash, or sh, when absent."),
        c("snapuser", Kind::Any, Never(UBUNTU), ""),
        c("ssh_authorized_keys", Kind::Strings, CONSOLE, "Public keys that may log in as this user."),
        c("ssh_import_id", Kind::Any, Never("keys are not fetched from the internet: use ssh_authorized_keys"), ""),
        c("ssh_redirect_user", Kind::Any, Never("name the keys at the user that may log in"), ""),
        c("sudo", Kind::Any, CONSOLE, "Rules of sudo without the user's name, as `ALL=(ALL) NOPASSWD:ALL`; `false` for none."),
        c("system", Kind::Bool, CONSOLE, "Whether it is an account of the system: a number below 1000 and no home."),
        c("uid", Kind::String, CONSOLE, "Its number."),
    ]),
);

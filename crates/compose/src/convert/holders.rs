//! RancherOS's holders of volumes: services that never ran, whose volumes others had by `volumes_from`.
//!
//! Here nobody needs them: what they held is a table. Paths that this system does not have are named, since an engine would
//! make an empty directory in their place.

/// What a holder held.
#[derive(Debug)]
pub(super) struct Holder {
    name: &'static str,
    /// `source:target[:options]`, of what this system has.
    pub(super) binds: &'static [&'static str],
    /// What it does not have.
    pub(super) missing: &'static [&'static str],
}

/// The one with the volumes of all the others.
const ALL: &str = "all-volumes";

const HOLDERS: &[Holder] = &[
    Holder {
        name: "command-volumes",
        binds: &[],
        // They are files of the console's image.
        missing: &[
            "/usr/bin/ros",
            "/usr/bin/system-docker",
            "/usr/bin/system-docker-runc",
        ],
    },
    Holder {
        name: "container-data-volumes",
        binds: &["/var/lib/docker:/var/lib/docker"],
        missing: &["/var/lib/m-user-docker"],
    },
    Holder {
        name: "media-volumes",
        binds: &["/media:/media:shared", "/mnt:/mnt:shared"],
        missing: &[],
    },
    Holder {
        name: "system-volumes",
        binds: &[
            "/dev:/host/dev",
            "/etc/docker:/etc/docker",
            "/etc/hosts:/etc/hosts",
            "/etc/resolv.conf:/etc/resolv.conf",
            "/lib/firmware:/lib/firmware",
            "/lib/modules:/lib/modules",
            // What is unmounted on the machine is not held up by the container.
            "/run:/run:rslave",
            "/run:/var/run:rslave",
            "/usr/share/ros:/usr/share/ros",
            "/var/lib/rancher:/var/lib/rancher",
            "/var/log:/var/log",
        ],
        missing: &[
            "/etc/logrotate.d",
            "/etc/selinux",
            "/etc/ssl/certs/ca-certificates.crt",
            "/var/lib/boot2docker",
            "/var/lib/waagent",
        ],
    },
    Holder {
        name: "user-volumes",
        binds: &[
            "/home:/home",
            "/opt:/opt",
            "/var/lib/kubelet:/var/lib/kubelet",
        ],
        missing: &[],
    },
];

/// What stands for a name of `volumes_from`; nothing for a name that RancherOS did not have.
pub(super) fn held(name: &str) -> Vec<&'static Holder> {
    HOLDERS
        .iter()
        .filter(|holder| name == holder.name || name == ALL)
        .collect()
}

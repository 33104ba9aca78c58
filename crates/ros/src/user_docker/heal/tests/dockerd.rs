//! The dockerd that we ship starts on what was healed, with what can be left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::process::Command;
use tempfile::TempDir;

use super::super::{Places, files, heal};
use super::Damage::{self, Directory, Empty, Junk, Zeros};

/// A file of a real dockerd's, and how many containers are there afterwards.
struct Case(&'static str, u8);

/// `*` is one name, the first.
#[rustfmt::skip]
const CASES: &[Case] = &[
    Case("engine-id",                                                1),
    Case("containerd/daemon/io.containerd.metadata.v1.bolt/meta.db", 1),
    Case("network/files/local-kv.db",                                1),
    Case("volumes/metadata.db",                                      1),
    Case("volumes/kept/opts.json",                                   1),
    Case("buildkit/cache.db",                                        1),
    Case("buildkit/containerdmeta.db",                               1),
    Case("buildkit/history.db",                                      1),
    Case("buildkit/metadata_v2.db",                                  1),
    Case("buildkit/snapshots.db",                                    1),
    Case("containers/*/config.v2.json",                              0),
    Case("containers/*/hostconfig.json",                             1),
    Case("image/overlay2/repositories.json",                         1),
    Case("image/overlay2/imagedb/content/sha256/*",                  1),
    Case("image/overlay2/layerdb/sha256/*/cache-id",                 0),
    Case("image/overlay2/layerdb/sha256/*/diff",                     1),
    Case("image/overlay2/layerdb/sha256/*/size",                     1),
    Case("image/overlay2/layerdb/mounts/*/mount-id",                 1),
    Case("image/overlay2/layerdb/mounts/*/init-id",                  1),
    Case("image/overlay2/layerdb/mounts/*/parent",                   1),
    Case("overlay2/*/link",                                          1),
    Case("overlay2/*/lower",                                         1),
    Case("overlay2/l/*",                                             1),
];

/// dockerd in separate namespaces, in the files of its image.
struct Docker {
    folder: TempDir,
}

/// For one start of dockerd, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

const NAMESPACES: &str = r#"
    set -e
    mount --make-rprivate /
    mount --bind "$0" "$0"; mount --rbind /sys "$0/sys"; mount --rbind /dev "$0/dev"
    mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/run"; mount -t tmpfs tmpfs "$0/tmp"
    ip link set lo up
    PATH=/usr/lib/rancher/docker/bin:/usr/sbin:/usr/bin:/sbin:/bin exec chroot "$0" /bin/sh -c "$1""#;

const START: &str = r#"
    dockerd --iptables=false --ip6tables=false --bridge=none >/var/log/dockerd.log 2>&1 & pid=$!
    tries=0
    until docker version >/dev/null 2>&1; do
        kill -0 $pid 2>/dev/null || { tail -n 3 /var/log/dockerd.log; exit 9; }
        tries=$((tries + 1)); [ $tries -lt 300 ] || { echo "no answer"; exit 9; }
        sleep 0.1
    done
"#;

/// An image of two layers, a container of it with a volume, and a network.
const MAKE: &str = r#"
    mkdir -p /tmp/image/bin && cp /bin/busybox /tmp/image/bin/ && tar -C /tmp/image -c . | docker import - base:1 >/dev/null
    docker create --name first base:1 /bin/busybox true >/dev/null
    echo note >/tmp/note && docker cp /tmp/note first:/note && docker commit first two:1 >/dev/null && docker rm first >/dev/null
    docker volume create --label mine=yes -o type=tmpfs -o device=tmpfs kept >/dev/null
    docker create --name web -v kept:/data two:1 /bin/busybox true >/dev/null
    docker cp /tmp/note web:/written && docker network create mine >/dev/null
"#;

const LEFT: &str =
    "docker ps -aq -f name=web | wc -l; docker volume ls -q; docker create two:1 x >/dev/null 2>&1";

impl Docker {
    fn unpack() -> Docker {
        let folder = tempfile::tempdir().unwrap();
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/images-x86_64");
        let archive = images.join("docker.oci.tar");
        assert!(archive.exists(), "cargo xtask images makes {archive:?}");
        let image = folder.path().join("image");
        let root = folder.path().join("root");
        for directory in [&image, &root] {
            fs::create_dir(directory).unwrap();
        }
        tar(&archive, &image);
        let read = |path: &Path| -> serde_json::Value {
            serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
        };
        let blob = |value: &serde_json::Value| {
            let digest = value["digest"].as_str().unwrap();
            image
                .join("blobs/sha256")
                .join(digest.trim_start_matches("sha256:"))
        };
        let index = read(&image.join("index.json"));
        let manifest = read(&blob(&index["manifests"][0]));
        for layer in manifest["layers"].as_array().unwrap() {
            tar(&blob(layer), &root);
        }
        Docker { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn data(&self) -> PathBuf {
        self.root().join("var/lib/docker")
    }

    /// What commands print with dockerd running, or its last words.
    fn with_dockerd(&self, commands: &str) -> Result<String, String> {
        let script = format!("{START}\n{commands}\nkill $pid; wait $pid; exit 0");
        let output = Command::new("unshare")
            .args(["-m", "-n", "-p", "-f", "sh", "-c", NAMESPACES])
            .args([self.root().into_os_string(), script.into()])
            .deadline(DEADLINE)
            .run()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(text + &String::from_utf8_lossy(&output.stderr))
        }
    }

    /// Puts back what was there before any damage.
    fn restore(&self) {
        let _ = fs::remove_dir_all(self.data());
        let copied = Command::new("cp")
            .args(["-a".into(), self.folder.path().join("before"), self.data()])
            .run()
            .unwrap();
        assert!(copied.status.success());
    }

    fn places(&self) -> Places {
        let place = |name: &str| self.folder.path().join(name);
        Places {
            data_root: self.data(),
            etc: self.root().join("etc/docker"),
            pid_file: place("docker.pid"),
            socket: place("docker.sock"),
            spares: place("spares"),
            daemon_json: None,
        }
    }
}

fn tar(archive: &Path, target: &Path) {
    let unpacked = Command::new("tar")
        .args([Path::new("-xf"), archive, Path::new("-C"), target])
        .deadline(DEADLINE)
        .run()
        .unwrap();
    assert!(unpacked.status.success(), "{archive:?}");
}

#[test]
#[ignore = "needs root and the system images; takes minutes"]
fn dockerd_starts_on_what_was_healed() {
    let docker = Docker::unpack();
    docker.with_dockerd(MAKE).unwrap();
    fs::rename(docker.data(), docker.folder.path().join("before")).unwrap();
    docker.restore();
    let report = heal(&docker.places(), "sound");
    assert_eq!(report.said, Vec::<String>::new(), "a sound tree");
    fs::remove_dir_all(docker.places().spares).unwrap();
    // Without healing it does not: else this test would prove nothing.
    Damage::Zeros.to(&docker.data().join("network/files/local-kv.db"));
    let refused = docker.with_dockerd("true").unwrap_err();
    assert!(refused.contains("invalid database"), "{refused}");
    let mut wrong = Vec::new();
    for Case(pattern, containers) in CASES {
        for damage in [Zeros, Empty, Junk, Directory] {
            docker.restore();
            let path = files::matching(&docker.data(), pattern).remove(0);
            damage.to(&path);
            let report = heal(&docker.places(), "healed");
            let _ = fs::remove_dir_all(docker.places().spares);
            let left = docker.with_dockerd(LEFT);
            if left.as_deref() != Ok(&*format!("{containers}\nkept\n")) {
                wrong.push(format!("{pattern} {damage:?}: {left:?}: {:?}", report.said));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

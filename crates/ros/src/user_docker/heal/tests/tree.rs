//! Docker's data with an image of two layers, a container that was made of it, and a volume.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use oci_image::Digest;
use tempfile::TempDir;

use super::super::{Places, Report, heal};

pub(super) const DAEMON_JSON: &str = r#"{"debug": false}"#;
const BASE_DIFF: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TOP_DIFF: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const BASE_CACHE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TOP_CACHE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const BIN_SUM: &str = "eVbHdaQQAbM=";
const ETC_SUM: &str = "RBABsyAAAAA=";
const MOUNT: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
const CONTAINER: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const LINKS: [&str; 4] = [
    "AAAAAAAAAAAAAAAAAAAAAAAAAA",
    "BBBBBBBBBBBBBBBBBBBBBBBBBB",
    "CCCCCCCCCCCCCCCCCCCCCCCCCC",
    "DDDDDDDDDDDDDDDDDDDDDDDDDD",
];
const DATA: &[(&str, &str)] = &[
    ("volumes/kept/_data/zeros", "\0\0\0\0"),
    ("volumes/kept/_data/empty", ""),
    ("overlay2/MOUNT/diff/note", "mine"),
    ("overlay2/MOUNT/diff/zeros", "\0\0"),
];

pub(super) struct Tree {
    folder: TempDir,
    pub(super) root: PathBuf,
    pub(super) etc: PathBuf,
}

impl Tree {
    pub(super) fn new() -> Tree {
        // In RAM where there is such a place: what is healed is flushed to its disk, some thousand times here.
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let tree = Tree {
            root: folder.path().join("docker"),
            etc: folder.path().join("etc"),
            folder,
        };
        tree.files();
        tree.layers();
        tree
    }

    pub(super) fn places(&self) -> Places {
        Places {
            data_root: self.root.clone(),
            etc: self.etc.clone(),
            pid_file: self.folder.path().join("docker.pid"),
            socket: self.folder.path().join("docker.sock"),
            spares: self.folder.path().join("spares"),
            daemon_json: Some(DAEMON_JSON.to_owned()),
        }
    }

    pub(super) fn heal(&self) -> Report {
        heal(&self.places(), "2026-11-29T15-10-21")
    }

    pub(super) fn heal_again(&self) -> Report {
        let number = fs::read_dir(self.root.join("damaged")).map_or(0, Iterator::count);
        heal(&self.places(), &format!("later-{number}"))
    }

    /// What people have in volumes and containers is there, whatever it looks like.
    pub(super) fn unharmed(&self, what: &str) {
        for (path, content) in DATA {
            let path = [self.root.join(self.path(path)), self.root.join("elsewhere")];
            // One that the test has moved itself.
            let found = fs::read_to_string(&path[0]);
            if path[1].exists() {
                continue;
            }
            assert_eq!(found.ok().as_deref(), Some(*content), "{what}: {path:?}");
        }
    }

    /// Replaces names by ids.
    pub(super) fn path(&self, path: &str) -> String {
        let base = BASE_DIFF;
        let top = chain(base, TOP_DIFF);
        let image = Digest::sha256(self.description().as_bytes());
        let mut path = path.to_owned();
        for (name, id) in [
            ("BASECACHE", BASE_CACHE),
            ("TOPCACHE", TOP_CACHE),
            ("BASE", base),
            ("TOP", &top),
            ("MOUNT", MOUNT),
            ("IMAGE", image.hex()),
            ("ID", CONTAINER),
            ("LINK", LINKS[1]),
        ] {
            path = path.replace(name, id);
        }
        path
    }

    fn description(&self) -> String {
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{BASE_DIFF}","sha256:{TOP_DIFF}"]}}}}"#
        )
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        put(&self.root.join(self.path(path)), content.as_ref());
    }

    fn files(&self) {
        put(&self.etc.join("key.json"), br#"{"kty":"EC"}"#);
        for (path, content) in DATA {
            self.write(path, content);
        }
        for path in [
            "containerd/daemon/io.containerd.metadata.v1.bolt/meta.db",
            "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/metadata.db",
            "network/files/local-kv.db",
            "volumes/metadata.db",
            "buildkit/cache.db",
            "buildkit/containerdmeta.db",
            "buildkit/history.db",
            "buildkit/metadata_v2.db",
            "buildkit/snapshots.db",
            "swarm/worker/tasks.db",
        ] {
            self.write(path, database());
        }
        let image = self.path("IMAGE");
        let config = format!(
            r#"{{"ID":"{CONTAINER}","Name":"/web","Image":"sha256:{image}","Config":{{"Image":"busybox"}}}}"#
        );
        let names =
            format!(r#"{{"Repositories":{{"busybox":{{"busybox:latest":"sha256:{image}"}}}}}}"#);
        for (path, content) in [
            ("engine-id", "9c1f5cd1-0000-4000-8000-000000000000"),
            ("containers/ID/config.v2.json", &*config),
            ("containers/ID/hostconfig.json", r#"{"Memory":1}"#),
            ("containers/ID/hostname", "web\n"),
            ("containers/ID/ID-json.log", "{\"log\":\"a\\n\"}\n"),
            ("volumes/kept/opts.json", r#"{"MountType":"tmpfs"}"#),
            ("swarm/docker-state.json", r#"{"LocalAddr":""}"#),
            ("swarm/state.json", r#"[{"Addr":"10.0.0.1:2377"}]"#),
            ("plugins/ID/config.json", r#"{"plugin":{}}"#),
            ("image/overlay2/repositories.json", &*names),
            (
                "image/overlay2/imagedb/content/sha256/IMAGE",
                &*self.description(),
            ),
            (
                "image/overlay2/imagedb/metadata/sha256/IMAGE/lastUpdated",
                "2026-11-29T10:00:00.123456789Z",
            ),
            (
                "image/overlay2/imagedb/metadata/sha256/IMAGE/parent",
                &*format!("sha256:{BASE_DIFF}"),
            ),
            (
                "image/overlay2/distribution/diffid-by-digest/sha256/BASE",
                &*format!("sha256:{BASE_DIFF}"),
            ),
            (
                "image/overlay2/distribution/v2metadata-by-diffid/sha256/BASE",
                r#"[{"Digest":"sha256:1"}]"#,
            ),
        ] {
            self.write(path, content);
        }
    }

    fn layers(&self) {
        self.write("overlay2/BASECACHE/diff/bin", "12345678");
        self.write("overlay2/TOPCACHE/diff/etc", "1234");
        let base = self.path("BASE");
        let top = self.path("TOP");
        // CRC-64/GO-ISO of the two contents.
        let record = |name: &str, size: u64, sum: &str| {
            compressed(&format!(
                "{{\"type\":2,\"payload\":\"AAAA\",\"position\":0}}\n\
                 {{\"type\":1,\"name\":\"./\",\"payload\":null,\"position\":1}}\n\
                 {{\"type\":1,\"name\":\"{name}\",\"size\":{size},\"payload\":\"{sum}\",\"position\":2}}\n"
            ))
        };
        let (bin, etc) = (record("bin", 8, BIN_SUM), record("etc", 4, ETC_SUM));
        for (layer, cache, diff, parent, size, gzip) in [
            ("BASE", BASE_CACHE, BASE_DIFF, None, "8", bin),
            ("TOP", TOP_CACHE, TOP_DIFF, Some(&base), "4", etc),
        ] {
            let entry = format!("image/overlay2/layerdb/sha256/{layer}");
            self.write(&format!("{entry}/cache-id"), cache);
            self.write(&format!("{entry}/diff"), format!("sha256:{diff}"));
            self.write(&format!("{entry}/size"), size);
            self.write(&format!("{entry}/tar-split.json.gz"), &gzip);
            if let Some(parent) = parent {
                self.write(&format!("{entry}/parent"), format!("sha256:{parent}"));
            }
        }
        let mount = "image/overlay2/layerdb/mounts/ID";
        self.write(&format!("{mount}/mount-id"), MOUNT);
        self.write(&format!("{mount}/init-id"), format!("{MOUNT}-init"));
        self.write(&format!("{mount}/parent"), format!("sha256:{top}"));
        let init = format!("{MOUNT}-init");
        let mut lower = String::new();
        fs::create_dir_all(self.root.join("overlay2/l")).unwrap();
        for (directory, link) in [BASE_CACHE, TOP_CACHE, &init, MOUNT].into_iter().zip(LINKS) {
            let path = format!("overlay2/{directory}");
            self.write(&format!("{path}/link"), link);
            fs::create_dir_all(self.root.join(&path).join("diff")).unwrap();
            symlink(
                format!("../{directory}/diff"),
                self.root.join("overlay2/l").join(link),
            )
            .unwrap();
            if lower.is_empty() {
                lower = format!("l/{link}");
            } else {
                self.write(&format!("{path}/lower"), &lower);
                fs::create_dir(self.root.join(&path).join("work")).unwrap();
                lower = format!("l/{link}:{lower}");
            }
        }
    }
}

fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn chain(base: &str, diff: &str) -> String {
    Digest::sha256(format!("sha256:{base} sha256:{diff}").as_bytes())
        .hex()
        .to_owned()
}

/// A database of six pages as bbolt writes it: two heads, the free list, a branch, a leaf with two buckets, one of which is a page.
pub(super) fn database() -> Vec<u8> {
    const PAGE: usize = 4096;
    let mut file = vec![0; 6 * PAGE];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    let head = |number: u64, kind: u16, count: u16| {
        let mut head = number.to_le_bytes().to_vec();
        head.extend(kind.to_le_bytes());
        head.extend(count.to_le_bytes());
        head.extend([0; 4]);
        head
    };
    let element = |values: [u32; 4]| values.map(u32::to_le_bytes).concat();
    put(2 * PAGE, &head(2, 0x10, 0));
    put(3 * PAGE, &head(3, 0x01, 1));
    put(3 * PAGE + 16, &element([16, 1, 4, 0]));
    put(3 * PAGE + 32, b"a");
    // Two buckets: key and value behind both elements.
    put(4 * PAGE, &head(4, 0x02, 2));
    put(4 * PAGE + 16, &element([1, 32, 1, 16]));
    put(4 * PAGE + 32, &element([1, 33, 1, 32]));
    put(4 * PAGE + 48, b"a");
    put(
        4 * PAGE + 49,
        &[5_u64.to_le_bytes(), 0_u64.to_le_bytes()].concat(),
    );
    put(4 * PAGE + 65, b"b");
    put(4 * PAGE + 66, &[0; 16]);
    put(4 * PAGE + 82, &head(0, 0x02, 0));
    put(5 * PAGE, &head(5, 0x02, 1));
    put(5 * PAGE + 16, &element([0, 16, 3, 5]));
    put(5 * PAGE + 32, b"keyvalue");
    for (number, transaction) in [(0_u64, 2_u64), (1, 3)] {
        let at = usize::try_from(number).unwrap() * PAGE;
        put(at, &head(number, 0x04, 0));
        let mut body = Vec::new();
        for value in [0xED0C_DAED_u32, 2, 4096, 0] {
            body.extend(value.to_le_bytes());
        }
        for value in [3, 0, 2, 6, transaction] {
            body.extend(value.to_le_bytes());
        }
        let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        put(at + 16, &body);
        put(at + 16 + body.len(), &hash.to_le_bytes());
    }
    file
}

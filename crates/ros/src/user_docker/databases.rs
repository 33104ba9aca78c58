//! Files of User Docker without which it does not start: one that a power cut has emptied or filled with zeros is named
//! before dockerd trips over it, for its own words are in a log that nobody reads.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// What a file must be.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A database of bbolt (go.etcd.io/bbolt, db.go and page.go).
    Bolt,
    /// A document.
    Json,
}

/// Below the data root, as Docker 26 and containerd 1.7 have them.
const FILES: &[(&str, Kind)] = &[
    (
        "containerd/daemon/io.containerd.metadata.v1.bolt/meta.db",
        Kind::Bolt,
    ),
    (
        "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/metadata.db",
        Kind::Bolt,
    ),
    ("network/files/local-kv.db", Kind::Bolt),
    ("volumes/metadata.db", Kind::Bolt),
    ("buildkit/cache.db", Kind::Bolt),
    ("buildkit/containerdmeta.db", Kind::Bolt),
    ("buildkit/history.db", Kind::Bolt),
    ("buildkit/metadata_v2.db", Kind::Bolt),
    ("buildkit/snapshots.db", Kind::Bolt),
    ("image/overlay2/repositories.json", Kind::Json),
];

/// A larger document is not read: it is not a file that a power cut has emptied.
const LARGEST_JSON_BYTES: u64 = 16 << 20;

/// Sizes of pages that bbolt looks for its second head at: 1 KiB to 16 MiB.
const PAGE_BITS: std::ops::Range<u32> = 10..25;

/// What is wrong with the files below `data_root` and with dockerd's own settings, a line each.
pub(super) fn damaged(data_root: &Path, daemon_json: &Path) -> Vec<String> {
    let files = FILES
        .iter()
        .map(|(name, kind)| (data_root.join(name), *kind));
    files
        .chain([(daemon_json.to_owned(), Kind::Json)])
        .filter_map(|(path, kind)| {
            let why = wrong(&path, kind)?;
            let path = path.display();
            Some(format!(
                "{path} is {why}: User Docker may not start; move it away and run `system-docker restart docker`"
            ))
        })
        .collect()
}

fn wrong(path: &Path, kind: Kind) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() {
        return Some("not a file".to_owned());
    }
    match kind {
        // An empty one is made anew.
        Kind::Bolt if metadata.len() == 0 || has_head(path) => None,
        Kind::Bolt => Some("not a database: damaged".to_owned()),
        Kind::Json if metadata.len() > LARGEST_JSON_BYTES => None,
        Kind::Json => {
            let text = fs::read(path).unwrap_or_default();
            serde_json::from_slice::<serde::de::IgnoredAny>(&text)
                .err()
                .map(|error| format!("not JSON ({error})"))
        }
    }
}

/// Whether one of the two heads is whole: bbolt opens with either.
fn has_head(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    let mut start = Vec::new();
    let most = (1_u64 << (PAGE_BITS.end - 1)) + 128;
    if file
        .by_ref()
        .take(4096 + 128)
        .read_to_end(&mut start)
        .is_err()
    {
        return false;
    }
    if is_head(&start) || start.get(4096..).is_some_and(is_head) {
        return true;
    }
    // Another size of pages: rare, and the file is read once more.
    let mut all = start;
    file.take(most).read_to_end(&mut all).is_ok()
        && PAGE_BITS
            .into_iter()
            .any(|bits| all.get(1 << bits..).is_some_and(is_head))
}

/// A page's head of 16 bytes, then magic, version, ..., and the FNV-1a sum of what stands before it.
fn is_head(page: &[u8]) -> bool {
    const MAGIC: [u8; 4] = 0xED0C_DAED_u32.to_le_bytes();
    let (Some(body), Some(sum)) = (page.get(16..72), page.get(72..80)) else {
        return false;
    };
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    body.starts_with(&MAGIC) && sum == hash.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Vec<u8> {
        let mut page = vec![0; 80];
        page[16..20].copy_from_slice(&0xED0C_DAED_u32.to_le_bytes());
        page[20] = 2;
        let hash = page[16..72]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        page[72..].copy_from_slice(&u64::to_le_bytes(hash));
        page
    }

    #[test]
    fn a_database_needs_one_whole_head() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut file = vec![0; 32 << 10];
        fs::write(&path, &file).unwrap();
        assert!(wrong(&path, Kind::Bolt).is_some(), "zeros");
        fs::write(&path, "").unwrap();
        assert!(wrong(&path, Kind::Bolt).is_none(), "empty");
        for at in [4096, 16 << 10, 0] {
            let mut file = file.clone();
            file[at..at + 80].copy_from_slice(&head());
            fs::write(&path, &file).unwrap();
            assert!(wrong(&path, Kind::Bolt).is_none(), "a head at {at}");
        }
        file[..80].copy_from_slice(&head());
        file[40] ^= 1;
        fs::write(&path, &file).unwrap();
        assert!(wrong(&path, Kind::Bolt).is_some(), "a wrong sum");
    }

    #[test]
    fn only_files_that_are_there_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("daemon.json");
        assert!(damaged(folder.path(), &json).is_empty());
        fs::write(&json, [0; 8]).unwrap();
        let found = damaged(folder.path(), &json);
        assert!(found[0].contains("daemon.json is not JSON"), "{found:?}");
        fs::write(&json, "{}").unwrap();
        fs::create_dir_all(folder.path().join("network/files/local-kv.db")).unwrap();
        let found = damaged(folder.path(), &json);
        assert!(found[0].contains("local-kv.db is not a file"), "{found:?}");
    }
}

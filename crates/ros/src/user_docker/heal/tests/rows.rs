//! The table: a file, and what is there after its damage was healed.

use super::Damage::{self, *};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Exactly what was there before.
    Same,
    /// Nothing: Docker makes it again, or goes on without.
    Gone,
    /// Something that Docker can read.
    Other,
}

pub(super) struct Row {
    /// Below Docker's data; names in capitals are ids.
    pub(super) path: &'static str,
    pub(super) alone: After,
    /// When Docker has started here before.
    pub(super) with_spares: After,
    /// What goes with it, as the beginning of paths.
    pub(super) takes: &'static str,
    /// Damage that is none, or that cannot be seen and does not keep Docker from starting.
    pub(super) unseen: &'static [Damage],
}

use After::{Gone, Other, Same};

const fn row(
    path: &'static str,
    alone: After,
    with_spares: After,
    takes: &'static str,
    unseen: &'static [Damage],
) -> Row {
    Row {
        path,
        alone,
        with_spares,
        takes,
        unseen,
    }
}

/// An empty database is made again, and so is one that is missing.
const DATABASE: &[Damage] = &[Empty, Missing];
const FILE: &[Damage] = &[Missing];
/// A part of a text is a text.
const TEXT: &[Damage] = &[Missing, Half];
const LAYER: &str = "image/overlay2/layerdb/sha256/";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("engine-id",                                                            Gone, Same, "", TEXT),
    row("containerd/daemon/io.containerd.metadata.v1.bolt/meta.db",             Gone, Same, "", DATABASE),
    row("containerd/daemon/io.containerd.snapshotter.v1.overlayfs/metadata.db", Gone, Same, "", DATABASE),
    row("network/files/local-kv.db",                                            Gone, Same, "", DATABASE),
    row("volumes/metadata.db",                                                  Gone, Same, "", DATABASE),
    row("buildkit/cache.db",                                                    Gone, Gone, "", DATABASE),
    row("buildkit/containerdmeta.db",                                           Gone, Gone, "", DATABASE),
    row("buildkit/history.db",                                                  Gone, Gone, "", DATABASE),
    row("buildkit/metadata_v2.db",                                              Gone, Gone, "", DATABASE),
    row("buildkit/snapshots.db",                                                Gone, Gone, "", DATABASE),
    row("swarm/docker-state.json",                                              Gone, Same, "", FILE),
    row("swarm/state.json",                                                     Gone, Same, "", FILE),
    row("swarm/worker/tasks.db",                                                Gone, Same, "", DATABASE),
    row("volumes/kept/opts.json",                                               Gone, Same, "", FILE),
    row("containers/ID/config.v2.json",                                         Gone, Same, "containers/ID/", &[]),
    row("containers/ID/hostconfig.json",                                        Gone, Same, "", FILE),
    row("containers/ID/ID-json.log",                                            Other, Other, "", &[Empty, Half, Junk, Missing, Directory, Link, Pipe]),
    row("containers/ID/hostname",                                               Gone, Gone, "", &[Empty, Zeros, HalfZeros, Half, Junk, Missing]),
    row("image/overlay2/repositories.json",                                     Other, Same, "", FILE),
    row("image/overlay2/imagedb/content/sha256/IMAGE",                          Gone, Gone, "", FILE),
    row("image/overlay2/imagedb/metadata/sha256/IMAGE/lastUpdated",             Gone, Same, "", TEXT),
    row("image/overlay2/imagedb/metadata/sha256/IMAGE/parent",                  Gone, Same, "", FILE),
    row("image/overlay2/distribution/diffid-by-digest/sha256/BASE",             Gone, Gone, "", FILE),
    row("image/overlay2/distribution/v2metadata-by-diffid/sha256/BASE",         Gone, Gone, "", FILE),
    row("image/overlay2/layerdb/sha256/BASE/cache-id",                          Gone, Gone, LAYER, &[]),
    row("image/overlay2/layerdb/sha256/BASE/diff",                              Same, Same, "", &[]),
    row("image/overlay2/layerdb/sha256/BASE/size",                              Same, Same, "", &[]),
    row("image/overlay2/layerdb/sha256/BASE/tar-split.json.gz",                 Gone, Gone, LAYER, &[Half]),
    row("image/overlay2/layerdb/sha256/TOP/parent",                             Same, Same, "", &[]),
    row("image/overlay2/layerdb/sha256/TOP/cache-id",                           Gone, Gone, "image/overlay2/layerdb/sha256/TOP/", &[]),
    row("image/overlay2/layerdb/mounts/ID/mount-id",                            Same, Same, "", &[]),
    row("image/overlay2/layerdb/mounts/ID/init-id",                             Same, Same, "", FILE),
    row("image/overlay2/layerdb/mounts/ID/parent",                              Same, Same, "", &[]),
    row("overlay2/TOPCACHE/link",                                               Same, Same, "", &[]),
    row("overlay2/TOPCACHE/lower",                                              Same, Same, "", &[]),
    row("overlay2/MOUNT/link",                                                  Same, Same, "", &[]),
    row("overlay2/MOUNT/lower",                                                 Same, Same, "", &[]),
    row("overlay2/MOUNT-init/lower",                                            Same, Same, "", &[]),
    row("overlay2/l/LINK",                                                      Same, Same, "", &[]),
];

pub(super) const DIRECTORIES: &[&str] = &[
    "buildkit",
    "buildkit/content",
    "containerd",
    "containerd/daemon",
    "containerd/daemon/io.containerd.content.v1.content",
    "containers",
    "image",
    "image/overlay2",
    "image/overlay2/imagedb/content/sha256",
    "image/overlay2/imagedb/metadata/sha256",
    "image/overlay2/layerdb/mounts",
    "image/overlay2/layerdb/tmp",
    "network",
    "network/files",
    "overlay2",
    "overlay2/l",
    "plugins",
    "plugins/storage",
    "runtimes",
    "swarm",
    "swarm/worker",
    "tmp",
    "volumes",
];

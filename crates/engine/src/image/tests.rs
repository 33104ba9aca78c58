//! Images end to end, with workers as threads.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use engine_api::Filters;
use oci_image::layer::TarWriter;
use oci_image::media::{MediaImage, MediaIndex, MediaLayer};

use super::*;
use crate::options::ByteStream;

/// Containers as the tests need them.
#[derive(Default)]
struct Containers {
    users: RefCell<BTreeMap<String, Vec<ImageUser>>>,
    layers: RefCell<BTreeSet<LayerSource>>,
    events: RefCell<Vec<String>>,
}

impl ImageHooks for Containers {
    fn users(&self, image_id: &str) -> Vec<ImageUser> {
        self.users
            .borrow()
            .get(image_id)
            .cloned()
            .unwrap_or_default()
    }

    fn layers_in_use(&self) -> BTreeSet<LayerSource> {
        self.layers.borrow().clone()
    }

    fn event(&self, action: &str, _id: &str, _attributes: BTreeMap<String, String>) {
        self.events.borrow_mut().push(action.to_owned());
    }
}

struct Bench {
    directory: tempfile::TempDir,
    images: Images,
    containers: Rc<Containers>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let images = open(directory.path());
        let containers = Rc::new(Containers::default());
        images.set_hooks(containers.clone());
        Self {
            directory,
            images,
            containers,
        }
    }

    async fn import(&self, name: &str, file: &str) -> String {
        let mut tar = TarWriter::new(Vec::new());
        tar.append_bytes(file, b"content").unwrap();
        let options = ImportOptions {
            repository: name.to_owned(),
            source: "-".to_owned(),
            ..ImportOptions::default()
        };
        let progress = self
            .images
            .import(options, body(tar.finish().unwrap()))
            .await
            .unwrap();
        last(progress).await.unwrap().status
    }
}

fn open(directory: &Path) -> Images {
    let options = ImagesOptions {
        root: directory.join("root"),
        run: directory.join("run"),
        worker: PathBuf::new(),
        registry: RegistryOptions::default(),
    };
    Images::with_launcher(options, Launcher::Thread).unwrap()
}

fn body(bytes: Vec<u8>) -> ByteStream {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::task::spawn_local(async move {
        for chunk in bytes.chunks(1000) {
            if sender
                .send(Ok(Bytes::copy_from_slice(chunk)))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}

async fn last(
    mut progress: ProgressStream,
) -> std::result::Result<engine_api::ProgressMessage, String> {
    let mut last = engine_api::ProgressMessage::default();
    while let Some(message) = progress.recv().await {
        if !message.error.is_empty() {
            return Err(message.error);
        }
        last = message;
    }
    Ok(last)
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn imported_images_are_found_under_all_their_names() {
    run(async {
        let bench = Bench::new();
        let id = bench.import("example.org/a:1", "f").await;
        let hex = id.trim_start_matches("sha256:");
        for name in ["example.org/a:1", &id, hex, &hex[..12]] {
            assert_eq!(bench.images.resolve(name).unwrap().id, id, "{name}");
        }
        assert_eq!(
            bench.images.resolve("example.org/a").unwrap_err().message,
            "No such image: example.org/a:latest"
        );
        assert_eq!(bench.images.resolve("nope").unwrap_err().status, 404);
        assert_eq!(bench.images.resolve("Bad").unwrap_err().status, 400);
        let directories = bench
            .images
            .layer_directories(&bench.images.resolve(&id).unwrap().layers)
            .unwrap();
        assert_eq!(std::fs::read(directories[0].join("f")).unwrap(), b"content");
        bench.images.tag(&id, "b", "").unwrap();
        let listed = bench.images.list(&ImageListOptions::default()).unwrap();
        assert_eq!(listed[0].repo_tags, ["b:latest", "example.org/a:1"]);
        assert_eq!(*bench.containers.events.borrow(), ["tag", "import", "tag"]);
    });
}

#[test]
fn images_survive_a_restart_and_damage_hits_only_one() {
    run(async {
        let bench = Bench::new();
        let (good, bad) = (
            bench.import("good", "g").await,
            bench.import("bad", "b").await,
        );
        let blob = bench.images.0.store.blob_path(&bad.parse().unwrap());
        std::fs::write(blob, "damaged").unwrap();
        let images = open(bench.directory.path());
        assert_eq!(images.resolve("good").unwrap().id, good);
        let error = images.resolve("bad").unwrap_err();
        assert!(
            error.status == 500 && error.message.contains("damaged"),
            "{error}"
        );
        assert_eq!(images.list(&ImageListOptions::default()).unwrap().len(), 2);
    });
}

#[test]
fn saved_images_load_elsewhere() {
    run(async {
        let (from, to) = (Bench::new(), Bench::new());
        let id = from.import("a:1", "f").await;
        let mut archive = Vec::new();
        let mut saved = from.images.save(&["a:1".to_owned()]).await.unwrap();
        while let Some(chunk) = saved.recv().await {
            archive.extend_from_slice(&chunk.unwrap());
        }
        let progress = to.images.load(body(archive), true).await.unwrap();
        assert_eq!(last(progress).await.unwrap().stream, "Loaded image: a:1\n");
        assert_eq!(to.images.resolve("a:1").unwrap().id, id);
        let error = last(to.images.load(body(b"junk".to_vec()), true).await.unwrap())
            .await
            .unwrap_err();
        assert!(!error.is_empty());
    });
}

#[test]
fn commits_add_a_layer() {
    run(async {
        let bench = Bench::new();
        let parent = bench.import("base", "f").await;
        let upper = bench.directory.path().join("upper");
        std::fs::create_dir(&upper).unwrap();
        std::fs::write(upper.join("new"), "new").unwrap();
        let options = CommitOptions {
            parent: parent.clone(),
            repository: "made".to_owned(),
            comment: "why".to_owned(),
            ..CommitOptions::default()
        };
        let id = bench.images.commit(options, &upper).await.unwrap();
        let made = bench.images.resolve("made").unwrap();
        assert_eq!((made.id.as_str(), made.layers.len()), (id.as_str(), 2));
        assert_eq!(bench.images.inspect("made").unwrap().parent, parent);
        let history = bench.images.history("made").unwrap();
        assert_eq!(
            (history[0].comment.as_str(), history[1].id.as_str()),
            ("why", "<missing>")
        );
        let error = bench.images.remove(&parent, true).await.unwrap_err();
        assert!(
            error
                .message
                .ends_with("(cannot be forced) - image has dependent child images"),
            "{error}"
        );
    });
}

// No name here can be read as the beginning of an id, which the import makes up anew each time.
#[test]
fn removal_follows_dockers_rules() {
    run(async {
        let bench = Bench::new();
        let id = bench.import("one", "f").await;
        bench.images.tag("one", "two", "1").unwrap();
        let image = id.trim_start_matches("sha256:")[..12].to_owned();
        let error = bench.images.remove(&id, false).await.unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.message),
            (
                409,
                format!(
                    "conflict: unable to delete {image} (must be forced) - image is referenced in multiple repositories"
                )
            )
        );
        let untagged = bench.images.remove("two:1", false).await.unwrap();
        assert_eq!(
            (untagged.len(), untagged[0].untagged.as_str()),
            (1, "two:1")
        );
        let user = |running| {
            vec![ImageUser {
                container: "c".repeat(64),
                running,
            }]
        };
        bench
            .containers
            .users
            .borrow_mut()
            .insert(id.clone(), user(false));
        let error = bench.images.remove("one", false).await.unwrap_err();
        assert_eq!(
            error.message,
            format!(
                "conflict: unable to remove repository reference \"one\" (must force) - container cccccccccccc is using its referenced image {image}"
            )
        );
        bench
            .containers
            .users
            .borrow_mut()
            .insert(id.clone(), user(true));
        let error = bench.images.remove(&id, true).await.unwrap_err();
        assert!(
            error.message.ends_with(
                "(cannot be forced) - image is being used by running container cccccccccccc"
            ),
            "{error}"
        );
        bench.containers.users.borrow_mut().clear();
        let layer = bench.images.resolve("one").unwrap().layers[0].clone();
        let deleted = bench.images.remove("one", false).await.unwrap();
        assert_eq!(
            (deleted[0].untagged.as_str(), deleted[1].deleted.as_str()),
            ("one:latest", id.as_str())
        );
        assert!(
            !bench.images.0.store.has_layer(&layer.diff_id),
            "the layer is left behind"
        );
        assert_eq!(
            bench.images.remove("one", true).await.unwrap_err().status,
            404
        );
    });
}

#[test]
fn shared_and_used_layers_stay() {
    run(async {
        let bench = Bench::new();
        let first = bench.import("a", "same").await;
        let layers = bench.images.resolve("a").unwrap().layers;
        bench
            .containers
            .layers
            .borrow_mut()
            .insert(layers[0].clone());
        bench.images.remove(&first, true).await.unwrap();
        assert!(
            bench.images.layer_directories(&layers).is_ok(),
            "a container's layer was removed"
        );
        bench.containers.layers.borrow_mut().clear();
        assert!(bench.images.collect_layers().await.unwrap() > 0);
        assert!(bench.images.layer_directories(&layers).is_err());
    });
}

#[test]
fn prune_takes_what_nobody_names_or_uses() {
    run(async {
        let bench = Bench::new();
        bench.import("kept", "k").await;
        let old = bench.import("moved", "1").await;
        bench.import("moved", "2").await;
        let report = bench.images.prune(&Filters::default()).await.unwrap();
        let deleted: Vec<String> = report
            .images_deleted
            .unwrap()
            .into_iter()
            .map(|item| item.deleted)
            .collect();
        assert_eq!(deleted[0], old);
        assert!(report.space_reclaimed > 0);
        assert!(
            bench
                .images
                .prune(&Filters::default())
                .await
                .unwrap()
                .images_deleted
                .is_none()
        );
        bench
            .images
            .prune(&Filters::default().with("dangling", "false"))
            .await
            .unwrap();
        assert_eq!(bench.images.count(), 0);
        assert_eq!(
            bench
                .images
                .prune(&Filters::default().with("color", "red"))
                .await
                .unwrap_err()
                .status,
            400
        );
    });
}

#[test]
fn lists_are_filtered() {
    run(async {
        let bench = Bench::new();
        bench.import("one:1", "1").await;
        bench.import("two:1", "2").await;
        let names = |filters: Filters| {
            let options = ImageListOptions {
                filters,
                ..ImageListOptions::default()
            };
            let images = bench.images.list(&options).unwrap();
            let mut names: Vec<String> = images
                .into_iter()
                .flat_map(|image| image.repo_tags)
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(Filters::default().with("reference", "o*")), ["one:1"]);
        assert_eq!(
            names(Filters::default().with("reference", "*:1")),
            ["one:1", "two:1"]
        );
        assert_eq!(names(Filters::default().with("since", "one:1")), ["two:1"]);
        assert_eq!(names(Filters::default().with("before", "two:1")), ["one:1"]);
        assert_eq!(
            names(Filters::default().with("dangling", "true")),
            Vec::<String>::new()
        );
        assert_eq!(
            names(Filters::default().with("label", "x")),
            Vec::<String>::new()
        );
        let bad = ImageListOptions {
            filters: Filters::default().with("reference", "["),
            ..ImageListOptions::default()
        };
        assert_eq!(bench.images.list(&bad).unwrap_err().status, 400);
    });
}

fn medium(directory: &Path, damage: &str) -> MediaIndex {
    let image = |name: &str| {
        let mut config = ImageConfig::default();
        let diff_id = Digest::sha256(name.as_bytes());
        config.rootfs.diff_ids.push(diff_id.clone());
        let config = String::from_utf8(config.to_bytes()).unwrap();
        let file = format!("{}.squashfs", diff_id.hex());
        let content = if name == damage {
            b"not a squashfs"
        } else {
            b"hsqs and more."
        };
        std::fs::write(directory.join(&file), content).unwrap();
        MediaImage {
            references: vec![format!("rancher/{name}:1")],
            manifest_digest: Digest::sha256(config.as_bytes()),
            config_digest: Digest::sha256(config.as_bytes()),
            config,
            layers: vec![MediaLayer {
                diff_id,
                file,
                size: 14,
            }],
        }
    };
    MediaIndex {
        version: "1".to_owned(),
        images: vec![image("os-a"), image("os-b")],
    }
}

#[test]
fn a_damaged_layer_of_a_medium_costs_one_image() {
    run(async {
        let bench = Bench::new();
        let media = bench.directory.path().join("media");
        std::fs::create_dir(&media).unwrap();
        let index = medium(&media, "os-b");
        std::fs::write(media.join("images.json"), index.to_bytes().unwrap()).unwrap();
        let errors = bench.images.add_media(&media);
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].message.contains("rancher/os-b:1")
                && errors[0].message.contains("no squashfs"),
            "{}",
            errors[0]
        );
        assert!(bench.images.exists("rancher/os-a:1") && !bench.images.exists("rancher/os-b:1"));
        let error = bench
            .images
            .remove(&index.images[0].config_digest.to_string(), false)
            .await
            .unwrap_err();
        assert_eq!(
            error.status, 409,
            "images of the system are not removed by accident"
        );
        assert!(
            bench
                .images
                .prune(&Filters::default().with("dangling", "false"))
                .await
                .unwrap()
                .images_deleted
                .is_none()
        );
        assert_eq!(bench.images.add_media(Path::new("/nonexistent")).len(), 1);
    });
}

#[test]
fn a_pull_that_cannot_start_is_an_ordinary_error() {
    run(async {
        let bench = Bench::new();
        assert_eq!(
            bench
                .images
                .pull("Bad", "", None, None)
                .await
                .unwrap_err()
                .status,
            400
        );
        assert_eq!(
            bench
                .images
                .pull("a", "", Some("no/such/platform/here"), None)
                .await
                .unwrap_err()
                .status,
            400
        );
        bench.images.set_registry_options(RegistryOptions {
            retries: 0,
            ..RegistryOptions::default()
        });
        let error = bench
            .images
            .pull("127.0.0.1:1/a", "", None, None)
            .await
            .unwrap_err();
        assert_eq!(error.status, 500);
        assert!(error.message.contains("127.0.0.1:1"), "{error}");
        assert_eq!(
            bench.images.push("a", "", None).await.unwrap_err().status,
            404
        );
    });
}

//! Images end to end, with workers as threads.

mod medium;
mod registry;
mod removal;
mod transfer;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use engine_api::Filters;
use engine_api::options::ByteStream;
use oci_transfer::layer::TarWriter;

use super::*;

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
    let damage = Damage::new(&options.root);
    Images::with_launcher(options, Launcher::Thread, &damage)
}

fn body(bytes: Vec<u8>) -> ByteStream {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    engine_api::tasks::spawn(async move {
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

//! Volumes on disk; mounting ones need root, as the engine does.

use std::future::Future;

use super::*;

#[derive(Default)]
struct Containers(RefCell<BTreeMap<String, Vec<String>>>);

impl VolumeHooks for Containers {
    fn users(&self, name: &str) -> Vec<String> {
        self.0.borrow().get(name).cloned().unwrap_or_default()
    }

    fn event(&self, _action: &str, _name: &str, _attributes: BTreeMap<String, String>) {}
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Volumes whose helper says nothing: what needs it is tested with the whole engine (crates/init/tests/soak/volumes.rs).
fn open(root: &Path) -> Volumes {
    let runtime = NativeRuntime::new(runtime::RuntimeOptions {
        program: "/bin/false".into(),
        ..runtime::RuntimeOptions::default()
    });
    Volumes::new(root, &Damage::new(root), runtime)
}

fn request(name: &str) -> VolumeCreate {
    VolumeCreate {
        name: name.to_owned(),
        ..VolumeCreate::default()
    }
}

fn names(volumes: &Volumes, filters: Filters) -> Vec<String> {
    volumes
        .list(&filters)
        .unwrap()
        .volumes
        .into_iter()
        .map(|volume| volume.name)
        .collect()
}

#[test]
fn volumes_survive_a_restart() {
    let work = tempfile::tempdir().unwrap();
    let volumes = open(work.path());
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let made = volumes
        .create(&VolumeCreate {
            labels: labels.clone(),
            ..request("data")
        })
        .unwrap();
    assert!(Path::new(&made.mountpoint).is_dir());
    fs::write(Path::new(&made.mountpoint).join("f"), "kept").unwrap();
    let again = open(work.path());
    assert_eq!(again.inspect("data").unwrap().labels, Some(labels));
    assert_eq!(
        again.create(&request("data")).unwrap().created_at,
        made.created_at,
        "an existing one is answered"
    );
    assert_eq!(
        fs::read_to_string(again.mountpoint("data").join("f")).unwrap(),
        "kept"
    );
}

#[test]
fn names_cannot_leave_the_directory() {
    let work = tempfile::tempdir().unwrap();
    let volumes = open(work.path());
    for bad in ["..", "../x", "a/b", ".hidden", "a", "é1", &"n".repeat(256)] {
        assert_eq!(
            volumes.create(&request(bad)).unwrap_err().status,
            400,
            "{bad}"
        );
    }
    assert_eq!(
        volumes
            .create(&VolumeCreate {
                driver: "nfs".to_owned(),
                ..request("ok")
            })
            .unwrap_err()
            .status,
        404
    );
    assert_eq!(
        fs::read_dir(work.path().join("volumes")).unwrap().count(),
        0
    );
}

#[test]
fn lists_are_filtered() {
    let work = tempfile::tempdir().unwrap();
    let volumes = open(work.path());
    let containers = Rc::new(Containers::default());
    volumes.set_hooks(containers.clone());
    volumes.create(&request("used")).unwrap();
    volumes
        .create(&VolumeCreate {
            labels: BTreeMap::from([("l".to_owned(), String::new())]),
            ..request("free")
        })
        .unwrap();
    containers
        .0
        .borrow_mut()
        .insert("used".to_owned(), vec!["c".to_owned()]);
    assert_eq!(names(&volumes, Filters::default()), ["free", "used"]);
    assert_eq!(
        names(&volumes, Filters::default().with("dangling", "true")),
        ["free"]
    );
    assert_eq!(
        names(&volumes, Filters::default().with("name", "se")),
        ["used"]
    );
    assert_eq!(
        names(&volumes, Filters::default().with("name", "^(used|x)$")),
        ["used"]
    );
    assert_eq!(
        names(&volumes, Filters::default().with("label", "l")),
        ["free"]
    );
    assert_eq!(
        names(&volumes, Filters::default().with("driver", "other")),
        Vec::<String>::new()
    );
    assert_eq!(
        volumes
            .list(&Filters::default().with("size", "1"))
            .unwrap_err()
            .status,
        400
    );
}

#[test]
fn volumes_in_use_stay() {
    run(async {
        let work = tempfile::tempdir().unwrap();
        let volumes = open(work.path());
        let containers = Rc::new(Containers::default());
        volumes.set_hooks(containers.clone());
        volumes.create(&request("data")).unwrap();
        containers
            .0
            .borrow_mut()
            .insert("data".to_owned(), vec!["c1".to_owned()]);
        let error = volumes.remove("data", true).await.unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.message.as_str()),
            (409, "remove data: volume is in use - [c1]")
        );
        containers.0.borrow_mut().clear();
        volumes.remove("data", false).await.unwrap();
        assert!(!work.path().join("volumes/data").exists());
        assert_eq!(
            volumes.remove("data", false).await.unwrap_err().message,
            "get data: no such volume"
        );
        volumes.remove("data", true).await.unwrap();
    });
}

#[test]
fn a_volume_whose_directory_is_gone_is_removed() {
    run(async {
        let work = tempfile::tempdir().unwrap();
        let volumes = open(work.path());
        volumes.set_hooks(Rc::new(Containers::default()));
        let made = volumes.create(&request("data")).unwrap();
        let directory = Path::new(&made.mountpoint).parent().unwrap();
        fs::remove_dir_all(directory).unwrap();
        volumes.remove("data", true).await.unwrap();
        assert!(names(&volumes, Filters::default()).is_empty());
        volumes.create(&request("data")).unwrap();
    });
}

#[test]
fn prune_takes_anonymous_ones_unless_told_otherwise() {
    run(async {
        let work = tempfile::tempdir().unwrap();
        let volumes = open(work.path());
        volumes.create(&request("named")).unwrap();
        let anonymous = volumes.create(&request("")).unwrap();
        let report = volumes.prune(&Filters::default()).await.unwrap();
        assert_eq!(report.volumes_deleted, Some(vec![anonymous.name]));
        let report = volumes
            .prune(&Filters::default().with("all", "true"))
            .await
            .unwrap();
        assert_eq!(report.volumes_deleted, Some(vec!["named".to_owned()]));
        let mut elsewhere = request("elsewhere");
        for key in ["type", "device"] {
            let value = "tmpfs".to_owned();
            elsewhere.driver_opts.insert(key.to_owned(), value);
        }
        volumes.create(&elsewhere).unwrap();
        let all = Filters::default().with("all", "true");
        let report = volumes.prune(&all).await.unwrap();
        assert_eq!(report.volumes_deleted, Some(Vec::new()));
    });
}

#[test]
fn what_lies_elsewhere_is_not_measured() {
    run(async {
        let work = tempfile::tempdir().unwrap();
        let volumes = open(work.path());
        let mut elsewhere = request("elsewhere");
        for key in ["type", "device"] {
            let value = "tmpfs".to_owned();
            elsewhere.driver_opts.insert(key.to_owned(), value);
        }
        volumes.create(&elsewhere).unwrap();
        volumes.create(&request("unknown")).unwrap();
        let sizes: Vec<_> = volumes
            .usage()
            .await
            .into_iter()
            .map(|volume| (volume.name, volume.usage_data.unwrap().size))
            .collect();
        // The second one's helper gives no answer here.
        assert_eq!(
            sizes,
            [("elsewhere".to_owned(), -1), ("unknown".to_owned(), -1)]
        );
    });
}

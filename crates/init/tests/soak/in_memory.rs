//! A service that the disk does not take runs from memory, in the place of the container that had its name.

use engine::{Engine, EngineOptions};
use engine_api::{CreateRequest, Filters};
use serde_json::json;
use sys::mount::{self, MountFlags, UnmountFlags};

use crate::damage::prepared;
use crate::program;

crate::tests![a_service_that_a_read_only_disk_does_not_take_runs_from_memory];

/// Set where the engine is to be in this process.
const OWN_PROCESS: &str = "SOAK_OWN_PROCESS";
const NAME: &str = "a_service_that_a_read_only_disk_does_not_take_runs_from_memory";

/// In its own process: an engine reaps all children of its process, and other tests wait for theirs.
fn a_service_that_a_read_only_disk_does_not_take_runs_from_memory() {
    if std::env::var_os(OWN_PROCESS).is_none() {
        let output = sys::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(OWN_PROCESS, "1")
            .run()
            .unwrap();
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        assert!(words.contains("1 passed"), "{words}");
        return;
    }
    let mut machine = prepared("in-memory");
    machine.kill();
    let (kept, root) = (machine.keep_state(), machine.root());
    mount::mount("tmpfs", &root, "tmpfs", MountFlags::empty(), "size=64m").unwrap();
    machine.copy_state(&kept);
    let flags = MountFlags::REMOUNT | MountFlags::RDONLY;
    mount::mount("none", &root, "", flags, "").unwrap();
    let run = root.with_file_name("run-in-memory");
    let mut options = EngineOptions::new(root.clone(), run.clone());
    options.program = program::path();
    options.cgroup_parent = format!("soak-in-memory-{}", std::process::id());
    machine.in_netns(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, service(options));
    });
    for path in [run.join("containers"), root] {
        mount::unmount(path, UnmountFlags::DETACH).unwrap();
    }
}

async fn service(options: EngineOptions) {
    let engine = Engine::new(options).await.unwrap();
    assert!(engine.check_state().is_err());
    let request: CreateRequest = serde_json::from_value(json!({
        "Image": "soak",
        "Cmd": ["sleep", "98765"],
        "HostConfig": {
            "NetworkMode": "none",
            "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}],
        },
    }))
    .unwrap();
    let refused = engine.container_create(Some("new"), request.clone()).await;
    let error = refused.unwrap_err().message;
    assert!(error.contains("read-only file system"), "{error}");
    // One of this name is there, and cannot be removed.
    let id = engine
        .container_create_in_memory("made", request)
        .await
        .unwrap();
    engine.container_start("made").await.unwrap();
    let running = engine_api::Engine::container_list(&engine, false, &Filters::default())
        .await
        .unwrap();
    let running: Vec<_> = running
        .iter()
        .map(|one| (&*one.id, &*one.names[0]))
        .collect();
    assert_eq!(running, [(&*id, "/made")]);
    let warnings = engine.warnings().join("\n");
    assert!(
        warnings.contains("container made is kept in memory"),
        "{warnings}"
    );
    let errors = engine.shutdown(std::time::Duration::from_secs(1)).await;
    assert!(errors.is_empty(), "{errors:?}");
}

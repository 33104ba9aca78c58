//! What a container has between its creation and its first start, and what a creation that fails leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use engine_api::body::Body;
use engine_api::options::ArchivePutOptions;
use engine_api::{CreateRequest, Filters};

use crate::containers::script;
use crate::fixture::{Engine, Test};

/// The tests.
pub(crate) const TESTS: &[Test] = &[
    ("files_reach_the_volumes_of_a_created_container", || {
        Box::pin(files_reach_the_volumes_of_a_created_container())
    }),
    ("a_new_volume_has_what_the_image_has_there", || {
        Box::pin(a_new_volume_has_what_the_image_has_there())
    }),
    ("a_failed_creation_leaves_nothing", || {
        Box::pin(a_failed_creation_leaves_nothing())
    }),
];

fn with_volume(working_dir: &str, volume: &str) -> CreateRequest {
    let mut request = script("exit 0");
    working_dir.clone_into(&mut request.config.working_dir);
    let none = serde_json::Value::Object(serde_json::Map::new());
    request.config.volumes = BTreeMap::from([(volume.to_owned(), none)]);
    request
}

fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Body {
    let mut archive = tar::Builder::new(Vec::new());
    fill(&mut archive);
    Body::Full(Bytes::from(archive.into_inner().unwrap()))
}

fn into(path: &str) -> ArchivePutOptions {
    ArchivePutOptions {
        path: path.into(),
        ..ArchivePutOptions::default()
    }
}

async fn files_reach_the_volumes_of_a_created_container() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let request = with_volume("/srv/www", "/data");
    client
        .container_create(Some("web"), None, &request)
        .await
        .unwrap();
    // The image has neither of these.
    for path in ["/srv/www", "/data"] {
        client.archive_stat("web", path).await.unwrap();
    }
    let link = archive(|archive| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "link", "/data").unwrap();
    });
    client
        .archive_put("web", &into("/srv"), link)
        .await
        .unwrap();
    let file = archive(|archive| {
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        archive
            .append_data(&mut header, "file", &b"ok"[..])
            .unwrap();
    });
    client
        .archive_put("web", &into("/srv/link"), file)
        .await
        .unwrap();
    let volume = engine.inspect("web").await.mounts[0].source.clone();
    let text = fs::read_to_string(Path::new(&volume).join("file")).unwrap();
    assert_eq!(text, "ok");
    client.archive_stat("web", "/srv/link/file").await.unwrap();
}

async fn a_new_volume_has_what_the_image_has_there() {
    let engine = Engine::start().await;
    let request = with_volume("", "/bin");
    let created = engine
        .client
        .container_create(Some("web"), None, &request)
        .await;
    created.unwrap();
    let volume = engine.inspect("web").await.mounts[0].source.clone();
    assert!(Path::new(&volume).join("busybox").is_file());
}

async fn a_failed_creation_leaves_nothing() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let request = with_volume("/bin/sh", "/data");
    let error = client.container_create(Some("web"), None, &request).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.status.as_u16(), error.message.as_str()),
        (500, "Cannot mkdir: /bin/sh is not a directory")
    );
    let volumes = client.volume_list(&Filters::default()).await.unwrap();
    assert_eq!(volumes.volumes.len(), 0);
    let request = with_volume("/srv", "/data");
    client
        .container_create(Some("web"), None, &request)
        .await
        .unwrap();
}

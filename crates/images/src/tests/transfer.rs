//! Images that come and go: save, load, commit, pulls that fail at once.

use super::*;

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
        assert_eq!(*to.containers.events.borrow(), ["load"]);
        let inspected = to.images.inspect("a:1").unwrap();
        let tagged = inspected.metadata.last_tag_time;
        assert!(tagged.starts_with("0001-01-01"), "{tagged}");
        let error = last(to.images.load(body(b"junk".to_vec()), true).await.unwrap())
            .await
            .unwrap_err();
        assert!(!error.is_empty());
    });
}

#[test]
fn what_cannot_be_saved_is_named_in_docker_s_words() {
    run(async {
        let bench = Bench::new();
        bench.import("a:1", "f").await;
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for (name, status, words) in [
            ("b", 404, "No such image: b"),
            ("a:2", 404, "reference does not exist"),
            (digest.as_str(), 404, "reference does not exist"),
            (
                "BAD:x",
                500,
                "invalid reference format: repository name (library/BAD) must be lowercase",
            ),
        ] {
            let error = bench.images.save(&[name.to_owned()]).await.unwrap_err();
            assert_eq!(
                (error.status.as_u16(), error.message.as_str()),
                (status, words)
            );
        }
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

#[test]
fn a_layer_that_comes_twice_is_mounted_once() {
    run(async {
        let bench = Bench::new();
        let mut parent = bench.import("base", "f").await;
        let upper = bench.directory.path().join("upper");
        std::fs::create_dir(&upper).unwrap();
        for _ in 0..2 {
            let options = CommitOptions {
                parent: parent.clone(),
                ..CommitOptions::default()
            };
            parent = bench.images.commit(options, &upper).await.unwrap();
        }
        let layers = bench.images.resolve(&parent).unwrap().layers;
        let directories = bench.images.layer_directories(&layers).unwrap();
        assert_eq!((layers.len(), directories.len()), (3, 2));
        assert!(directories[1].join("f").exists(), "the lowest is last");
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
    });
}

#[test]
fn platforms_are_compared_with_the_images() {
    run(async {
        let bench = Bench::new();
        bench.import("a:1", "f").await;
        let check = |image: &str, platform: &str| {
            bench
                .images
                .check_platform(image, platform)
                .map_err(|error| (error.status.as_u16(), error.message))
        };
        let host = oci_image::manifest::Platform::host().name();
        for good in ["linux", &host] {
            assert_eq!(check("a:1", good), Ok(()));
        }
        let words = format!(
            "image with reference a:1 was found but does not match the specified platform: wanted linux/s390x, actual: {host}"
        );
        assert_eq!(check("a:1", "linux/s390x"), Err((404, words)));
        assert_eq!(check("b", "linux").unwrap_err().0, 404);
        let (status, words) = check("a:1", "foobar").unwrap_err();
        assert!(
            status == 400 && words.contains("unknown operating system or architecture"),
            "{words}"
        );
        assert_eq!(bench.images.foreign_platform("a:1"), None);
    });
}

/// Docker answers 200 and tells in the stream what is wrong.
#[test]
fn a_push_of_nothing_says_so_in_its_stream() {
    run(async {
        let bench = Bench::new();
        let said = async |name: &str, tag: &str| {
            let stream = bench.images.push(name, tag, None).await.unwrap();
            last(stream).await.unwrap_err()
        };
        bench.import("127.0.0.1:1/a:1", "f").await;
        for (name, tag, error) in [
            ("b", "", "An image does not exist locally with the tag: b"),
            ("127.0.0.1:1/a", "2", "tag does not exist: 127.0.0.1:1/a:2"),
        ] {
            assert_eq!(said(name, tag).await, error);
        }
        assert_eq!(
            bench.images.push("Bad", "", None).await.unwrap_err().status,
            400
        );
    });
}

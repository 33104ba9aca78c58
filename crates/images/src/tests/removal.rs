//! What `docker rmi` and `docker image prune` take and leave.

use super::*;

// No name here can be read as the beginning of an id, which are different after each import.
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
fn unnamed_parents_hide_and_go_with_their_last_child() {
    run(async {
        let bench = Bench::new();
        let base = bench.import("base", "f").await;
        let upper = bench.directory.path().join("upper");
        std::fs::create_dir(&upper).unwrap();
        let made = |repository: &str| CommitOptions {
            parent: base.clone(),
            repository: repository.to_owned(),
            comment: repository.to_owned(),
            ..CommitOptions::default()
        };
        for child in ["made", "other"] {
            bench.images.commit(made(child), &upper).await.unwrap();
        }
        let untagged = bench.images.remove("base", false).await.unwrap();
        assert_eq!(untagged.len(), 1, "children keep it");
        let listed = |all| {
            let options = ImageListOptions {
                all,
                ..ImageListOptions::default()
            };
            bench.images.list(&options).unwrap().len()
        };
        assert_eq!((listed(false), listed(true)), (2, 3));
        bench.images.remove("made", false).await.unwrap();
        assert_eq!(listed(true), 2, "the other child needs it");
        bench.images.remove_only("other", false).await.unwrap();
        assert_eq!(listed(true), 1);
        bench.images.commit(made("again"), &upper).await.unwrap();
        bench.images.remove("again", false).await.unwrap();
        assert_eq!(listed(true), 0);
    });
}

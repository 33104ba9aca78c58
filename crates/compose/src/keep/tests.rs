//! Containers of an earlier start, compared with what their service asks for now.

use config::service::HASH;
use engine_api::ContainerConfig;

use super::*;

const VOLUME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn step(definition: &str) -> Step {
    let text = format!("rancher: {{services: {{a: {definition}}}}}");
    let source = config::Source {
        name: "t.yml",
        text: &text,
    };
    let loaded = config::load(&[source], &config::CommandLine::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let rancher = &loaded.config.rancher;
    let plan = crate::plan(&rancher.services, rancher);
    plan.steps.into_iter().next().expect("a step")
}

/// The container that an engine makes of a step, of an image with this id.
fn made(step: &Step, image: &str) -> ContainerInspect {
    ContainerInspect {
        id: "made".to_owned(),
        image: image.to_owned(),
        config: step.request.config.clone(),
        host_config: step.request.host_config.clone(),
        ..ContainerInspect::default()
    }
}

fn image(id: &str, volumes: &[&str]) -> Option<ImageInspect> {
    let volumes = volumes
        .iter()
        .map(|path| ((*path).to_owned(), serde_json::json!({})))
        .collect();
    Some(ImageInspect {
        id: id.to_owned(),
        config: Some(ContainerConfig {
            volumes,
            ..ContainerConfig::default()
        }),
        ..ImageInspect::default()
    })
}

fn found(id: &str) -> Found {
    Found {
        image: image(id, &[]),
        ..Found::default()
    }
}

fn mount(name: &str, destination: &str) -> MountPoint {
    MountPoint {
        typ: "volume".to_owned(),
        name: name.to_owned(),
        source: format!("/volumes/{name}"),
        destination: destination.to_owned(),
        rw: true,
        ..MountPoint::default()
    }
}

#[test]
fn a_container_is_kept_as_long_as_its_definition_and_its_image_are_the_same() {
    let service = |rebuild: &str| {
        step(&format!(
            "{{image: x, labels: {{io.docker.compose.rebuild: {rebuild}}}}}"
        ))
    };
    for (rebuild, hash, id, want) in [
        ("maybe", true, "1", true),
        ("maybe", false, "1", false),
        ("maybe", true, "2", false),
        ("always", true, "1", false),
        ("\"false\"", false, "2", true),
    ] {
        let step = service(rebuild);
        let mut existing = made(&step, "1");
        if !hash {
            let labels = &mut existing.config.labels;
            labels.insert(HASH.to_owned(), "other".to_owned());
        }
        let current = step.is_current(&existing, &found(id));
        assert_eq!(current, want, "{rebuild} {hash} {id}");
    }
    // What cannot be compared has not changed.
    let step = service("maybe");
    assert!(step.is_current(&made(&step, "1"), &Found::default()));
}

#[test]
fn a_container_that_shares_with_one_that_was_replaced_is_replaced_too() {
    let step = step("{image: x, net: 'container:db', volumes_from: ['db:ro', gone]}");
    assert_eq!(step.shares(), BTreeSet::from(["db", "gone"]));
    let mut existing = made(&step, "1");
    existing.host_config.network_mode = "container:old".to_owned();
    existing.mounts = vec![mount(VOLUME, "/data")];
    let with = |id: &str, volume: &str| {
        let db = ContainerInspect {
            id: id.to_owned(),
            mounts: vec![mount(volume, "/data")],
            ..ContainerInspect::default()
        };
        Found {
            shared: BTreeMap::from([("db".to_owned(), db)]),
            ..found("1")
        }
    };
    assert!(step.is_current(&existing, &with("old", VOLUME)));
    assert!(!step.is_current(&existing, &with("new", VOLUME)));
    assert!(!step.is_current(&existing, &with("old", OTHER)));
}

#[test]
fn anonymous_volumes_are_taken_over_where_the_new_container_has_the_same_path() {
    let step = step("{image: x, volumes: [/own, '/host:/bound', 'named:/named']}");
    let mut existing = made(&step, "1");
    existing.mounts = vec![
        mount(VOLUME, "/own"),
        mount(OTHER, "/data"),
        mount("named", "/named"),
        mount(VOLUME, "/bound"),
        mount(VOLUME, "/gone"),
    ];
    let found = Found {
        image: image("2", &["/data", "/new"]),
        ..Found::default()
    };
    let replacement = step.replacement(&existing, &found);
    assert_eq!(
        replacement.request.host_config.binds,
        [
            "/host:/bound".to_owned(),
            "named:/named".to_owned(),
            format!("{VOLUME}:/own"),
            format!("{OTHER}:/data"),
        ]
    );
    assert_eq!(
        replacement.left,
        [format!("{VOLUME} at /bound"), format!("{VOLUME} at /gone")]
    );
    // It is the same definition: the next start keeps it.
    assert!(step.has_hash(&replacement.request.config.labels));
}

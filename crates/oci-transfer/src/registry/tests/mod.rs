//! Pull and push against a registry in this process that behaves, and misbehaves, as real ones do.

mod authorities;
mod client;
mod files;
mod reach;
pub(in crate::registry) mod server;

use std::fs;

use super::*;
use client::{Client, publish, size_of_large};
use oci_image::digest::Digest;
use server::{Fault, Registry, Settings};

#[test]
fn pulls_through_an_index_and_knows_what_it_has() {
    let registry = Registry::start(Settings::default());
    let sample = publish(&registry);
    let mut client = Client::new();
    let pulled = client.pull(&format!("{}/a/b", registry.address)).unwrap();
    assert_eq!(
        (pulled.id, pulled.digest, pulled.layers),
        (
            sample.id.clone(),
            sample.index.clone(),
            sample.diff_ids.clone()
        )
    );
    assert_eq!(size_of_large(&client.layers, &sample), 600_000);
    assert_eq!(client.statuses("Pull complete"), 2);
    let info = client.layers.store.layer_info(&sample.diff_ids[1]).unwrap();
    assert_eq!(info.compressed[0].digest, sample.large);
    let again = client
        .pull(&format!("{}/a/b@{}", registry.address, sample.index))
        .unwrap();
    assert_eq!(again.id, sample.id);
    assert_eq!(client.statuses("Already exists"), 0);
    client.layers.store.remove_blob(&sample.id).unwrap();
    client.pull(&format!("{}/a/b", registry.address)).unwrap();
    assert_eq!(client.statuses("Already exists"), 2);
    // A tag whose digest is known: nothing is fetched
    client.known.insert(sample.index.clone(), sample.id.clone());
    let fetched = || {
        let requests = registry.requests();
        requests
            .iter()
            .filter(|line| line.starts_with("GET /v2/a/b/"))
            .count()
    };
    let before = fetched();
    let known = client.pull(&format!("{}/a/b", registry.address)).unwrap();
    assert_eq!((known.id, known.digest), (sample.id, sample.index));
    assert_eq!(fetched(), before);
    assert!(client.work_is_empty());
}

#[test]
fn tokens_are_fetched_with_scope_and_credentials() {
    let registry = Registry::start(Settings {
        token: true,
        user: Some(("user", "pass word")),
        ..Settings::default()
    });
    publish(&registry);
    let mut client = Client::new();
    let name = format!("{}/a/b", registry.address);
    let denied = client.pull(&name).unwrap_err();
    assert_eq!(denied.status(), 404);
    assert!(
        denied
            .to_string()
            .starts_with(&format!("pull access denied for {name}")),
        "{denied}"
    );
    client.credentials = Credentials {
        username: "user".to_owned(),
        password: "pass word".to_owned(),
        ..Credentials::default()
    };
    client.pull(&name).unwrap();
    assert!(
        registry
            .requests()
            .iter()
            .any(|line| line.contains("scope=repository%3Aa%2Fb%3Apull"))
    );
    login(&registry.address, &client.credentials, &client.options).unwrap();
    client.credentials.password = "wrong".to_owned();
    assert!(matches!(
        login(&registry.address, &client.credentials, &client.options),
        Err(Error::Denied(_))
    ));
}

#[test]
fn basic_credentials_work_and_do_not_follow_redirects() {
    let other = Registry::start(Settings::default());
    let sample = publish(&other);
    let settings = Settings {
        user: Some(("user", "pass")),
        redirect_blobs: Some(other.address.clone()),
        ..Settings::default()
    };
    let registry = Registry::start(settings);
    publish(&registry);
    let mut client = Client::new();
    let name = format!("{}/a/b", registry.address);
    let error = client.pull(&name).unwrap_err();
    let asked = format!("http://{}/v2/a/b/manifests/latest", registry.address);
    assert_eq!(
        error.to_string(),
        format!("Head \"{asked}\": no basic auth credentials")
    );
    client.credentials = Credentials {
        username: "user".to_owned(),
        password: "wrong".to_owned(),
        ..Credentials::default()
    };
    let error = login(&registry.address, &client.credentials, &client.options).unwrap_err();
    let attempt = format!("login attempt to http://{}/v2/", registry.address);
    assert_eq!(
        error.to_string(),
        format!("{attempt} failed with status: 401 Unauthorized")
    );
    client.credentials.password = "pass".to_owned();
    client.pull(&name).unwrap();
    assert_eq!(size_of_large(&client.layers, &sample), 600_000);
    assert!(
        !other
            .requests()
            .iter()
            .any(|line| line.contains("authorization")),
        "another host saw the credentials"
    );
}

#[test]
fn broken_downloads_go_on_where_they_stopped() {
    for fault in [
        Fault::CutOff,
        Fault::Stall,
        Fault::Unavailable,
        Fault::CutOffWithoutRanges,
    ] {
        let registry = Registry::start(Settings::default());
        let sample = publish(&registry);
        registry
            .content()
            .faults
            .insert(sample.large.to_string(), (fault, 2));
        let client = Client::new();
        client
            .pull(&format!("{}/a/b", registry.address))
            .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(size_of_large(&client.layers, &sample), 600_000, "{fault:?}");
        let ranges = registry
            .requests()
            .iter()
            .filter(|line| line.contains("range: bytes="))
            .count();
        assert!(
            ranges > 0 || fault == Fault::Unavailable,
            "{fault:?} was not resumed"
        );
    }
}

#[test]
fn content_that_lies_is_refused_and_leaves_nothing() {
    for fault in [Fault::WrongBytes, Fault::CutOff, Fault::Missing] {
        let registry = Registry::start(Settings::default());
        let sample = publish(&registry);
        registry
            .content()
            .faults
            .insert(sample.large.to_string(), (fault, usize::MAX));
        let client = Client::new();
        let error = client
            .pull(&format!("{}/a/b", registry.address))
            .unwrap_err();
        if fault == Fault::WrongBytes {
            assert!(error.to_string().contains("verification failed"), "{error}");
        }
        assert!(!client.layers.has(&sample.diff_ids[1]), "{fault:?}");
        assert!(client.work_is_empty(), "{fault:?} leaves work behind");
        assert!(
            client.layers.store.read_blob(&sample.id).is_err(),
            "{fault:?}"
        );
    }
}

#[test]
fn a_manifest_must_have_its_digest() {
    let registry = Registry::start(Settings::default());
    let sample = publish(&registry);
    let lie = Digest::sha256(b"something else");
    let index = registry.content().manifests["latest"].clone();
    registry.content().manifests.insert(lie.to_string(), index);
    let client = Client::new();
    let error = client
        .pull(&format!("{}/a/b@{lie}", registry.address))
        .unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    assert!(!client.layers.has(&sample.diff_ids[0]));
}

#[test]
fn missing_images_are_told_in_dockers_words() {
    let registry = Registry::start(Settings::default());
    publish(&registry);
    let client = Client::new();
    let name = format!("{}/a/b:nope", registry.address);
    let error = client.pull(&name).unwrap_err();
    assert_eq!(error.status(), 404);
    assert!(
        error.to_string()
            == format!("manifest for {name} not found: manifest unknown: manifest unknown"),
        "{error}"
    );
    let platform = Platform::parse("linux/riscv64").unwrap();
    let reference = Reference::parse(&format!("{}/a/b:latest", registry.address)).unwrap();
    let error = client.with(|transfer| {
        let transfer = Transfer {
            platform: Some(&platform),
            options: transfer.options,
            credentials: transfer.credentials,
            known: transfer.known,
            report: transfer.report,
        };
        pull(&reference, &client.layers, &transfer).unwrap_err()
    });
    assert_eq!(
        error.to_string(),
        "no matching manifest for linux/riscv64 in the manifest list entries"
    );
}

#[test]
fn mirrors_serve_docker_io_and_a_broken_one_is_passed_over() {
    let (broken, good) = (
        Registry::start(Settings::default()),
        Registry::start(Settings::default()),
    );
    let sample = publish(&good);
    good.content().prefix = Some("library/busybox".to_owned());
    let mut client = Client::new();
    let mirrors = vec![
        format!("http://{}", broken.address),
        format!("http://{}/", good.address),
    ];
    client.options.mirrors = [("docker.io".to_owned(), mirrors)].into();
    let pulled = client.pull("busybox").unwrap();
    assert_eq!(pulled.id, sample.id);
    assert!(
        !broken.requests().is_empty(),
        "the first mirror was not asked"
    );
}

#[test]
fn any_registry_has_mirrors_and_one_that_lacks_the_image_is_passed_over() {
    let (origin, mirror) = (
        Registry::start(Settings::default()),
        Registry::start(Settings::default()),
    );
    let sample = publish(&mirror);
    let mut client = Client::new();
    let domain = origin.address.to_string();
    client.options.mirrors = [(domain.clone(), vec![format!("http://{}", mirror.address)])].into();
    let pulled = client.pull(&format!("{domain}/a/b")).unwrap();
    assert_eq!(pulled.id, sample.id);
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    // The mirror has nothing, and the registry itself has it.
    let empty = Registry::start(Settings::default());
    let sample = publish(&origin);
    let mut client = Client::new();
    client.options.mirrors = [(domain.clone(), vec![format!("http://{}", empty.address)])].into();
    assert_eq!(client.pull(&format!("{domain}/a/b")).unwrap().id, sample.id);
    assert!(!empty.requests().is_empty());
}

#[test]
fn pushed_images_can_be_pulled() {
    let (source, target) = (
        Registry::start(Settings::default()),
        Registry::start(Settings {
            token: true,
            ..Settings::default()
        }),
    );
    let sample = publish(&source);
    let client = Client::new();
    client.pull(&format!("{}/a/b", source.address)).unwrap();
    let reference = Reference::parse(&format!("{}/c/d:2", target.address)).unwrap();
    let image = PushImage {
        reference: reference.clone(),
        config: client.layers.store.read_blob(&sample.id).unwrap(),
    };
    let pushed = client
        .with(|transfer| push(&image, &client.layers, transfer))
        .unwrap();
    assert_eq!(client.statuses("Pushed"), 2);
    let again = client
        .with(|transfer| push(&image, &client.layers, transfer))
        .unwrap();
    assert_eq!(again, pushed);
    assert_eq!(client.statuses("Layer already exists"), 2);
    assert!(client.work_is_empty());
    let other = Client::new();
    let pulled = other.pull(&reference.to_string()).unwrap();
    assert_eq!(
        (pulled.id, pulled.digest),
        (sample.id.clone(), pushed.digest)
    );
    assert_eq!(size_of_large(&other.layers, &sample), 600_000);
}

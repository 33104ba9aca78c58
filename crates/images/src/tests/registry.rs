//! Pulls from a registry that has one image, which is for another platform.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use oci_image::Digest;

use super::*;

/// Documents by their paths, and the media type of each.
type Documents = Vec<(String, &'static str, Vec<u8>)>;

/// The image `a:1` of one layer for linux/s390x, not in an index of several platforms.
fn foreign_image() -> Documents {
    let mut tar = TarWriter::new(Vec::new());
    tar.append_bytes("f", b"content").unwrap();
    let layer = tar.finish().unwrap();
    let config = serde_json::json!({
        "architecture": "s390x", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&layer).to_string()]},
    });
    let config = config.to_string().into_bytes();
    let part = |kind: &str, bytes: &[u8]| {
        let digest = Digest::sha256(bytes).to_string();
        serde_json::json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    };
    let manifest_kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": manifest_kind,
        "config": part("application/vnd.oci.image.config.v1+json", &config),
        "layers": [part("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let blob = |bytes: Vec<u8>| {
        let path = format!("/v2/a/blobs/{}", Digest::sha256(&bytes));
        (path, "application/octet-stream", bytes)
    };
    let by_digest = format!("/v2/a/manifests/{}", Digest::sha256(&manifest));
    vec![
        ("/v2/".to_owned(), "application/json", b"{}".to_vec()),
        (
            "/v2/a/manifests/1".to_owned(),
            manifest_kind,
            manifest.clone(),
        ),
        (by_digest, manifest_kind, manifest),
        blob(config),
        blob(layer),
    ]
}

/// Answers with these as long as the test runs; its address.
fn serve(documents: Documents) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            // TLS is tried first, and is not text.
            let Some(Ok(first)) = lines.next() else {
                continue;
            };
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let path = first.split(' ').nth(1).unwrap();
            let found = documents.iter().find(|(known, ..)| known == path);
            let (status, kind, bytes) = match found {
                Some((_, kind, bytes)) => ("200 OK", *kind, bytes.as_slice()),
                None => ("404 Not Found", "text/plain", &b""[..]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            client.write_all(head.as_bytes()).unwrap();
            if !first.starts_with("HEAD ") {
                client.write_all(bytes).unwrap();
            }
        }
    });
    address
}

/// The image is kept, and the stream ends with Docker's error.
#[test]
fn a_pull_of_another_platform_than_asked_for_says_so_at_its_end() {
    run(async {
        let bench = Bench::new();
        let name = format!("{}/a", serve(foreign_image()));
        let pull = async |platform: Option<&str>| {
            let progress = bench.images.pull(&name, "1", platform, None).await.unwrap();
            last(progress).await.map(drop)
        };
        let words = |wanted: &str| {
            format!(
                "image with reference {name}:1 was found but does not match the specified platform: wanted {wanted}, actual: linux/s390x"
            )
        };
        assert_eq!(pull(Some("linux/arm64")).await, Err(words("linux/arm64")));
        assert!(bench.images.resolve(&format!("{name}:1")).is_ok());
        // The second time nothing is fetched, and the answer is the same.
        assert_eq!(pull(Some("linux/arm64")).await, Err(words("linux/arm64")));
        assert_eq!(pull(Some("linux/s390x")).await, Ok(()));
        assert_eq!(pull(None).await, Ok(()));
    });
}

//! How registries are reached: without TLS, with private authorities, or not at all.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use super::super::*;
use super::client::Client;

#[test]
fn insecure_networks_are_recognised() {
    let options = RegistryOptions {
        insecure: vec![
            "10.0.0.0/8".to_owned(),
            "reg.example:5000".to_owned(),
            "fd00::/8".to_owned(),
        ],
        ..RegistryOptions::default()
    };
    for (authority, expected) in [
        ("10.1.2.3:5000", true),
        ("11.1.2.3:5000", false),
        ("reg.example:5000", true),
        ("reg.example", false),
        ("127.0.0.1:5000", true),
        ("[::1]:5000", true),
        ("[fd00::1]:5000", true),
        ("[fe80::1]", false),
        ("localhost:1", true),
        ("example.org", false),
    ] {
        assert_eq!(options.is_insecure(authority), expected, "{authority}");
    }
}

#[test]
fn private_authorities_are_read_from_their_directory() {
    // a file that is not a certificate must be reported, not skipped: the registry would look unreachable
    let directory = tempfile::tempdir().unwrap();
    let host = directory.path().join("registry.invalid:5000");
    fs::create_dir_all(&host).unwrap();
    fs::write(
        host.join("ca.crt"),
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let mut client = Client::new();
    client.options.certificates = Path::new(directory.path()).to_owned();
    client.options.retries = 0;
    let error = client.pull("registry.invalid:5000/x").unwrap_err();
    assert!(error.to_string().contains("ca.crt"), "{error}");
}

#[test]
fn where_nobody_listens_is_not_asked_again() {
    // A port that was free a moment ago; with retries this test would not end.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut client = Client::new();
    client.options.retries = u32::MAX;
    let words = format!("dial tcp {address}: connect: connection refused");
    let pull = client.pull(&format!("{address}/x")).unwrap_err();
    assert!(matches!(pull, Error::Unreachable(_)), "{pull}");
    assert!(pull.to_string().ends_with(&words), "{pull}");
    let login = login(&address, &client.credentials, &client.options).unwrap_err();
    assert!(login.to_string().ends_with(&words), "{login}");
}

#[test]
fn a_registry_without_tls_is_told_as_docker_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream
            .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nno TLS here")
            .unwrap();
    });
    let endpoint = Endpoint {
        base,
        insecure: false,
        mirror: false,
    };
    let options = RegistryOptions {
        retries: 0,
        ..RegistryOptions::default()
    };
    let http = Http::connect(&endpoint, &options, Credentials::default(), String::new()).unwrap();
    let error = http.get("/v2/", &[]).unwrap_err();
    server.join().unwrap();
    // Only what Transport carries is tried again.
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    let words = "http: server gave HTTP response to HTTPS client";
    assert!(error.to_string().ends_with(words), "{error}");
}

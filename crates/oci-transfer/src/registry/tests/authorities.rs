//! Who is trusted: a registry on 127.0.0.1 whose certificate the authority `one` has signed. The files were made by openssl(1), for a
//! hundred years.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::registry::http::Http;
use crate::registry::{Credentials, Endpoint, RegistryOptions};

const ONE: &str = include_str!("authorities/one.crt");
const TWO: &str = include_str!("authorities/two.crt");
const CERTIFICATE: &[u8] = include_bytes!("authorities/registry.crt");
const KEY: &[u8] = include_bytes!("authorities/registry.key");

/// Starts a registry that answers everybody who trusts it; returns its address.
fn registry() -> String {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            // A client that does not trust it leaves.
            if stream.read(&mut [0; 4096]).is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    address
}

#[test]
fn a_machines_own_authorities_count_for_every_registry() {
    let address = registry();
    let ask = |authorities: &[&str], only: bool, of_host: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = of_host {
            let host = folder.path().join(&address);
            std::fs::create_dir_all(&host).unwrap();
            std::fs::write(host.join("ca.crt"), text).unwrap();
        }
        let options = RegistryOptions {
            certificates: folder.path().to_owned(),
            authorities: authorities.iter().map(|text| (*text).to_owned()).collect(),
            only_authorities: only,
            retries: 0,
            ..RegistryOptions::default()
        };
        let endpoint = Endpoint {
            base: format!("https://{address}"),
            insecure: false,
            mirror: false,
        };
        let http = Http::connect(&endpoint, &options, Credentials::default(), String::new());
        let answer = http.unwrap().get("/v2/", &[]);
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| error.to_string())
    };
    for only in [false, true] {
        assert_eq!(ask(&[ONE], only, None), Ok(200));
        assert_eq!(ask(&[TWO, ONE], only, None), Ok(200));
        assert_eq!(ask(&[TWO], only, Some(ONE)), Ok(200));
        let error = ask(&[TWO], only, None).unwrap_err();
        assert!(
            error.ends_with("x509: certificate signed by unknown authority"),
            "{error}"
        );
    }
    assert_eq!(ask(&[], false, Some(ONE)), Ok(200));
    assert!(ask(&[], false, None).is_err());
    let bad = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    assert_eq!(ask(&[bad, ONE], false, None), Ok(200));
}

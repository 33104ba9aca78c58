//! Keys that are taken, keys that are refused, and that a signature belongs to one key and one message.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm};

use super::*;

fn pem(algorithm: &'static SignatureAlgorithm) -> String {
    KeyPair::generate_for(algorithm).unwrap().serialize_pem()
}

fn key(text: &str) -> Key {
    Key {
        path: PathBuf::from("key"),
        key: parse(text, None).unwrap(),
    }
}

fn refusal(text: &str, password: Option<&str>) -> String {
    match parse(text, password.map(str::to_owned)) {
        Ok(_) => "taken".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_signature_is_of_one_key_over_one_message() {
    let keys = [(); 2].map(|()| key(&pem(&PKCS_ECDSA_P256_SHA256)));
    let signature = keys[0].sign(b"payload").unwrap();
    assert!(keys[0].has_signed(b"payload", &signature));
    assert!(!keys[0].has_signed(b"payloaD", &signature));
    assert!(!keys[1].has_signed(b"payload", &signature));
    assert!(!keys[0].has_signed(b"payload", b"signature"));
}

#[test]
fn keys_that_cosign_does_not_take_are_refused() {
    let wrong = pem(&PKCS_ECDSA_P384_SHA384);
    assert_eq!(refusal(&wrong, None), "not an ECDSA key on P-256");
    let sealed =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(refusal(sealed, Some("x")).contains("openssl pkey"));
    assert!(refusal("nothing", None).contains("no private key in PEM"));
}

#[test]
fn cosigns_own_key_opens_with_its_password_alone() {
    assert!(refusal(COSIGN_KEY, None).contains("COSIGN_PASSWORD"));
    assert_eq!(refusal(COSIGN_KEY, Some("other")), "wrong password");
    let opened = parse(COSIGN_KEY, Some("rancher".to_owned())).unwrap();
    let public = opened.public_key().unwrap();
    let text = COSIGN_PUBLIC.lines().filter(|line| !line.starts_with('-'));
    let known = STANDARD.decode(text.collect::<String>()).unwrap();
    assert_eq!(public.as_ref(), known);
}

/// Made by `cosign generate-key-pair` 2.5.0 for this test; its password is `rancher`.
const COSIGN_KEY: &str = include_str!("cosign.key");
const COSIGN_PUBLIC: &str = include_str!("cosign.pub");

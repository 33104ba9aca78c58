//! Signatures in cosign's form, as a registry has them; openssl makes the keys and verifies.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duct::cmd;

use super::*;
use crate::os_image::cosign::{Key, tag};

/// A new key and its public half.
fn key(folder: &Path, name: &str) -> (Key, PathBuf) {
    let (secret, public) = (folder.join(name), folder.join(format!("{name}.pub")));
    let curve = "ec_paramgen_curve:P-256";
    cmd!(
        "openssl",
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        curve,
        "-out",
        &secret
    )
    .stderr_null()
    .run()
    .unwrap();
    cmd!(
        "openssl", "pkey", "-in", &secret, "-pubout", "-out", &public
    )
    .run()
    .unwrap();
    (Key::read(&secret).unwrap(), public)
}

/// How many signatures over a digest `public` has made; each one that it has not made must be of another key.
fn signatures(registry: &Registry, digest: &str, public: &Path) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (payload, signature) = (folder.path().join("payload"), folder.path().join("sig"));
    let name = tag(&digest.parse().unwrap());
    let path = format!("/v2/team/os/manifests/{name}");
    let artifact = registry.document(&path, OCI_MANIFEST);
    let config: Value = serde_json::from_slice(&registry.blob(&artifact["config"])).unwrap();
    let layers = artifact["layers"].as_array().unwrap();
    let mut made = 0;
    for (number, layer) in layers.iter().enumerate() {
        assert_eq!(
            layer["mediaType"],
            "application/vnd.dev.cosign.simplesigning.v1+json"
        );
        assert_eq!(config["rootfs"]["diff_ids"][number], layer["digest"]);
        let bytes = registry.blob(layer);
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let named = &document["critical"];
        assert_eq!(named["image"]["docker-manifest-digest"], digest);
        let name = format!("{}/team/os", registry.address);
        assert_eq!(named["identity"]["docker-reference"], name);
        fs::write(&payload, bytes).unwrap();
        let text = &layer["annotations"]["dev.cosignproject.cosign/signature"];
        fs::write(&signature, STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap();
        let verified = cmd!(
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            public,
            "-signature",
            &signature,
            &payload
        );
        let verified = verified.stdout_null().stderr_null().unchecked().run();
        made += usize::from(verified.unwrap().status.success());
    }
    made
}

/// What the tag names: the index's digest, and each architecture's.
fn pushed(registry: &Registry) -> (String, BTreeMap<String, String>) {
    let index = registry.get("/v2/team/os/manifests/v1.0", OCI_INDEX);
    let document: Value = serde_json::from_slice(&index).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = document["manifests"].as_array().unwrap().iter();
    let entries = entries.map(|it| (text(&it["platform"]["architecture"]), text(&it["digest"])));
    (Digest::sha256(&index).to_string(), entries.collect())
}

#[test]
#[ignore = "needs openssl, and docker-registry, which `cargo xtask qemu-test` puts into dist"]
fn a_registry_has_signatures_of_the_index_and_of_each_architecture() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().unwrap();
    let minisign = folder.path().join("minisign");
    sign::new_key(&minisign).unwrap();
    let [amd64, arm64] = ["amd64", "arm64"].map(|arch| version(arch, &minisign));
    let reference = Reference::parse(&format!("{}/team/os:v1.0", registry.address)).unwrap();
    let (one, one_public) = key(folder.path(), "one");
    let (other, other_public) = key(folder.path(), "other");

    push(&amd64, &reference, std::slice::from_ref(&one)).unwrap();
    let (index, entries) = pushed(&registry);
    for digest in [&index, &entries["amd64"]] {
        assert_eq!(signatures(&registry, digest, &one_public), 1);
        assert_eq!(signatures(&registry, digest, &other_public), 0);
    }
    // What the registry has under the tag is not signed because it is there
    let refused = push(&arm64, &reference, std::slice::from_ref(&other)).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains(&entries["amd64"]), "{refused}");
    assert_eq!(pushed(&registry).0, index);

    // A second key's signature joins the first's, and the second push of the first key changes nothing
    let keys = [one, other];
    push(&amd64, &reference, &keys).unwrap();
    push(&amd64, &reference, &keys).unwrap();
    push(&arm64, &reference, &keys[1..]).unwrap();
    let (index, entries) = pushed(&registry);
    let made = |digest: &str| {
        [&one_public, &other_public].map(|public| signatures(&registry, digest, public))
    };
    assert_eq!(made(&entries["amd64"]), [1, 1]);
    assert_eq!(made(&entries["arm64"]), [0, 1]);
    assert_eq!(made(&index), [0, 1]);
}

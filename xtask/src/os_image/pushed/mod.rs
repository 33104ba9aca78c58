//! What a registry has after `cargo xtask os-image --push`: asked by HTTP alone, of Docker's own registry.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use oci_image::digest::Digest;
use oci_image::manifest::{OCI_INDEX, OCI_MANIFEST};
use serde_json::Value;

use super::*;

mod signed;

const EPOCH: u64 = 1_767_225_600;
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A registry that ends with this.
struct Registry {
    process: duct::Handle,
    address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap().to_string();
        drop(port);
        let (data, log) = (folder.path().join("data"), folder.path().join("log"));
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let clients = format!("../dist/clients-{}", std::env::consts::ARCH);
        let packed = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(clients)
            .join("docker-registry");
        // It lies there as it was packed, and is not executable. Another process writes it: one that this has open is busy (ETXTBSY).
        let program = folder.path().join("docker-registry");
        duct::cmd!("install", "-m", "755", &packed, &program)
            .run()
            .unwrap_or_else(|error| panic!("{}: {error}", packed.display()));
        let process = duct::cmd!(&program, "serve", &config)
            .stdin_null()
            .stdout_null()
            .stderr_path(&log)
            .unchecked()
            .start()
            .unwrap();
        let registry = Self {
            process,
            address,
            _folder: folder,
        };
        let end = Instant::now() + START_DEADLINE;
        while TcpStream::connect(&registry.address).is_err() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < end, "the registry does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// The body of what is at `path`.
    fn get(&self, path: &str, accept: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = &self.address;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(head.contains(" 200 "), "{path}: {head}");
        answer.split_off(end + 4)
    }

    fn document(&self, path: &str, accept: &str) -> Value {
        serde_json::from_slice(&self.get(path, accept)).unwrap()
    }

    fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let blob = self.get(&format!("/v2/team/os/blobs/{digest}"), "*/*");
        assert_eq!(Digest::sha256(&blob).to_string(), digest);
        blob
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself
        let _ = self.process.kill();
    }
}

/// A signed version of one architecture.
fn version(arch: &str, key: &Path) -> Image {
    let manifest = format!("{{\"arch\": \"{arch}\"}}").into_bytes();
    let signature = sign::sign(&manifest, "1.0", &[key.to_owned()]).unwrap();
    let layer = |path: &str, bytes: &[u8]| Layer::bytes(path, bytes.to_vec(), EPOCH).unwrap();
    let layers = vec![
        layer(image::PROGRAM, b"ros"),
        layer("dist/rancheros/layers/shared.squashfs", &[7; 100_000]),
        layer(image::MANIFEST, &manifest),
        layer(image::SIGNATURE, signature.as_bytes()),
    ];
    Image::new(arch, "1.0", EPOCH, layers).unwrap()
}

#[test]
#[ignore = "needs docker-registry, which `cargo xtask qemu-test` puts into dist"]
fn a_registry_has_every_architecture_that_was_pushed_and_its_signature() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    sign::new_key(&key).unwrap();
    let reference = Reference::parse(&format!("{}/team/os:v1.0", registry.address)).unwrap();
    let tag = "/v2/team/os/manifests/v1.0";
    let images = ["amd64", "arm64"].map(|arch| version(arch, &key));
    push(&images[0], &reference, &[]).unwrap();
    let index = registry.document(tag, OCI_INDEX);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");
    for image in &images {
        push(image, &reference, &[]).unwrap();
    }
    let index = registry.get(tag, OCI_INDEX);
    // A second push changes nothing
    push(&images[0], &reference, &[]).unwrap();
    assert_eq!(registry.get(tag, OCI_INDEX), index);

    let index: Value = serde_json::from_slice(&index).unwrap();
    let text = fs::read_to_string(format!("{}.pub", key.display())).unwrap();
    let public = minisign_verify::PublicKey::decode(&text).unwrap();
    let mut found = Vec::new();
    for entry in index["manifests"].as_array().unwrap() {
        let digest = entry["digest"].as_str().unwrap();
        let manifest = registry.document(&format!("/v2/team/os/manifests/{digest}"), OCI_MANIFEST);
        let config: Value = serde_json::from_slice(&registry.blob(&manifest["config"])).unwrap();
        let arch = entry["platform"]["architecture"].as_str().unwrap();
        assert_eq!(config["architecture"], arch);
        let file = |path: &str| {
            let mut steps = config["history"].as_array().unwrap().iter();
            let at = steps
                .position(|step| step["created_by"] == image::history(path))
                .unwrap();
            let layer = registry.blob(&manifest["layers"][at]);
            let mut archive = tar::Archive::new(&layer[..]);
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            content
        };
        let signature = String::from_utf8(file(image::SIGNATURE)).unwrap();
        let signature = minisign_verify::Signature::decode(signature.trim_end()).unwrap();
        let signed = file(image::MANIFEST);
        public.verify(&signed, &signature, false).unwrap();
        assert!(String::from_utf8(signed).unwrap().contains(arch));
        found.push(arch.to_owned());
    }
    assert_eq!(found, ["amd64", "arm64"]);
}

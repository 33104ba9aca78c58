//! Images of boot media.

use oci_image::media::{MediaImage, MediaIndex, MediaLayer};

use super::*;

fn medium(directory: &Path, damage: &str) -> MediaIndex {
    let image = |name: &str| {
        let mut config = ImageConfig::default();
        let diff_id = Digest::sha256(name.as_bytes());
        config.rootfs.diff_ids.push(diff_id.clone());
        let config = String::from_utf8(config.to_bytes()).unwrap();
        let file = format!("{}.squashfs", diff_id.hex());
        let content = if name == damage {
            b"not a squashfs"
        } else {
            b"hsqs and more."
        };
        std::fs::write(directory.join(&file), content).unwrap();
        MediaImage {
            references: vec![format!("rancher/{name}:1")],
            manifest_digest: Digest::sha256(config.as_bytes()),
            config_digest: Digest::sha256(config.as_bytes()),
            config,
            layers: vec![MediaLayer {
                diff_id,
                file,
                size: 14,
                read_ahead: Vec::new(),
            }],
        }
    };
    MediaIndex {
        version: "1".to_owned(),
        images: vec![image("os-a"), image("os-b")],
    }
}

#[test]
fn a_damaged_layer_of_a_medium_costs_one_image() {
    run(async {
        let bench = Bench::new();
        let media = bench.directory.path().join("media");
        std::fs::create_dir(&media).unwrap();
        let index = medium(&media, "os-b");
        std::fs::write(media.join("images.json"), index.to_bytes().unwrap()).unwrap();
        let errors = bench.images.add_media(&media);
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].message.contains("rancher/os-b:1")
                && errors[0].message.contains("not a squashfs"),
            "{}",
            errors[0]
        );
        assert!(bench.images.exists("rancher/os-a:1") && !bench.images.exists("rancher/os-b:1"));
        let error = bench
            .images
            .remove(&index.images[0].config_digest.to_string(), false)
            .await
            .unwrap_err();
        assert_eq!(
            error.status, 409,
            "images of the system are not removed by accident"
        );
        assert!(
            bench
                .images
                .prune(&Filters::default().with("dangling", "false"))
                .await
                .unwrap()
                .images_deleted
                .is_none()
        );
        assert_eq!(bench.images.add_media(Path::new("/nonexistent")).len(), 1);
    });
}

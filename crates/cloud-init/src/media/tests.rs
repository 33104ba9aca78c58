//! Media: what names them, and what is read of them.

use super::*;

#[test]
fn labels_name_the_format() {
    assert_eq!(Format::of_label("config-2"), Some(Format::ConfigDrive));
    assert_eq!(Format::of_label("CONFIG-2"), Some(Format::ConfigDrive));
    assert_eq!(Format::of_label("CIDATA"), Some(Format::NoCloud));
    assert_eq!(Format::of_label("RANCHER_STATE"), None);
}

#[test]
fn several_media_of_one_format_are_said_and_a_disk_with_its_partition_is_one() {
    let media = |device: &str, format| Media {
        device: device.into(),
        file_system: "iso9660",
        format,
    };
    let found = without_parts(vec![
        (media("/dev/sr0", Format::NoCloud), None),
        (media("/dev/vdb", Format::ConfigDrive), None),
        (
            media("/dev/vdb1", Format::ConfigDrive),
            Some("/dev/vdb".into()),
        ),
    ]);
    let (first, said) = choose(&found, Format::ConfigDrive).unwrap();
    assert_eq!(
        (first.device.as_path(), said),
        (Path::new("/dev/vdb"), None)
    );
    let found = [found, vec![media("/dev/vdc1", Format::ConfigDrive)]].concat();
    let (first, said) = choose(&found, Format::ConfigDrive).unwrap();
    assert_eq!(first.device, Path::new("/dev/vdb"));
    assert_eq!(
        said.as_deref(),
        Some("configdrive is on several disks: /dev/vdb is read, /dev/vdc1 left alone")
    );
    assert_eq!(choose(&found[..1], Format::ConfigDrive), None);
}

#[test]
fn a_share_is_known_by_its_device_type() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!has_shares(&directory.path().join("none")));
    for (name, kind, is_share) in [
        ("virtio0", "0x0001\n", false),
        ("virtio1", "0x0009\n", true),
    ] {
        let device = directory.path().join(name);
        std::fs::create_dir(&device).unwrap();
        std::fs::write(device.join("device"), kind).unwrap();
        assert_eq!(has_shares(directory.path()), is_share, "{name}");
    }
}

#[test]
fn both_layouts_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let openstack = directory.path().join("openstack/latest");
    std::fs::create_dir_all(&openstack).unwrap();
    std::fs::write(openstack.join("user_data"), "#cloud-config\n").unwrap();
    std::fs::write(openstack.join("meta_data.json"), "{\"hostname\": \"a\"}").unwrap();
    std::fs::write(directory.path().join("meta-data"), "local-hostname: b").unwrap();
    let drive = read_directory(directory.path(), Format::ConfigDrive);
    assert_eq!(
        drive.user_data.unwrap().as_deref(),
        Some(&b"#cloud-config\n"[..])
    );
    assert_eq!(
        drive.metadata.unwrap().unwrap().hostname.as_deref(),
        Some("a")
    );
    let no_cloud = read_directory(directory.path(), Format::NoCloud);
    assert_eq!(no_cloud.user_data.unwrap(), None);
    assert_eq!(
        no_cloud.metadata.unwrap().unwrap().hostname.as_deref(),
        Some("b")
    );
}

#[test]
fn the_network_is_translated_and_what_is_not_taken_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let network = "version: 2\nethernets: {eth0: {dhcp4: true, wakeonlan: true}}\n";
    std::fs::write(directory.path().join("network-config"), network).unwrap();
    let contents = read_directory(directory.path(), Format::NoCloud);
    let network = contents.metadata.unwrap().unwrap().network.unwrap();
    assert_eq!(
        network,
        serde_json::json!({"interfaces": {"eth0": {"dhcp": true}}})
    );
    assert_eq!(contents.notes.len(), 1);
    assert!(contents.notes[0].starts_with("network-config: line 2: ethernets.eth0.wakeonlan: "));
    let openstack = directory.path().join("openstack/latest");
    std::fs::create_dir_all(&openstack).unwrap();
    std::fs::write(openstack.join("network_data.json"), "{").unwrap();
    let contents = read_directory(directory.path(), Format::ConfigDrive);
    assert!(contents.notes[0].starts_with("openstack/latest/network_data.json: "));
}

#[test]
fn bad_metadata_does_not_hide_the_user_data() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("user-data"), "#cloud-config\n").unwrap();
    std::fs::write(directory.path().join("meta-data"), "- [").unwrap();
    let contents = read_directory(directory.path(), Format::NoCloud);
    assert!(contents.user_data.unwrap().is_some());
    assert!(contents.metadata.is_err());
}

#[test]
fn too_large_and_odd_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, [0; 11]).unwrap();
    assert!(matches!(
        read_bounded(&path, 10),
        Err(Error::TooLarge { .. })
    ));
    assert!(read_bounded(&path, 11).unwrap().is_some());
    assert!(read_bounded(directory.path(), 10).is_err());
}

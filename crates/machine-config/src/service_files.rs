//! `write_files` for system services: cloud-init has put them aside, and each becomes a bind mount of its service.

use std::collections::BTreeMap;
use std::path::Path;

use config::cloud_config::WriteFile;
use config::{Node, Service};

/// Where `ros cloud-init save` puts them: a directory for each service, a file for each entry's number.
const DIRECTORY: &str = "/run/rancher/write_files";

/// The services with their files as volumes.
#[must_use]
pub fn with_files(
    services: &BTreeMap<String, Service>,
    files: &[WriteFile],
) -> BTreeMap<String, Service> {
    with_files_in(Path::new(DIRECTORY), services, files)
}

/// Whether the built-in configuration has a service, whatever the machine's own files say of some of its keys.
#[must_use]
pub fn is_built_in(tree: &Node, name: &str) -> bool {
    let services = tree.get("rancher.services").and_then(Node::as_map);
    let service = services.and_then(|services| services.get(name)?.node.as_map());
    service.is_some_and(|keys| {
        let mut values = keys.values();
        values.any(|entry| &*entry.node.at.file == crate::BUILT_IN)
    })
}

fn with_files_in(
    directory: &Path,
    services: &BTreeMap<String, Service>,
    files: &[WriteFile],
) -> BTreeMap<String, Service> {
    let mut services = services.clone();
    for (index, file) in files.iter().enumerate() {
        let (Some(container), Some(path)) = (&file.container, &file.path) else {
            continue;
        };
        let source = directory.join(container).join(index.to_string());
        // What cloud-init has refused is not there, and a bind mount would make a directory in its place.
        if let Some(service) = services.get_mut(container)
            && source.is_file()
        {
            let volume = format!("{}:{path}", source.display());
            service.volumes.push(volume.into());
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use config::service::Volume;

    use super::*;

    #[test]
    fn a_file_that_was_put_aside_becomes_a_volume() {
        let name = format!("write-files-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(directory.join("ntp")).expect("a folder");
        std::fs::write(directory.join("ntp/1"), "x").expect("a file");
        let file = |container: &str, path: &str| WriteFile {
            container: Some(container.to_owned()),
            path: Some(path.to_owned()),
            ..WriteFile::default()
        };
        let files = [
            file("ntp", "/refused"),
            file("ntp", "/test"),
            file("other", "/a"),
            file("console", "/b"),
        ];
        let services = [("ntp".to_owned(), Service::default())].into();
        let changed = with_files_in(&directory, &services, &files);
        let volume = format!("{}/ntp/1:/test", directory.display());
        assert_eq!(changed["ntp"].volumes, [Volume::from(volume)]);
        std::fs::remove_dir_all(&directory).expect("the folder goes");
    }
}

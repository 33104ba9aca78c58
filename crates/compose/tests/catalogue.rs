//! The services of the catalogue that every machine has are good, start in the system, and loosen no more than they say.

use std::fs;
use std::path::Path;

use compose::plan;
use config::{CommandLine, Source, include, load};

#[test]
fn every_service_of_the_catalogue_is_good_and_confined() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rootfs/catalogue");
    let mut names = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(include::built_in(&name), Some(text.as_str()), "{name}");
        let built_in = Source {
            name: "os-config.yml",
            text: include_str!("../../../rootfs/os-config.yml"),
        };
        let mut loaded = load(&[built_in], &CommandLine::default());
        include::add(&mut loaded, &name, &text);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let rancher = &loaded.config.rancher;
        let plan = plan(&rancher.services, rancher);
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
        let step = plan.steps.iter().find(|step| step.name == name).unwrap();
        // Its image may have to be pulled, and that takes a network.
        let waiting = plan.steps.iter().find(|step| step.after.contains(&name));
        assert!(waiting.is_none(), "{waiting:?} waits for {name}");
        let host = &step.request.host_config;
        assert!(!host.privileged && host.readonly_rootfs, "{name}");
        assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert_eq!(host.security_opt, None, "{name}");
        names.push(name);
    }
    assert_eq!(names, ["wifi"]);
}

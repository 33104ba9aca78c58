//! Layers that did not get to the disk, and how it is known of the others.

use std::fs;

use super::super::settled::Settled;
use super::super::{entries, spares, watch};
use super::tree::Tree;

/// A tree whose layers came after the first start.
fn started_once() -> Tree {
    let tree = Tree::new();
    let layers = tree.root.join("image/overlay2/layerdb/sha256");
    let elsewhere = tree.root.join("elsewhere-sha256");
    fs::rename(&layers, &elsewhere).unwrap();
    Settled::of(&tree.places().spares, &tree.root)
        .keep()
        .unwrap();
    fs::rename(&elsewhere, &layers).unwrap();
    tree
}

#[test]
fn a_layer_is_compared_with_its_record_until_it_is_known_to_be_on_the_disk() {
    let lost = |tree: &Tree| {
        let said = tree.heal().said.join("\n");
        let is_told = said.contains("its file etc: it has 0 bytes of 4");
        assert_eq!(is_told, !said.is_empty(), "{said}");
        is_told
    };
    // Data that was brought here is taken as it is, once.
    let tree = Tree::new();
    let file = tree.root.join(tree.path("overlay2/TOPCACHE/diff/etc"));
    fs::write(&file, "").unwrap();
    assert!(!lost(&tree));
    assert!(!lost(&tree));
    // dockerd had noted the layer; its content had not got to the disk. The start before had seen none.
    let tree = started_once();
    let file = tree.root.join(tree.path("overlay2/TOPCACHE/diff/etc"));
    fs::write(&file, "").unwrap();
    assert!(lost(&tree));
    // Known to be there: what changed it was no power cut, and reading each layer at each start would take too long.
    let tree = Tree::new();
    let mut settled = Settled::of(&tree.places().spares, &tree.root);
    settled.keep().unwrap();
    let file = tree.root.join(tree.path("overlay2/TOPCACHE/diff/etc"));
    fs::write(&file, "").unwrap();
    assert!(!lost(&tree));
    // Another content of the same length, in a layer that came later.
    let tree = started_once();
    fs::write(
        tree.root.join(tree.path("overlay2/TOPCACHE/diff/etc")),
        "1235",
    )
    .unwrap();
    let said = tree.heal().said.join("\n");
    assert!(
        said.contains("its file etc: its content is another"),
        "{said}"
    );
}

#[test]
fn a_layer_is_written_down_when_docker_notes_it() {
    let tree = Tree::new();
    let places = tree.places();
    let layers = tree.root.join("image/overlay2/layerdb/sha256");
    // As before the first image: dockerd makes the directory for its first layer.
    let elsewhere = tree.root.join("elsewhere-sha256");
    fs::rename(&layers, &elsewhere).unwrap();
    std::thread::spawn(move || watch(&places));
    let list = spares::directory(&tree.places().spares, &tree.root).join("settled-layers");
    let written = |names: usize| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while fs::read_to_string(&list)
            .unwrap_or_default()
            .lines()
            .count()
            != names
        {
            assert!(
                std::time::Instant::now() < end,
                "{names} layers are not written down"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    fs::create_dir(&layers).unwrap();
    for (number, layer) in entries(&elsewhere).iter().enumerate() {
        fs::rename(layer, layers.join(layer.file_name().unwrap())).unwrap();
        written(number + 1);
    }
}

#[test]
fn a_pipe_in_the_place_of_the_list_is_not_waited_for() {
    let tree = started_once();
    let list = spares::directory(&tree.places().spares, &tree.root);
    fs::remove_file(list.join("settled-layers")).unwrap();
    super::pipe(&list.join("settled-layers"));
    let mut settled = Settled::of(&tree.places().spares, &tree.root);
    assert!(settled.keep().is_ok() && list.join("settled-layers").is_file());
}

//! Archives that reach for what is outside of their directory.

use super::*;

#[test]
fn nothing_escapes_the_target() {
    let climbing = |path: &str| vec![file(path, "evil")];
    let attacks: Vec<Vec<(Entry, Vec<u8>)>> = vec![
        climbing("../outside/evil"),
        climbing("a/../../outside/evil"),
        climbing("../../../../../../../../outside/evil"),
        vec![
            link("l", Kind::Symlink, "../outside"),
            file("l/evil", "evil"),
        ],
        vec![
            link("l", Kind::Symlink, "../outside"),
            file("l/secret", "evil"),
        ],
        vec![
            link("l", Kind::Symlink, "../outside/secret"),
            file("l", "evil"),
        ],
        vec![link("h", Kind::HardLink, "../outside/secret")],
        vec![
            link("l", Kind::Symlink, "../outside"),
            link("h", Kind::HardLink, "l/secret"),
            file("h", "evil"),
        ],
        vec![
            link("l", Kind::Symlink, ".."),
            link("m", Kind::Symlink, "l/outside"),
            file("m/evil", "evil"),
        ],
        vec![
            link("l", Kind::Symlink, "../outside"),
            file("l/.wh.secret", ""),
        ],
        vec![
            link("l", Kind::Symlink, "../outside"),
            file("l/.wh..wh..opq", ""),
        ],
        vec![
            link("l", Kind::Symlink, "../outside"),
            directory("l/"),
            file("l/evil", "x"),
        ],
        vec![
            link("l", Kind::Symlink, "/proc/self/root"),
            file("l/evil", "evil"),
        ],
        vec![
            directory("d/"),
            link("d/l", Kind::Symlink, "../../outside"),
            file("d/l/evil", "x"),
            file("d", "x"),
        ],
        vec![file(".wh..", "")],
        vec![file(".wh...", "")],
        vec![file("d/.wh.", "")],
    ];
    for (number, attack) in attacks.iter().enumerate() {
        let work = Work::new();
        // refusing and taming are both fine
        let _ = work.unpack(&tar(attack));
        work.assert_outside_untouched();
        assert!(!Path::new("/evil").exists(), "attack {number}");
    }
}

#[test]
fn absolute_paths_and_links_stay_inside() {
    let work = Work::new();
    let absolute = work.outside.join("evil").display().to_string();
    let layer = tar(&[
        file(&absolute, "tamed"),
        link("l", Kind::Symlink, &work.outside.display().to_string()),
        file("l/evil2", "tamed"),
    ]);
    work.unpack(&layer).unwrap();
    work.assert_outside_untouched();
    assert_eq!(
        fs::read_to_string(work.path(absolute.trim_start_matches('/'))).unwrap(),
        "tamed"
    );
}

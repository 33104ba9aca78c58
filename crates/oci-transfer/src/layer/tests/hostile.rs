//! Archives that are sparse, too large, cut off or broken on purpose.

use super::*;

/// A sparse file of 1,000,000 bytes with "abc" at 500,000, in pax form 1.0 or in the old GNU form.
fn sparse_tar(old: bool) -> Vec<u8> {
    let mut archive = Vec::new();
    let push = |archive: &mut Vec<u8>, bytes: &[u8]| {
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    };
    if old {
        let mut block = encode(&Entry::new("s", Kind::File, 0o644), 3, b'S');
        block[257..265].copy_from_slice(b"ustar  \0");
        block[386..398].copy_from_slice(format!("{:011o}\0", 500_000).as_bytes());
        block[398..410].copy_from_slice(format!("{:011o}\0", 3).as_bytes());
        block[483..495].copy_from_slice(format!("{:011o}\0", 1_000_000).as_bytes());
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        push(&mut archive, &block);
        push(&mut archive, b"abc");
    } else {
        let mut records = Vec::new();
        for (key, value) in [
            ("major", "1"),
            ("minor", "0"),
            ("name", "s"),
            ("realsize", "1000000"),
        ] {
            records.extend(record(
                format!("GNU.sparse.{key}").as_bytes(),
                value.as_bytes(),
            ));
        }
        let header = Entry::new("pax", Kind::File, 0o644);
        push(&mut archive, &encode(&header, records.len() as u64, b'x'));
        push(&mut archive, &records);
        push(
            &mut archive,
            &encode(
                &Entry::new("GNUSparse.0/s", Kind::File, 0o644),
                512 + 3,
                b'0',
            ),
        );
        push(&mut archive, b"1\n500000\n3\n");
        push(&mut archive, b"abc");
    }
    archive.extend_from_slice(&[0; 1024]);
    archive
}

#[test]
fn sparse_files_have_holes() {
    for old in [true, false] {
        let work = Work::new();
        work.unpack(&sparse_tar(old)).unwrap();
        let content = fs::read(work.path("s")).unwrap();
        assert_eq!(content.len(), 1_000_000);
        assert_eq!(&content[500_000..500_003], b"abc");
        assert!(content.iter().filter(|b| **b != 0).count() == 3);
    }
}

#[test]
fn limits_hold() {
    let work = Work::new();
    let mut huge = encode(&Entry::new("x", Kind::File, 0o644), 1 << 32, b'L').to_vec();
    huge.extend_from_slice(&[b'a'; 4096]);
    assert!(matches!(work.unpack(&huge), Err(Error::Limit { .. })));
    let many: Vec<_> = (0..1001).map(|n| file(&format!("f{n}"), "")).collect();
    assert!(matches!(work.unpack(&tar(&many)), Err(Error::Limit { .. })));
    let bomb = std::io::repeat(0).take(64 * 1024 * 1024);
    let mut header = encode(
        &Entry::new("bomb", Kind::File, 0o644),
        64 * 1024 * 1024,
        b'0',
    )
    .to_vec();
    bomb.take(20 * 1024 * 1024)
        .read_to_end(&mut header)
        .unwrap();
    assert!(
        work.unpack(&header).is_err(),
        "more bytes than the limit were taken"
    );
    let deep = "d/".repeat(2000) + "f";
    assert!(work.unpack(&tar(&[file(&deep, "")])).is_err());
}

#[test]
fn every_cut_is_an_error_or_harmless() {
    let whole = tar(&[
        file("a", "aaaa"),
        directory("d/"),
        file("d/b", &"b".repeat(1500)),
    ]);
    for end in (0..whole.len() - 2 * BLOCK).step_by(100) {
        let work = Work::new();
        let result = work.unpack(&whole[..end]);
        if end % BLOCK != 0 {
            assert!(result.is_err(), "cut at {end} was not noticed");
        }
    }
}

#[test]
fn mutated_layers_never_escape() {
    let base = tar(&[
        directory("dir/"),
        file("dir/file", "content"),
        link("dir/link", Kind::Symlink, "../../outside"),
        link("hard", Kind::HardLink, "dir/file"),
        file("dir/.wh.gone", ""),
        file(&format!("{}/x", "long".repeat(50)), "x"),
        file("dir/link/x", "x"),
    ]);
    let mut seed = Random(0x5eed);
    for _ in 0..300 {
        let mut mutated = base.clone();
        for _ in 0..=seed.below(4) {
            let position = seed.below(mutated.len());
            mutated[position] = u8::try_from(seed.below(256)).unwrap();
        }
        // most mutations break a checksum: make the headers whole again
        for start in (0..mutated.len() - BLOCK).step_by(BLOCK) {
            let block = &mut mutated[start..start + BLOCK];
            if &block[257..262] == b"ustar" {
                block[148..156].fill(b' ');
                let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let work = Work::new();
        // refusing is fine, escaping or panicking is not
        let _ = work.unpack(&mutated);
        work.assert_outside_untouched();
    }
}

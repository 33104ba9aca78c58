//! What is written to a log, read line by line.

use super::*;

fn lines(path: &Path) -> Vec<record::Record> {
    let content = fs::read(path).unwrap();
    content
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| record::decode(line).unwrap())
        .collect()
}

#[test]
fn output_is_cut_into_lines_and_streams_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let log = LogFile::new(
        directory.path().join("log"),
        LogLimits::DEFAULT,
        Attributes::new(),
    );
    log.open().unwrap();
    log.append(StreamKind::Stdout, b"one\ntw");
    log.append(StreamKind::Stderr, b"oops\n");
    log.append(StreamKind::Stdout, b"o\nthree");
    log.close();
    let found: Vec<_> = lines(log.path())
        .into_iter()
        .map(|line| (line.stream, line.text))
        .collect();
    let expected = [
        (StreamKind::Stdout, "one\n"),
        (StreamKind::Stderr, "oops\n"),
        (StreamKind::Stdout, "two\n"),
        (StreamKind::Stdout, "three"),
    ];
    assert_eq!(
        found,
        expected.map(|(stream, text)| (stream, text.to_owned()))
    );
}

#[test]
fn a_line_torn_by_a_power_cut_costs_no_line_of_the_next_run() {
    let whole = br#"{"log":"before\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}"#;
    let ended = [&whole[..], b"\n"].concat();
    for (tail, kept) in [
        (&b""[..], 1),
        (br#"{"log":"tor"#, 1),
        (&[0; 10_000], 1),
        (b"{\0\0\0", 1),
        (&whole[..], 2),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, [&ended, tail].concat()).unwrap();
        let log = LogFile::new(path, LogLimits::DEFAULT, Attributes::new());
        log.open().unwrap();
        log.append(StreamKind::Stdout, b"after\n");
        log.close();
        let content = fs::read(log.path()).unwrap();
        assert_eq!(log.watch().borrow().bytes, content.len() as u64);
        let lines: Vec<_> = content
            .split(|byte| *byte == b'\n')
            .filter_map(record::decode)
            .map(|line| line.text)
            .collect();
        assert_eq!(lines.len(), kept + 1, "{}", String::from_utf8_lossy(tail));
        assert_eq!(lines[kept], "after\n");
    }
}

#[test]
fn a_named_pipe_in_the_logs_place_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let log = LogFile::new(path, LogLimits::DEFAULT, Attributes::new());
    assert!(log.open().is_err());
}

#[test]
fn a_line_that_began_before_an_upgrade_ends_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let open = || {
        let log = LogFile::new(path.clone(), LogLimits::DEFAULT, Attributes::new());
        log.open().unwrap();
        log
    };
    let former = open();
    former.append(StreamKind::Stdout, b"whole\nhal");
    former.append(StreamKind::Stderr, b"al");
    let next = open();
    next.set_unfinished(former.unfinished());
    std::mem::forget(former); // execve(2) closes nothing in order
    next.append(StreamKind::Stdout, b"f\n");
    next.append(StreamKind::Stderr, b"so\n");
    next.close();
    let found: Vec<_> = lines(&path).into_iter().map(|line| line.text).collect();
    assert_eq!(found, ["whole\n", "half\n", "also\n"]);
}

#[test]
fn long_lines_are_kept_in_pieces_of_16_kib() {
    let directory = tempfile::tempdir().unwrap();
    let log = LogFile::new(
        directory.path().join("log"),
        LogLimits::DEFAULT,
        Attributes::new(),
    );
    log.open().unwrap();
    let mut long = vec![b'x'; 3 * LINE_MAX + 5];
    long.push(b'\n');
    for piece in long.chunks(1000) {
        log.append(StreamKind::Stdout, piece);
    }
    log.close();
    let found = lines(log.path());
    assert!(found.iter().all(|line| line.text.len() <= LINE_MAX));
    assert_eq!(
        found
            .iter()
            .map(|line| line.text.as_str())
            .collect::<String>()
            .into_bytes(),
        long
    );
}

#[test]
fn the_log_never_outgrows_its_limits() {
    let directory = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        max_size: Some(1000),
        max_file: 3,
    };
    let log = LogFile::new(directory.path().join("log"), limits, Attributes::new());
    log.open().unwrap();
    for number in 0..200 {
        log.append(StreamKind::Stdout, format!("line {number}\n").as_bytes());
    }
    log.close();
    let files: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert_eq!(files.len(), 3);
    assert!(
        files
            .iter()
            .all(|file| file.metadata().unwrap().len() < 1200)
    );
    assert_eq!(lines(log.path()).last().unwrap().text, "line 199\n");
}

#[test]
fn a_long_line_is_cut_between_characters() {
    let directory = tempfile::tempdir().unwrap();
    let log = LogFile::new(
        directory.path().join("log"),
        LogLimits::DEFAULT,
        Attributes::new(),
    );
    for (before, character) in [("x", "é"), ("xx", "€"), ("xyz", "😀"), ("", "€")] {
        let line = format!("{before}{}\n", character.repeat(LINE_MAX));
        for size in [1, 1000, 32 << 10] {
            log.open().unwrap();
            for piece in line.as_bytes().chunks(size) {
                log.append(StreamKind::Stdout, piece);
            }
            log.close();
            let found: String = lines(log.path())
                .iter()
                .map(|line| line.text.as_str())
                .collect();
            assert!(found == line, "{before}{character} by {size}");
            fs::remove_file(log.path()).unwrap();
        }
    }
}

/// A hole, as of `truncate -s 1T`, and more zeros than anybody looks through.
#[test]
fn zeros_without_end_hold_no_start() {
    let ended =
        b"{\"log\":\"before\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n";
    for hole in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, ended).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        match hole {
            true => file.set_len(1 << 40).unwrap(),
            false => {
                let zeros = vec![0; usize::try_from(ZEROS_MOST).unwrap() + 1];
                (&file).write_all(&zeros).unwrap();
            }
        }
        let log = LogFile::new(path, LogLimits::DEFAULT, Attributes::new());
        log.open().unwrap();
        log.append(StreamKind::Stdout, b"after\n");
        log.close();
        let length = fs::metadata(log.path()).unwrap().len();
        assert_eq!(log.watch().borrow().bytes, length);
        assert!(length < 2 * ZEROS_MOST, "{length} bytes");
        let found: Vec<_> = fs::read(log.path())
            .unwrap()
            .split(|byte| *byte == b'\n')
            .filter_map(record::decode)
            .map(|line| line.text)
            .collect();
        assert_eq!(found, ["before\n", "after\n"], "hole: {hole}");
    }
}

/// A small file system in RAM.
struct Small(tempfile::TempDir);

impl Small {
    fn sized(&self, flags: sys::mount::MountFlags, size: &str) {
        let options = format!("size={size}");
        sys::mount::mount("small", self.0.path(), "tmpfs", flags, &options).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = sys::mount::unmount(self.0.path(), sys::mount::UnmountFlags::DETACH);
    }
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_line_that_a_full_disk_tore_costs_no_other() {
    use sys::mount::MountFlags;
    let disk = Small(tempfile::tempdir().unwrap());
    disk.sized(MountFlags::empty(), "64k");
    let log = LogFile::new(
        disk.0.path().join("log"),
        LogLimits::DEFAULT,
        Attributes::new(),
    );
    log.open().unwrap();
    let line = |letter: &str| format!("{}\n", letter.repeat(1000));
    let all = |text: &str| {
        lines(log.path())
            .iter()
            .filter(|line| line.text == text)
            .count()
    };
    // Three lines are one write: those that the disk has room for stay.
    let written = line("x").repeat(3);
    for _ in 0..40 {
        log.append(StreamKind::Stdout, written.as_bytes());
    }
    let kept = all(&line("x"));
    assert!((40..70).contains(&kept), "{kept}");
    let length = || fs::metadata(log.path()).unwrap().len();
    assert_eq!(log.watch().borrow().bytes, length());
    disk.sized(MountFlags::REMOUNT, "1m");
    log.append(StreamKind::Stdout, line("y").as_bytes());
    assert_eq!((all(&line("x")), all(&line("y"))), (kept, 1));
    assert_eq!(log.watch().borrow().bytes, length());
    log.close();
}

//! Reading a log that was written, and one that is being written.

use super::*;
use crate::logs::LogLimits;

fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn log(directory: &tempfile::TempDir, max_size: u64) -> Rc<LogFile> {
    let limits = LogLimits {
        max_size: Some(max_size),
        max_file: 3,
    };
    let log = Rc::new(LogFile::new(
        directory.path().join("log"),
        limits,
        BTreeMap::new(),
    ));
    log.open().unwrap();
    log
}

fn all() -> LogsOptions {
    LogsOptions {
        stdout: true,
        stderr: true,
        ..LogsOptions::default()
    }
}

async fn collect(mut receiver: mpsc::Receiver<OutputChunk>) -> String {
    let mut text = String::new();
    while let Some((_, bytes)) = receiver.recv().await {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

#[test]
fn tail_counts_back_across_rotated_files() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let log = log(&directory, 1500);
        for number in 0..40 {
            log.append(StreamKind::Stdout, format!("{number}\n").as_bytes());
        }
        for wanted in [0, 1, 7, 30] {
            let text = collect(log.read(LogsOptions {
                tail: Some(wanted),
                ..all()
            }))
            .await;
            let expected: String = (40 - wanted..40)
                .map(|number| format!("{number}\n"))
                .collect();
            assert_eq!(text, expected, "tail {wanted}");
        }
    });
}

#[test]
fn a_follower_sees_every_line_across_rotations_and_ends_with_the_log() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let log = log(&directory, 2000);
        let follower = engine_api::tasks::spawn(collect(log.read(LogsOptions {
            follow: true,
            ..all()
        })));
        for number in 0..200 {
            log.append(StreamKind::Stdout, format!("{number}\n").as_bytes());
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        log.close();
        let expected: String = (0..200).map(|number| format!("{number}\n")).collect();
        assert_eq!(follower.await.unwrap(), expected);
    });
}

#[test]
fn streams_and_times_are_filtered() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let log = log(&directory, 1_000_000);
        log.append(StreamKind::Stdout, b"out\n");
        log.append(StreamKind::Stderr, b"err\n");
        let only = LogsOptions {
            stderr: true,
            ..LogsOptions::default()
        };
        assert_eq!(collect(log.read(only)).await, "err\n");
        let future = Timestamp::from_unix(Timestamp::now().unix() + 1000, 0);
        assert_eq!(
            collect(log.read(LogsOptions {
                since: Some(future),
                ..all()
            }))
            .await,
            ""
        );
        let past = Timestamp::from_unix(1, 0);
        assert_eq!(
            collect(log.read(LogsOptions {
                until: Some(past),
                ..all()
            }))
            .await,
            ""
        );
        assert!(
            collect(log.read(LogsOptions {
                timestamps: true,
                ..all()
            }))
            .await
            .contains("Z out\n")
        );
    });
}

#[test]
fn a_torn_last_line_does_not_count_for_tail() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let log = log(&directory, 1_000_000);
        log.append(StreamKind::Stdout, b"one\ntwo\n");
        let torn = std::fs::OpenOptions::new().append(true).open(log.path());
        std::io::Write::write_all(&mut torn.unwrap(), b"{\"log\":\"thr").unwrap();
        let last = LogsOptions {
            tail: Some(1),
            ..all()
        };
        assert_eq!(collect(log.read(last)).await, "two\n");
    });
}

#[test]
fn a_damaged_line_is_passed_over() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, b"{\"log\":\"half\n").unwrap();
        let log = Rc::new(LogFile::new(path, LogLimits::DEFAULT, BTreeMap::new()));
        log.open().unwrap();
        log.append(StreamKind::Stdout, b"whole\n");
        assert_eq!(collect(log.read(all())).await, "whole\n");
    });
}

/// How often others have a turn while `work` is under way.
async fn turns_during<T>(work: impl Future<Output = T>) -> (usize, T) {
    let turns = Rc::new(std::cell::Cell::new(0));
    let counter = Rc::clone(&turns);
    let others = engine_api::tasks::spawn(async move {
        loop {
            counter.set(counter.get() + 1);
            tokio::task::yield_now().await;
        }
    });
    let done = work.await;
    others.abort();
    (turns.get(), done)
}

#[test]
fn a_long_log_leaves_turns_to_others() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let log = log(&directory, u64::MAX);
        log.append(StreamKind::Stdout, b"one\ntwo\n");
        let torn = std::fs::OpenOptions::new().append(true).open(log.path());
        let blocks = 100;
        std::io::Write::write_all(&mut torn.unwrap(), &vec![b'x'; blocks * BLOCK]).unwrap();
        for (tail, expected) in [(Some(1), "two\n"), (None, "one\ntwo\n")] {
            let options = LogsOptions { tail, ..all() };
            let (turns, text) = turns_during(collect(log.read(options))).await;
            assert_eq!(text, expected);
            assert!(turns >= blocks, "{turns} turns, tail {tail:?}");
        }
    });
}

#[test]
fn holes_are_not_read() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let log = log(&directory, u64::MAX);
        log.append(StreamKind::Stdout, b"one\ntwo\n");
        let file = std::fs::OpenOptions::new()
            .append(true)
            .open(log.path())
            .unwrap();
        for (length, more) in [(1 << 40, &b"three\n"[..]), (2 << 40, b"")] {
            file.set_len(length).unwrap();
            std::io::Write::write_all(&mut &file, b"\n").unwrap();
            log.append(StreamKind::Stdout, more);
        }
        file.set_len(3 << 40).unwrap();
        for (tail, expected) in [
            (Some(0), ""),
            (None, "one\ntwo\nthree\n"),
            // Two lines of these are the ends of the holes.
            (Some(4), "two\nthree\n"),
        ] {
            let options = LogsOptions { tail, ..all() };
            assert_eq!(collect(log.read(options)).await, expected, "{tail:?}");
        }
    });
}

#[test]
fn a_follower_of_a_log_that_somebody_empties_sees_what_comes() {
    on_one_thread(async {
        let directory = tempfile::tempdir().unwrap();
        let log = log(&directory, u64::MAX);
        log.append(StreamKind::Stdout, b"long before this\n");
        let mut output = log.read(LogsOptions {
            follow: true,
            ..all()
        });
        assert_eq!(output.recv().await.unwrap().1, "long before this\n");
        std::fs::OpenOptions::new()
            .write(true)
            .open(log.path())
            .unwrap()
            .set_len(0)
            .unwrap();
        log.append(StreamKind::Stdout, b"a\n");
        assert_eq!(output.recv().await.unwrap().1, "a\n");
        log.append(StreamKind::Stdout, b"b\n");
        assert_eq!(output.recv().await.unwrap().1, "b\n");
        log.close();
        assert_eq!(collect(output).await, "");
    });
}

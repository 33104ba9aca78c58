//! Programs that cannot take over: they are refused while the present one runs, or the present one resumes.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::containers::{COUNT, script};
use crate::fixture::{Engine, Test};
use crate::program;

pub(crate) const TESTS: &[Test] = &[
    ("a_bad_program_is_refused_and_nothing_happens", || {
        Box::pin(bad_programs())
    }),
    (
        "a_program_that_fails_to_take_over_is_gone_back_from",
        || Box::pin(failing_program()),
    ),
    (SLOW, || Box::pin(hanging_program())),
    ("a_new_program_takes_over_with_its_helpers", || {
        Box::pin(new_program())
    }),
];

/// Waits for the watchdog: run with `--ignored`.
pub(crate) const SLOW: &str = "a_program_that_hangs_is_gone_back_from";

/// This test's program with something at its end that makes it another candidate.
fn candidate(kind: &[u8], folder: &TempDir) -> PathBuf {
    let mut program = fs::read(std::env::current_exe().unwrap()).unwrap();
    program.extend_from_slice(kind);
    let path = folder.path().join("candidate");
    fs::write(&path, program).unwrap();
    path
}

async fn bad_programs() {
    let engine = Engine::start().await;
    engine.run("counter", script(COUNT)).await;
    let pid = engine.pid_of("counter").await;
    let folder = TempDir::new().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let own = fs::read(program::path()).unwrap();
    let mut foreign = own.clone();
    foreign[18..20].copy_from_slice(&0x2b_u16.to_ne_bytes()); // EM_SPARCV9
    let descriptors = engine.descriptors().await;
    for (path, why) in [
        (file("text", b"just a note\n"), "not an ELF"),
        (
            file(
                "script",
                b"#!/bin/sh\nexec true; # padded to the length of a header ...\n",
            ),
            "not an ELF",
        ),
        (file("foreign", &foreign), "another architecture"),
        (file("cut", &own[..own.len() / 3]), "cut off"),
        (candidate(crate::REFUSES, &folder), "knows no such owner"),
        (PathBuf::from("/bin/true"), "does not answer upgrade-check"),
        (
            PathBuf::from("/bin/busybox"),
            "does not answer upgrade-check",
        ),
    ] {
        let refused = engine.upgrade(Some(&path)).await.unwrap_err();
        assert_eq!(refused.status, 400, "{}", path.display());
        assert!(
            refused.message.contains(why),
            "{}: {refused}",
            path.display()
        );
    }
    let status = engine.client.engine_status().await.unwrap();
    assert_eq!((status.generation, status.last_upgrade), (0, None));
    assert_eq!(engine.pid_of("counter").await, pid);
    assert!(engine.descriptors().await <= descriptors);
    engine.check_count("counter").await;
    assert_eq!(engine.upgrade(None).await.unwrap().generation, 1);
}

async fn failing_program() {
    let engine = Engine::start().await;
    engine.run("counter", script(COUNT)).await;
    let pid = engine.pid_of("counter").await;
    let test = std::env::current_exe().unwrap();
    let before = engine.upgrade(None).await.unwrap();
    let descriptors = engine.descriptors().await;
    for _ in 0..3 {
        let status = engine.upgrade(Some(&test)).await.unwrap();
        let last = status.last_upgrade.unwrap();
        assert_eq!(last.outcome, "fell back", "{last:?}");
        assert!(
            last.error.contains("this program cannot take over"),
            "{last:?}"
        );
        assert_eq!(status.program, before.program);
    }
    assert_eq!(engine.pid_of("counter").await, pid);
    assert!(engine.descriptors().await <= descriptors);
    engine.check_count("counter").await;
    assert_eq!(engine.exec("counter", "exit 4").await, 4);
    let status = engine.upgrade(None).await.unwrap();
    assert_eq!(status.last_upgrade.unwrap().outcome, "done");
}

async fn hanging_program() {
    let engine = Engine::start().await;
    engine.run("counter", script(COUNT)).await;
    let folder = TempDir::new().unwrap();
    let hangs = candidate(crate::HANGS, &folder);
    let last = engine
        .upgrade(Some(&hangs))
        .await
        .unwrap()
        .last_upgrade
        .unwrap();
    assert_eq!(last.outcome, "fell back", "{last:?}");
    assert!(last.error.contains("not taken over"), "{last:?}");
    engine.check_count("counter").await;
    assert_eq!(engine.exec("counter", "exit 4").await, 4);
}

/// A copy of the program, sent over the socket: it runs, its helpers are its own, and the next one replaces it.
async fn new_program() {
    let engine = Engine::start().await;
    engine.run("counter", script(COUNT)).await;
    let program = program::path();
    let mut paths = Vec::new();
    for round in 1..=3 {
        let status = engine.upgrade(Some(&program)).await.unwrap();
        assert_eq!(status.last_upgrade.unwrap().outcome, "done");
        assert!(status.program.contains("/programs/"), "{}", status.program);
        let name = format!("helped-{round}");
        engine.run(&name, script("exec true")).await;
        let ended = engine
            .client
            .container_wait(&name, None)
            .await
            .unwrap()
            .next()
            .await;
        assert_eq!(ended.unwrap().unwrap().status_code, 0);
        paths.push(status.program);
        // The same program again keeps its place.
        assert_eq!(
            engine.upgrade(None).await.unwrap().program,
            paths[round - 1]
        );
    }
    let exists = |path: &String| std::path::Path::new(path).exists();
    assert_eq!(paths.iter().filter(|path| exists(path)).count(), 1);
    engine.check_count("counter").await;
}

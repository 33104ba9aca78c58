//! Device filters: what they decide, and that the kernel takes them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn rule(
    allow: bool,
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    letters: &str,
) -> Rule {
    Rule {
        allow,
        kind,
        major,
        minor,
        access: Access::from_letters(letters),
    }
}

#[test]
fn an_unconditional_rule_ends_the_program() {
    let code = compile(&[
        rule(true, DeviceKind::Block, Some(8), None, "r"),
        rule(false, DeviceKind::All, None, None, "rwm"),
    ]);
    assert_eq!(code.len(), 8);
    assert_eq!(code[6].immediate, 0);
}

/// Runs the program as the kernel would, for the instructions used here.
fn run(code: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
    let mut registers = [0_u32; 11];
    let mut at = 0_usize;
    loop {
        let line = code[at];
        let (to, from) = (
            usize::from(line.registers & 15),
            usize::from(line.registers >> 4),
        );
        let value = line.immediate.cast_unsigned();
        at += 1;
        match line.code {
            LOAD_WORD => {
                registers[to] =
                    [access << 16 | kind, major, minor][usize::try_from(line.offset / 4).unwrap()]
            }
            MOVE_REGISTER => registers[to] = registers[from],
            MOVE_IMMEDIATE => registers[to] = value,
            AND_IMMEDIATE => registers[to] &= value,
            SHIFT_RIGHT => registers[to] >>= value,
            JUMP_NOT_EQUAL if registers[to] == value => {}
            JUMP_EQUAL if registers[to] != value => {}
            JUMP_NOT_EQUAL | JUMP_EQUAL => at += usize::try_from(line.offset).unwrap(),
            EXIT => return registers[0] == 1,
            other => panic!("instruction {other:#x}"),
        }
    }
}

#[test]
fn last_rule_that_matches_decides() {
    let code = compile(&[
        rule(false, DeviceKind::All, None, None, "rwm"),
        rule(true, DeviceKind::Character, None, None, "m"),
        rule(true, DeviceKind::Character, Some(1), Some(3), "rwm"),
        rule(true, DeviceKind::Block, Some(8), None, "rw"),
        rule(false, DeviceKind::Block, Some(8), Some(1), "w"),
    ]);
    assert!(run(&code, 2, 1, 99, 99), "mknod of any character device");
    assert!(!run(&code, 2, 2, 99, 99), "read of another");
    assert!(run(&code, 2, 6, 1, 3), "read and write of /dev/null");
    assert!(
        run(&code, 1, 6, 8, 0) && !run(&code, 1, 7, 8, 0),
        "sda without mknod"
    );
    assert!(
        run(&code, 1, 2, 8, 1) && !run(&code, 1, 6, 8, 1),
        "sda1 without write"
    );
    assert!(!run(&compile(&[]), 2, 2, 1, 3), "no rule, no access");
}

/// Whether a program was loaded. False without CAP_BPF or without the feature: there is nothing to prove then.
fn loads(rules: &[Rule]) -> bool {
    match load(rules) {
        Ok(_) => true,
        Err(error) => {
            assert!(
                matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)),
                "{error}"
            );
            false
        }
    }
}

#[test]
fn the_kernel_takes_the_program() {
    loads(&[
        rule(false, DeviceKind::All, None, None, ""),
        rule(true, DeviceKind::Block, Some(8), None, "r"),
    ]);
}

#[test]
fn signals_do_not_stop_it() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: the handler does nothing, so it is safe at any time; no other test has a use for this signal.
    unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    // SAFETY: asks only who this thread is.
    let loading = unsafe { libc::pthread_self() };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: that thread waits for this one at the end of the scope.
                unsafe { libc::pthread_kill(loading, libc::SIGUSR2) };
            }
        });
        // A failure must not leave the other thread to go on for ever.
        let result = std::panic::catch_unwind(|| {
            let rules = [rule(true, DeviceKind::Block, Some(8), None, "r"); 32];
            (0..200).all(|_| loads(&rules))
        });
        done.store(true, Ordering::Relaxed);
        if let Err(failure) = result {
            std::panic::resume_unwind(failure);
        }
    });
}

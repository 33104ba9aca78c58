//! Filters run by a small copy of the kernel's interpreter.

use super::*;

/// The kernel's interpreter, for the instructions used here.
fn run(program: &Program, arch: Arch, number: u32, args: [u64; 6]) -> u32 {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let line = program.0[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { line.jt } else { line.jf });
        match line.code {
            LOAD if line.k == NUMBER => accumulator = number,
            LOAD if line.k == ARCHITECTURE => accumulator = arch.audit(),
            LOAD => {
                let offset = line.k - ARGUMENTS;
                accumulator = (args[offset as usize / 8] >> (offset % 8 * 8)) as u32;
            }
            AND => accumulator &= line.k,
            JUMP => at += line.k as usize,
            JUMP_EQUAL => jump(accumulator == line.k),
            JUMP_GREATER => jump(accumulator > line.k),
            JUMP_GREATER_EQUAL => jump(accumulator >= line.k),
            RETURN => return line.k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn rule(names: &[&str], action: Action, conditions: &[Condition]) -> Rule {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Rule {
        names,
        action,
        conditions: conditions.to_vec(),
    }
}

const EPERM: Action = Action::Errno(1);

#[test]
fn every_number_gets_its_rule_and_new_ones_are_unknown() {
    let rules = [rule(
        &["read", "openat", "mseal", "no_such_call"],
        Action::Allow,
        &[],
    )];
    let program = assemble(&[Arch::X86_64, Arch::X86], EPERM, &rules).unwrap();
    let of = |arch: Arch, number| run(&program, arch, number, [0; 6]);
    for arch in [Arch::X86_64, Arch::X86] {
        for number in 0..600 {
            let name = arch
                .table()
                .iter()
                .find(|(_, n)| *n == number)
                .map(|(name, _)| *name);
            let expected = match name {
                Some("read" | "openat" | "mseal") => Action::Allow,
                _ if number > 462 => Action::Errno(38),
                _ => EPERM,
            };
            assert_eq!(of(arch, number), expected.value(), "{arch:?} {number}");
        }
    }
    assert_eq!(of(Arch::X86_64, X32_BIT), Action::Errno(38).value());
    assert_eq!(of(Arch::Aarch64, 63), Action::KillProcess.value());
}

#[test]
fn comparisons_are_of_64_bits() {
    let value = 0x1_0000_0005_u64;
    let samples = [
        0,
        5,
        6,
        value - 1,
        value,
        value + 1,
        0x2_0000_0000,
        u64::MAX,
        0xFFFF_FFFF,
    ];
    type Holds = fn(u64, u64) -> bool;
    let table: [(Compare, Holds); 7] = [
        (Compare::Eq, |a, b| a == b),
        (Compare::Ne, |a, b| a != b),
        (Compare::Lt, |a, b| a < b),
        (Compare::Le, |a, b| a <= b),
        (Compare::Gt, |a, b| a > b),
        (Compare::Ge, |a, b| a >= b),
        (Compare::MaskedEq(0x1_0000_0007), |a, b| {
            a & 0x1_0000_0007 == b
        }),
    ];
    for (compare, holds) in table {
        let conditions = [Condition {
            arg: 2,
            compare,
            value,
        }];
        let program = assemble(
            &[Arch::X86_64],
            EPERM,
            &[rule(&["ioctl"], Action::Allow, &conditions)],
        )
        .unwrap();
        for sample in samples {
            let expected = if holds(sample, value) {
                Action::Allow
            } else {
                EPERM
            };
            let result = run(&program, Arch::X86_64, 16, [9, 9, sample, 9, 9, 9]);
            assert_eq!(result, expected.value(), "{compare:?} {sample:#x}");
        }
    }
}

#[test]
fn conditions_on_one_argument_are_alternatives_and_on_several_are_not() {
    let is = |arg, value| Condition {
        arg,
        compare: Compare::Eq,
        value,
    };
    let rules = [
        rule(&["personality"], Action::Allow, &[is(0, 8), is(0, 0)]),
        rule(&["fcntl"], Action::Allow, &[is(0, 1), is(1, 2)]),
    ];
    let program = assemble(&[Arch::X86_64], EPERM, &rules).unwrap();
    let allowed = |number, args| run(&program, Arch::X86_64, number, args) == Action::Allow.value();
    assert!(
        allowed(135, [8, 0, 0, 0, 0, 0])
            && allowed(135, [0; 6])
            && !allowed(135, [1, 0, 0, 0, 0, 0])
    );
    assert!(
        allowed(72, [1, 2, 0, 0, 0, 0])
            && !allowed(72, [1, 3, 0, 0, 0, 0])
            && !allowed(72, [0, 2, 0, 0, 0, 0])
    );
}

#[test]
fn tables_are_sorted_and_bad_arguments_refused() {
    for arch in [Arch::X86_64, Arch::X86, Arch::Aarch64] {
        assert!(arch.table().is_sorted_by(|a, b| a.0 < b.0), "{arch:?}");
    }
    assert_eq!(Arch::Aarch64.number("openat"), Some(56));
    let bad = [rule(
        &["read"],
        Action::Allow,
        &[Condition {
            arg: 6,
            compare: Compare::Eq,
            value: 0,
        }],
    )];
    assert!(assemble(&[Arch::X86_64], EPERM, &bad).is_err());
}

#[test]
fn numbers_of_the_table_are_this_machines() {
    let native = Arch::native();
    assert_eq!(
        native.number("execve").map(i64::from),
        Some(libc::SYS_execve)
    );
    assert_eq!(
        native.number("clone3").map(i64::from),
        Some(libc::SYS_clone3)
    );
    assert_eq!(native.number("mount").map(i64::from), Some(libc::SYS_mount));
}

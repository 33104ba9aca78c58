//! From rules to instructions.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use libc::sock_filter;

use super::{Action, Arch, Compare, Condition, Program, Rule};
use crate::error::{Error, Result};

/// Instructions of classic BPF (linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Calls of x86-64 programs with 32-bit pointers have this bit.
const X32_BIT: u32 = 0x4000_0000;

/// Longest program that the kernel takes (BPF_MAXINSNS).
const LONGEST: usize = 4096;

/// One alternative of a call: the action, if all conditions hold.
type Clause = (Vec<Condition>, Action);

/// What happens to a range of numbers.
#[derive(Clone, PartialEq)]
enum Leaf {
    Always(Action),
    Depends(Vec<Clause>, Action),
}

/// Makes the filter for programs of `arches`; those of others are killed. Calls that are newer than every call that a
/// rule names fail with ENOSYS, if the default is an errno: programs then try an older call.
///
/// # Errors
/// A condition on an argument that does not exist, or too many rules.
pub fn assemble(arches: &[Arch], default: Action, rules: &[Rule]) -> Result<Program> {
    for condition in rules.iter().flat_map(|rule| &rule.conditions) {
        if condition.arg > 5 {
            return Err(Error::other(
                format!("system call argument {}", condition.arg),
                "there are six, from 0 to 5",
            ));
        }
    }
    let mut code = vec![statement(LOAD, ARCHITECTURE)];
    for arch in arches {
        let section = section(*arch, default, rules);
        code.push(branch(JUMP_EQUAL, arch.audit(), 1, 0));
        code.push(statement(JUMP, length(&section)));
        code.extend(section);
    }
    code.push(give(Action::KillProcess));
    if code.len() > LONGEST {
        return Err(Error::other(
            "system call filter",
            format!("{} instructions, at most {LONGEST}", code.len()),
        ));
    }
    Ok(Program(code))
}

fn section(arch: Arch, default: Action, rules: &[Rule]) -> Vec<sock_filter> {
    let mut code = vec![statement(LOAD, NUMBER)];
    if arch == Arch::X86_64 {
        code.push(branch(JUMP_GREATER_EQUAL, X32_BIT, 0, 1));
        code.push(give(Action::Errno(libc::ENOSYS as u16)));
    }
    code.extend(search(&leaves(arch, default, rules)));
    code
}

/// The ranges by their first numbers, from 0.
fn leaves(arch: Arch, default: Action, rules: &[Rule]) -> Vec<(u32, Leaf)> {
    let mut calls: BTreeMap<u32, Vec<Clause>> = BTreeMap::new();
    for rule in rules {
        let clauses = clauses(rule);
        for number in rule.names.iter().filter_map(|name| arch.number(name)) {
            calls
                .entry(number)
                .or_default()
                .extend(clauses.iter().cloned());
        }
    }
    let after = calls.keys().next_back().map_or(0, |last| last + 1);
    let unknown = if matches!(default, Action::Errno(_)) {
        Action::Errno(libc::ENOSYS as u16)
    } else {
        default
    };
    let mut leaves: Vec<(u32, Leaf)> = Vec::new();
    for number in 0..=after {
        let leaf = match calls.get(&number) {
            None if number == after => Leaf::Always(unknown),
            None => Leaf::Always(default),
            Some(clauses) => {
                let (depends, always): (Vec<_>, Vec<_>) =
                    clauses.iter().cloned().partition(|(c, _)| !c.is_empty());
                let otherwise = always.first().map_or(default, |(_, action)| *action);
                // A condition that changes nothing is left out.
                if depends.iter().all(|(_, action)| *action == otherwise) {
                    Leaf::Always(otherwise)
                } else {
                    Leaf::Depends(depends, otherwise)
                }
            }
        };
        if leaves.last().is_none_or(|(_, last)| *last != leaf) {
            leaves.push((number, leaf));
        }
    }
    leaves
}

/// A rule's alternatives: conditions on different arguments must all hold, of those on one argument any.
fn clauses(rule: &Rule) -> Vec<Clause> {
    let mut seen = [false; 6];
    let repeated = rule.conditions.iter().any(|condition| {
        let place = &mut seen[condition.arg as usize];
        std::mem::replace(place, true)
    });
    if repeated {
        rule.conditions
            .iter()
            .map(|condition| (vec![*condition], rule.action))
            .collect()
    } else {
        vec![(rule.conditions.clone(), rule.action)]
    }
}

/// Binary search for the range of the loaded number; every path ends in a return.
fn search(leaves: &[(u32, Leaf)]) -> Vec<sock_filter> {
    match leaves {
        [] => vec![give(Action::KillProcess)],
        [(_, Leaf::Always(action))] => vec![give(*action)],
        [(_, Leaf::Depends(clauses, otherwise))] => {
            let mut code: Vec<sock_filter> = clauses.iter().flat_map(clause).collect();
            code.push(give(*otherwise));
            code
        }
        _ => {
            let (low, high) = leaves.split_at(leaves.len() / 2);
            let low = search(low);
            let mut code = vec![
                branch(JUMP_GREATER_EQUAL, high[0].0, 0, 1),
                statement(JUMP, length(&low)),
            ];
            code.extend(low);
            code.extend(search(high));
            code
        }
    }
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    Next,
    Holds,
    Fails,
}

/// Returns the action if all conditions hold; otherwise goes on behind itself.
fn clause((conditions, action): &Clause) -> Vec<sock_filter> {
    let mut lines: Vec<(sock_filter, To, To, usize)> = Vec::new();
    for (index, condition) in conditions.iter().enumerate() {
        lines.extend(
            compare(condition)
                .into_iter()
                .map(|(code, yes, no)| (code, yes, no, index)),
        );
    }
    let end_of = |index: usize| lines.iter().rposition(|line| line.3 == index).unwrap_or(0);
    let mut code = Vec::with_capacity(lines.len() + 1);
    for (at, (line, yes, no, index)) in lines.iter().enumerate() {
        let skip = |to: &To| match to {
            To::Next => 0,
            To::Holds => end_of(*index) - at,
            // Behind the return that follows the last line.
            To::Fails => lines.len() - at,
        };
        // A clause has at most six conditions of seven lines: the distances fit.
        let small = |distance: usize| u8::try_from(distance).unwrap_or(u8::MAX);
        code.push(sock_filter {
            jt: small(skip(yes)),
            jf: small(skip(no)),
            ..*line
        });
    }
    code.push(give(*action));
    code
}

/// A 64-bit comparison in 32-bit steps, the high half first.
fn compare(condition: &Condition) -> Vec<(sock_filter, To, To)> {
    let low_at = ARGUMENTS + 8 * condition.arg;
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let load = |at: u32| (statement(LOAD, at), To::Next, To::Next);
    let test = |code: u16, value: u32, yes: To, no: To| (branch(code, value, 0, 0), yes, no);
    let mask = |mask: u32| (statement(AND, mask), To::Next, To::Next);
    let ordered = |high_yes: To, high_no: To, code: u16, yes: To, no: To| {
        vec![
            load(low_at + 4),
            test(JUMP_GREATER, high, high_yes, To::Next),
            test(JUMP_EQUAL, high, To::Next, high_no),
            load(low_at),
            test(code, low, yes, no),
        ]
    };
    match condition.compare {
        Compare::Eq => vec![
            load(low_at + 4),
            test(JUMP_EQUAL, high, To::Next, To::Fails),
            load(low_at),
            test(JUMP_EQUAL, low, To::Holds, To::Fails),
        ],
        Compare::Ne => vec![
            load(low_at + 4),
            test(JUMP_EQUAL, high, To::Next, To::Holds),
            load(low_at),
            test(JUMP_EQUAL, low, To::Fails, To::Holds),
        ],
        Compare::MaskedEq(bits) => vec![
            load(low_at + 4),
            mask((bits >> 32) as u32),
            test(JUMP_EQUAL, high, To::Next, To::Fails),
            load(low_at),
            mask(bits as u32),
            test(JUMP_EQUAL, low, To::Holds, To::Fails),
        ],
        Compare::Gt => ordered(To::Holds, To::Fails, JUMP_GREATER, To::Holds, To::Fails),
        Compare::Ge => ordered(
            To::Holds,
            To::Fails,
            JUMP_GREATER_EQUAL,
            To::Holds,
            To::Fails,
        ),
        Compare::Lt => ordered(
            To::Fails,
            To::Holds,
            JUMP_GREATER_EQUAL,
            To::Fails,
            To::Holds,
        ),
        Compare::Le => ordered(To::Fails, To::Holds, JUMP_GREATER, To::Fails, To::Holds),
    }
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn give(action: Action) -> sock_filter {
    statement(RETURN, action.value())
}

fn length(code: &[sock_filter]) -> u32 {
    u32::try_from(code.len()).unwrap_or(u32::MAX)
}

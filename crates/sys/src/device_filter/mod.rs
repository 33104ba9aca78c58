//! Who may use which device node: a program in the kernel on a cgroup v2 (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::{Context, Result, check};
use crate::signal;

/// Commands of bpf(2) (linux/bpf.h).
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Programs of groups below and of others here count too: all must allow.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// Most programs on one group (the kernel's own limit, BPF_CGROUP_MAX_PROGS).
const MOST_PROGRAMS: usize = 64;

/// Kind of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block devices.
    Block,
    /// Character devices.
    Character,
    /// Both.
    All,
}

/// What is done with a device, one bit each: 1 mknod, 2 read, 4 write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(pub u8);

impl Access {
    /// Everything.
    pub const ALL: Access = Access(7);

    /// From letters of `rwm`; nothing else counts. No letter means everything.
    #[must_use]
    pub fn from_letters(letters: &str) -> Access {
        let bits = letters.chars().fold(0, |bits, letter| {
            bits | match letter {
                'm' => 1,
                'r' => 2,
                'w' => 4,
                _ => 0,
            }
        });
        if bits == 0 { Access::ALL } else { Access(bits) }
    }
}

/// A rule. The last one that matches decides; without one the access is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Allow or deny.
    pub allow: bool,
    /// Which devices.
    pub kind: DeviceKind,
    /// Major number; any if `None`.
    pub major: Option<u32>,
    /// Minor number; any if `None`.
    pub minor: Option<u32>,
    /// An allowing rule matches when all that is asked for is in here, a denying one when some of it is.
    pub access: Access,
}

/// An instruction of the extended BPF (linux/bpf.h).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbc; // 32 bits
const MOVE_IMMEDIATE: u8 = 0xb4;
const AND_IMMEDIATE: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x56; // 32 bits, immediate
const JUMP_EQUAL: u8 = 0x16;
const EXIT: u8 = 0x95;

fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: (from << 4) | to,
        offset,
        immediate,
    }
}

/// The program. r1 is the context (access and kind, major, minor); r2 kind, r3 access, r4 major, r5 minor.
fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let mut code = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND_IMMEDIATE, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let mut tests = Vec::new();
        match rule.kind {
            DeviceKind::Block => tests.push((JUMP_NOT_EQUAL, 2, 1)),
            DeviceKind::Character => tests.push((JUMP_NOT_EQUAL, 2, 2)),
            DeviceKind::All => {}
        }
        let exact = |number: u32| number.cast_signed();
        tests.extend(rule.major.map(|major| (JUMP_NOT_EQUAL, 4, exact(major))));
        tests.extend(rule.minor.map(|minor| (JUMP_NOT_EQUAL, 5, exact(minor))));
        let mut block: Vec<Instruction> = tests
            .into_iter()
            .map(|(code, register, value)| instruction(code, register, 0, 0, value))
            .collect();
        if rule.access != Access::ALL {
            let bits = i32::from(rule.access.0);
            block.push(instruction(MOVE_REGISTER, 1, 3, 0, 0));
            if rule.allow {
                block.push(instruction(AND_IMMEDIATE, 1, 0, 0, !bits & 7));
                block.push(instruction(JUMP_NOT_EQUAL, 1, 0, 0, 0));
            } else {
                block.push(instruction(AND_IMMEDIATE, 1, 0, 0, bits));
                block.push(instruction(JUMP_EQUAL, 1, 0, 0, 0));
            }
        }
        block.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, i32::from(rule.allow)));
        block.push(instruction(EXIT, 0, 0, 0, 0));
        let end = block.len();
        for (at, line) in block.iter_mut().enumerate() {
            if matches!(line.code, JUMP_NOT_EQUAL | JUMP_EQUAL) {
                line.offset = i16::try_from(end - at - 1).unwrap_or(i16::MAX);
            }
        }
        let unconditional = end == 2;
        code.extend(block);
        if unconditional {
            // The verifier refuses instructions that nothing can reach.
            return code;
        }
    }
    code.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

/// The part of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The part of `union bpf_attr` for BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// The part of `union bpf_attr` for BPF_PROG_QUERY.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<i64> {
    // SAFETY: the structure is the command's prefix of bpf_attr, its size is given, and what its pointers point to
    // lives in the callers across the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn load(rules: &[Rule]) -> io::Result<OwnedFd> {
    let code = compile(rules);
    let license = c"Apache-2.0";
    let mut attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(code.len()).map_err(io::Error::other)?,
        insns: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..LoadAttr::default()
    };
    // The verifier gives up with EAGAIN when a signal is pending for the thread (Linux, kernel/bpf/verifier.c, since 4.20),
    // and SIGCHLD comes at any time.
    let fd = signal::while_blocked(|| bpf(BPF_PROG_LOAD, &mut attr))??;
    // SAFETY: the kernel has just opened it for us, close-on-exec as all of bpf(2)'s.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) })
}

/// Puts the rules on the cgroup whose directory is open as `cgroup`, in the place of those it had.
///
/// # Errors
/// When the kernel has no BPF for cgroups (CONFIG_CGROUP_BPF), or no right.
pub fn attach(cgroup: impl AsFd, rules: &[Rule]) -> Result<()> {
    let what = || "attach device filter".to_owned();
    let cgroup = cgroup.as_fd();
    let program = load(rules).what(what)?;
    let before = attached(cgroup).what(what)?;
    let mut attr = AttachAttr {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program.as_fd()),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &mut attr).what(what)?;
    // The new one first: there is no moment without a filter.
    for old in before {
        let mut attr = AttachAttr {
            attach_bpf_fd: number(old.as_fd()),
            attach_flags: 0,
            ..attr
        };
        bpf(BPF_PROG_DETACH, &mut attr).what(what)?;
    }
    Ok(())
}

fn attached(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target_fd: number(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST_PROGRAMS as u32,
        ..QueryAttr::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    let count = usize::try_from(attr.prog_cnt)
        .unwrap_or(0)
        .min(MOST_PROGRAMS);
    let mut programs = Vec::with_capacity(count);
    for id in &ids[..count] {
        /// The part of `union bpf_attr` for BPF_PROG_GET_FD_BY_ID.
        #[repr(C)]
        struct IdAttr {
            id: u32,
            next_id: u32,
            open_flags: u32,
        }
        let mut attr = IdAttr {
            id: *id,
            next_id: 0,
            open_flags: 0,
        };
        let fd = bpf(BPF_PROG_GET_FD_BY_ID, &mut attr)?;
        // SAFETY: the kernel has just opened it for us.
        programs
            .push(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) });
    }
    Ok(programs)
}

#[cfg(test)]
mod tests;

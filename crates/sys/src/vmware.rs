//! The I/O port by which a guest talks with VMware's hypervisor ("backdoor"; facts of the port in open-vm-tools'
//! backdoor_def.h and in Linux's drivers/gpu/drm/vmwgfx/vmwgfx_msg.c).

/// What `eax` holds for the hypervisor to take the port as its own.
pub const MAGIC: u32 = 0x564d_5868;
/// The port.
pub const PORT: u32 = 0x5658;

/// What the processor hands over, and gets back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registers {
    /// `eax`: set to [`MAGIC`] by [`call`].
    pub a: u32,
    /// `ebx`.
    pub b: u32,
    /// `ecx`.
    pub c: u32,
    /// `edx`: its lower half is set to [`PORT`] by [`call`].
    pub d: u32,
    /// `esi`.
    pub si: u32,
    /// `edi`.
    pub di: u32,
}

/// Reads the port once. None where processors have no such port.
///
/// VMware's hypervisor answers every program of the guest. Anywhere else the processor refuses, and the kernel ends the program
/// with SIGSEGV: to be called on a machine of VMware's only, and in a process that may end.
#[cfg(target_arch = "x86_64")]
pub fn call(registers: Registers) -> Option<Registers> {
    let Registers { c, si, di, .. } = registers;
    let d = (registers.d & 0xffff_0000) | PORT;
    let (a, b, c_after, d_after, si_after, di_after): (u32, u64, u32, u32, u32, u32);
    // SAFETY: `in` reads a port into eax, and the hypervisor changes only the registers that are named here; with messages of the
    // low bandwidth it does not touch memory. rbx is LLVM's own and gets its value back.
    unsafe {
        core::arch::asm!(
            "xchg {b:r}, rbx",
            "in eax, dx",
            "xchg {b:r}, rbx",
            b = inout(reg) u64::from(registers.b) => b,
            inout("eax") MAGIC => a,
            inout("ecx") c => c_after,
            inout("edx") d => d_after,
            inout("esi") si => si_after,
            inout("edi") di => di_after,
            options(nostack),
        );
    }
    Some(Registers {
        a,
        b: (b & 0xffff_ffff) as u32,
        c: c_after,
        d: d_after,
        si: si_after,
        di: di_after,
    })
}

/// Reads the port once. None where processors have no such port.
#[cfg(not(target_arch = "x86_64"))]
pub fn call(_registers: Registers) -> Option<Registers> {
    None
}

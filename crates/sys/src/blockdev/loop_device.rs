//! Files as block devices: loop(4), LOOP_CONFIGURE (Linux 5.8).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result, check};

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// How often another free device is asked for when somebody else has taken the one found.
const ATTEMPTS: usize = 64;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// A loop device. It frees itself when nobody has it open or mounted, this value included: mount it before dropping.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _open: File,
}

impl LoopDevice {
    /// Its node, `/dev/loopN`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for LoopDevice {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// Makes a block device of a file.
///
/// # Errors
/// When the file cannot be opened or the kernel has no loop devices.
pub fn loop_attach(file: &Path, read_only: bool) -> Result<LoopDevice> {
    let what = || format!("attach loop device to {}", file.display());
    let backing = OpenOptions::new()
        .read(true)
        .write(!read_only)
        .open(file)
        .what(what)?;
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control")
        .what(what)?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match attach_free(&control, &backing, file, read_only) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && attempts < ATTEMPTS => {}
            result => return result.what(what),
        }
    }
}

fn attach_free(
    control: &File,
    backing: &File,
    file: &Path,
    read_only: bool,
) -> io::Result<LoopDevice> {
    // SAFETY: LOOP_CTL_GET_FREE has no argument.
    let number = check(i64::from(unsafe {
        libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE)
    }))?;
    let path = PathBuf::from(format!("/dev/loop{number}"));
    let open = OpenOptions::new()
        .read(true)
        .write(!read_only)
        .open(&path)?;
    let mut file_name = [0; 64];
    let name = file.as_os_str().as_encoded_bytes();
    let shown = name.len().min(file_name.len() - 1);
    file_name[..shown].copy_from_slice(&name[..shown]);
    let config = LoopConfig {
        fd: backing.as_raw_fd().unsigned_abs(),
        block_size: 0,
        info: LoopInfo64 {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            sizelimit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR | if read_only { LO_FLAGS_READ_ONLY } else { 0 },
            file_name,
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the structure is the kernel's and lives across the call.
    check(i64::from(unsafe {
        libc::ioctl(open.as_raw_fd(), LOOP_CONFIGURE, &raw const config)
    }))?;
    Ok(LoopDevice { path, _open: open })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<LoopInfo64>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}

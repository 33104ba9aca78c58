//! `modprobe`, for the kernel: it runs /sbin/modprobe when a program asks for a protocol, a file system or a device
//! whose module is not loaded (kernel documentation, admin-guide/sysctl/kernel.rst, "modprobe").
//!
//! The kernel's own call is `modprobe -q -- NAME`; operators have the real program in the console.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use sys::modules::ModuleIndex;

/// Loads the module that the last argument names. The kernel looks at nothing but whether it can go on afterwards, so a
/// name without a module is a quiet failure.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let name = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .rfind(|argument| !argument.starts_with('-'));
    let directory = Path::new("/lib/modules").join(sys::kernel_release());
    let loaded = name.is_some_and(|name| {
        ModuleIndex::open(&directory).is_ok_and(|mut index| index.load(name, "").is_ok())
    });
    if loaded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

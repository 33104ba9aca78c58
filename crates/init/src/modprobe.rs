//! Loads a module for the kernel, which asks when a program wants a protocol, a file system or a device whose module is not
//! loaded (kernel documentation, admin-guide/sysctl/kernel.rst, "modprobe"). Operators have the real program in the console.

use std::path::Path;
use std::process::ExitCode;

use sys::modules::{self, ModuleIndex};

/// Asked for by dhcpcd, for each link, and of use only with a card whose driver brings the module.
const WIFI_FAMILY: &str = "net-pf-16-proto-16-family-nl80211";

/// Loads the module of this name or alias. The kernel looks at nothing but whether it can go on afterwards, so a name
/// without a module is a quiet failure. It is a quick one, too: whoever starts a program of another architecture, as dockerd
/// does nine times when it starts, waits for the kernel to ask for a module `binfmt-464c`.
pub(crate) fn load(name: &str) -> ExitCode {
    let directory = Path::new("/lib/modules").join(sys::kernel_release());
    let loaded = !name.starts_with('-')
        && name != WIFI_FAMILY
        && modules::is_known(&directory, name)
        && ModuleIndex::open(&directory).is_ok_and(|mut index| index.load(name, "").is_ok());
    if loaded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

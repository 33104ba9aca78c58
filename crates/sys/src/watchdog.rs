//! Watchdog timers: hardware that resets a machine whose software gives no sign of life (the kernel's
//! watchdog/watchdog-api).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Result, check};

/// `WDIOC_SETTIMEOUT` of linux/watchdog.h: `_IOWR('W', 6, int)`.
const SET_TIMEOUT: libc::c_ulong = 0xC004_5706;
/// `WDIOC_GETTIMEOUT`: `_IOR('W', 7, int)`.
const GET_TIMEOUT: libc::c_ulong = 0x8004_5707;
/// `WDIOC_GETSUPPORT`: `_IOR('W', 0, struct watchdog_info)`.
const GET_SUPPORT: libc::c_ulong = 0x8028_5700;
/// What is written before the device is closed, to stop the timer.
const MAGIC_CLOSE: &[u8] = b"V";
/// Any other byte is a sign of life.
const SIGN_OF_LIFE: &[u8] = b"\0";

/// `struct watchdog_info` of linux/watchdog.h.
#[repr(C)]
struct Support {
    options: u32,
    firmware_version: u32,
    identity: [u8; 32],
}

/// A timer that runs. Dropping it does not stop it: the machine is reset unless somebody opens the device again in time.
#[derive(Debug)]
pub struct Watchdog(File);

impl Watchdog {
    /// Opens the device, which starts the timer.
    ///
    /// # Errors
    /// When there is no device, or somebody has it open.
    pub fn open(path: &Path) -> Result<Watchdog> {
        let file = OpenOptions::new().write(true).open(path);
        Ok(Watchdog(file.what(|| format!("open {}", path.display()))?))
    }

    /// One that an earlier program of this process has opened.
    #[must_use]
    pub fn inherited(descriptor: OwnedFd) -> Watchdog {
        Watchdog(File::from(descriptor))
    }

    /// Shows a sign of life.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn feed(&self) -> Result<()> {
        (&self.0)
            .write_all(SIGN_OF_LIFE)
            .what(|| "feed the watchdog".to_owned())
    }

    /// Sets how long the machine may be without a sign of life, in whole seconds, and returns what the device makes of it.
    ///
    /// # Errors
    /// When the device cannot be set to that.
    pub fn set_timeout(&self, timeout: Duration) -> Result<Duration> {
        let seconds = libc::c_int::try_from(timeout.as_secs()).unwrap_or(libc::c_int::MAX);
        self.timeout_call(SET_TIMEOUT, seconds)
            .what(|| format!("set the watchdog to {seconds} s"))
    }

    /// How long the machine may be without a sign of life.
    ///
    /// # Errors
    /// When the device does not tell.
    pub fn timeout(&self) -> Result<Duration> {
        self.timeout_call(GET_TIMEOUT, 0)
            .what(|| "ask the watchdog for its timeout".to_owned())
    }

    /// What the driver calls the device.
    ///
    /// # Errors
    /// When the device does not tell.
    pub fn identity(&self) -> Result<String> {
        let mut support = Support {
            options: 0,
            firmware_version: 0,
            identity: [0; 32],
        };
        // SAFETY: the kernel writes one `struct watchdog_info`, which lives across the call.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                GET_SUPPORT as _,
                std::ptr::from_mut(&mut support),
            )
        };
        check(i64::from(result)).what(|| "ask the watchdog for its name".to_owned())?;
        let name = support.identity.split(|byte| *byte == 0).next();
        Ok(String::from_utf8_lossy(name.unwrap_or_default()).into_owned())
    }

    fn timeout_call(
        &self,
        request: libc::c_ulong,
        seconds: libc::c_int,
    ) -> std::io::Result<Duration> {
        let mut seconds = seconds;
        // SAFETY: both requests read or write one int, which lives across the call.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                request as _,
                std::ptr::from_mut(&mut seconds),
            )
        };
        check(i64::from(result))?;
        Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Stops the timer and closes the device. A driver with `nowayout` does not stop.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn stop(self) -> Result<()> {
        (&self.0)
            .write_all(MAGIC_CLOSE)
            .what(|| "stop the watchdog".to_owned())
    }
}

impl AsFd for Watchdog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_never_hold_what_stops_the_timer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchdog0");
        std::fs::write(&path, "").unwrap();
        let dog = Watchdog::open(&path).unwrap();
        dog.feed().unwrap();
        dog.feed().unwrap();
        assert!(dog.set_timeout(Duration::from_secs(60)).is_err(), "a file");
        dog.stop().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0V");
        let error = Watchdog::open(&folder.path().join("watchdog1")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
}

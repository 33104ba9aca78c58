//! GUIDs as a partition table has them (UEFI specification, appendix A).

use std::fmt;

/// A GUID in the order of its text, most significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// From a text's number: `Guid::new(0xC12A7328_F81F_11D2_BA4B_00C04FC93C9B)`.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// Makes random bytes a version 4 GUID (RFC 9562, section 5.4).
    #[must_use]
    pub const fn random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Swaps between the text's order and the disk's, where the first three fields are little-endian.
    pub(crate) const fn swapped(self) -> [u8; 16] {
        let b = self.0;
        [
            b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
            b[14], b[15],
        ]
    }

    pub(crate) const fn from_disk(bytes: [u8; 16]) -> Self {
        Self(Self(bytes).swapped())
    }
}

/// In lower case, as Linux and GRUB write a PARTUUID.
impl fmt::Display for Guid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

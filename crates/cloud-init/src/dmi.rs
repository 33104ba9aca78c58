//! What the firmware says about the machine (SMBIOS), as Linux shows it below /sys/class/dmi/id.

use std::fs;
use std::path::Path;

/// Where Linux shows it (Documentation/ABI/testing/sysfs-firmware-dmi-entries and drivers/firmware/dmi-id.c).
pub const DIRECTORY: &str = "/sys/class/dmi/id";

/// Longest text taken of one field, in bytes; the kernel's own are shorter.
const MAX_TEXT: usize = 256;

/// A field that platforms are told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Maker of the machine.
    SysVendor,
    /// Model.
    ProductName,
    /// Serial number; some platforms put the machine's id there.
    ProductSerial,
    /// UUID of the machine.
    ProductUuid,
    /// Asset tag of the chassis.
    ChassisAssetTag,
    /// Serial number of the chassis.
    ChassisSerial,
    /// Maker of the board.
    BoardVendor,
}

impl Field {
    /// Every field with the name of its file; `__dmi.NAME__` of a NoCloud seed uses the same, with dashes.
    pub const ALL: [(Field, &'static str); 7] = [
        (Field::SysVendor, "sys_vendor"),
        (Field::ProductName, "product_name"),
        (Field::ProductSerial, "product_serial"),
        (Field::ProductUuid, "product_uuid"),
        (Field::ChassisAssetTag, "chassis_asset_tag"),
        (Field::ChassisSerial, "chassis_serial"),
        (Field::BoardVendor, "board_vendor"),
    ];
}

/// The fields of this machine; one that it lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dmi {
    texts: [String; Field::ALL.len()],
}

impl Dmi {
    /// Reads the fields below `directory`.
    pub fn read(directory: &Path) -> Dmi {
        let mut dmi = Dmi::default();
        for (field, name) in Field::ALL {
            let text = fs::read(directory.join(name)).unwrap_or_default();
            dmi.set(
                field,
                &String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT)]),
            );
        }
        dmi
    }

    /// A field's text without blanks at its ends.
    pub fn get(&self, field: Field) -> &str {
        self.place(field).map_or("", |place| &self.texts[place])
    }

    /// Sets a field, as tests do.
    pub fn set(&mut self, field: Field, text: &str) {
        if let Some(place) = self.place(field) {
            text.trim().clone_into(&mut self.texts[place]);
        }
    }

    fn place(&self, field: Field) -> Option<usize> {
        Field::ALL.iter().position(|(known, _)| *known == field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_files_and_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("sys_vendor"), "Hetzner\n").unwrap();
        let dmi = Dmi::read(directory.path());
        assert_eq!(dmi.get(Field::SysVendor), "Hetzner");
        assert_eq!(dmi.get(Field::ProductName), "");
    }
}

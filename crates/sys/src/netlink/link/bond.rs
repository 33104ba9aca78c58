//! Options of a bond (`linux/if_link.h`, IFLA_BOND_*; Documentation/networking/bonding.rst).

use crate::netlink::message::Message;

/// How many bytes an option has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    U8,
    U16,
    U32,
}

/// Options with a number, or one of these words for 0, 1, 2 ...
const OPTIONS: &[(&str, u16, Size, &[&str])] = &[
    (
        "mode",
        1,
        Size::U8,
        &[
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ],
    ),
    ("miimon", 3, Size::U32, &[]),
    ("updelay", 4, Size::U32, &[]),
    ("downdelay", 5, Size::U32, &[]),
    ("use_carrier", 6, Size::U8, &[]),
    ("arp_interval", 7, Size::U32, &[]),
    (
        "arp_validate",
        9,
        Size::U32,
        &["none", "active", "backup", "all"],
    ),
    ("arp_all_targets", 10, Size::U32, &["any", "all"]),
    (
        "primary_reselect",
        12,
        Size::U8,
        &["always", "better", "failure"],
    ),
    ("fail_over_mac", 13, Size::U8, &["none", "active", "follow"]),
    (
        "xmit_hash_policy",
        14,
        Size::U8,
        &[
            "layer2",
            "layer3+4",
            "layer2+3",
            "encap2+3",
            "encap3+4",
            "vlan+srcmac",
        ],
    ),
    ("resend_igmp", 15, Size::U32, &[]),
    ("num_grat_arp", 16, Size::U8, &[]),
    ("num_unsol_na", 16, Size::U8, &[]),
    ("all_slaves_active", 17, Size::U8, &[]),
    ("min_links", 18, Size::U32, &[]),
    ("lp_interval", 19, Size::U32, &[]),
    ("packets_per_slave", 20, Size::U32, &[]),
    ("lacp_rate", 21, Size::U8, &["slow", "fast"]),
    ("ad_select", 22, Size::U8, &["stable", "bandwidth", "count"]),
    ("ad_actor_sys_prio", 24, Size::U16, &[]),
    ("ad_user_port_key", 25, Size::U16, &[]),
    ("tlb_dynamic_lb", 27, Size::U8, &[]),
];

/// Options of a bond that is created; the default is the kernel's: balance-rr without link monitoring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BondOptions {
    values: Vec<(u16, Size, u32)>,
}

impl BondOptions {
    /// Adds an option by the name that the kernel's documentation has, as a word or a number.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some((_, kind, size, words)) = OPTIONS.iter().find(|option| option.0 == name) else {
            return Err(format!("{name:?} is not an option of a bond"));
        };
        let word = words.iter().position(|word| *word == value);
        let number = word.and_then(|index| u32::try_from(index).ok());
        let number = number.or_else(|| value.trim().parse().ok());
        let most = match size {
            Size::U8 => u32::from(u8::MAX),
            Size::U16 => u32::from(u16::MAX),
            Size::U32 => u32::MAX,
        };
        match number {
            Some(number) if number <= most => {
                self.values.push((*kind, *size, number));
                // The mode first: the kernel checks other options against it.
                self.values.sort_by_key(|(kind, ..)| *kind);
                Ok(())
            }
            _ if words.is_empty() => Err(format!("{name} is a number, not {value:?}")),
            _ => Err(format!(
                "{name} is one of {}, not {value:?}",
                words.join(", ")
            )),
        }
    }

    pub(super) fn encode(&self, message: &mut Message) {
        for (kind, size, value) in &self.values {
            let bytes = value.to_ne_bytes();
            match size {
                Size::U8 => message.attr_u8(*kind, u8::try_from(*value).unwrap_or(u8::MAX)),
                Size::U16 => message.attr_u16(*kind, u16::try_from(*value).unwrap_or(u16::MAX)),
                Size::U32 => message.attr(*kind, &bytes),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_words_or_numbers_and_the_mode_comes_first() {
        let mut options = BondOptions::default();
        options.set("miimon", "100").unwrap();
        options.set("xmit_hash_policy", "layer3+4").unwrap();
        options.set("mode", "active-backup").unwrap();
        assert_eq!(
            options.values,
            [(1, Size::U8, 1), (3, Size::U32, 100), (14, Size::U8, 1)]
        );
        assert!(
            options
                .set("mode", "fast")
                .unwrap_err()
                .contains("active-backup")
        );
        assert!(options.set("speed", "1").is_err());
        assert!(options.set("mode", "300").is_err());
    }
}

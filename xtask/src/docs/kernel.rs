//! Where the kernel's configuration is not what guides to hardening ask for.

use std::fmt::Write as _;

use crate::kernel::Open;

/// The table, in the declaration's order.
pub(super) fn table(open: &[Open]) -> String {
    let mut text =
        String::from("| asked for, and off | to be left out, and on | why |\n|---|---|---|\n");
    for row in open {
        // A string takes what is written.
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            row.off.join(", "),
            row.on.join(", "),
            row.reason
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_both_lists_and_the_reason() {
        let open = Open {
            reason: "because".to_owned(),
            off: vec!["A".to_owned(), "B".to_owned()],
            on: vec!["C".to_owned()],
        };
        assert!(table(&[open]).ends_with("\n| A, B | C | because |\n"));
    }
}

//! Debian version numbers and their order (deb-version(7), Debian policy 5.6.12).

use std::cmp::Ordering;

/// Orders two version strings `[epoch:]upstream[-revision]`.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left_upstream, left_revision) = split(left);
    let (right_epoch, right_upstream, right_revision) = split(right);
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| compare_part(left_upstream, right_upstream))
        .then_with(|| compare_part(left_revision, right_revision))
}

/// Epoch, upstream version, revision; what is absent counts as 0 or empty.
fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Orders one part: runs of non-digits by `weight`, runs of digits by value, in turn.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        let order = compare_letters(&mut left, &mut right)
            .then_with(|| compare_digits(&mut left, &mut right));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_letters(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    loop {
        let (one, two) = (letter(left), letter(right));
        if one.is_none() && two.is_none() {
            return Ordering::Equal;
        }
        let order = weight(one).cmp(&weight(two));
        if order != Ordering::Equal {
            return order;
        }
        *left = left.get(1..).unwrap_or_default();
        *right = right.get(1..).unwrap_or_default();
    }
}

/// The next byte unless it is a digit or the end.
fn letter(text: &[u8]) -> Option<u8> {
    text.first().copied().filter(|byte| !byte.is_ascii_digit())
}

/// `~` sorts before the end, the end before letters, letters before everything else.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(byte),
        Some(byte) => i32::from(byte) + 256,
    }
}

fn compare_digits(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    let (one, two) = (digits(left), digits(right));
    one.len().cmp(&two.len()).then_with(|| one.cmp(two))
}

/// Takes a run of digits off the front, without its leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (run, rest) = text.split_at(length);
    *text = rest;
    let zeros = run.iter().take_while(|&&byte| byte == b'0').count();
    &run[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let ascending = [
            "0.9",
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0~rc1-1",
            "1.0",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+deb13u1",
            "1.0-1.1",
            "1.0-2",
            "1.0-10",
            "1.0a",
            "1.0+dfsg",
            "1.0.1",
            "1.10",
            "1:0.1",
            "2:0",
        ];
        for (position, one) in ascending.iter().enumerate() {
            for (other, two) in ascending.iter().enumerate() {
                assert_eq!(
                    compare(one, two),
                    position.cmp(&other),
                    "{one} against {two}"
                );
            }
        }
    }

    #[test]
    fn leading_zeros_and_missing_revision_do_not_matter() {
        assert_eq!(compare("1.01", "1.1"), Ordering::Equal);
        assert_eq!(compare("0:1.0", "1.0"), Ordering::Equal);
        assert_eq!(compare("1.0-0", "1.0"), Ordering::Equal);
    }
}

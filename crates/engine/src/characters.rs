//! Where text may be cut: between characters.

/// Length of `text` without a character of UTF-8 that has only begun at its end. What is not UTF-8 at all is kept whole.
pub(crate) fn whole(text: &[u8]) -> usize {
    // A character has four bytes at most, and all but its first begin with the bits 10 (RFC 3629, section 3).
    let longest = text.len().min(4);
    for back in 1..=longest {
        let at = text.len() - back;
        let needed = match text[at] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if needed > back { at } else { text.len() };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_has_begun_is_left_out() {
        for text in ["", "a", "é", "aé", "€", "a😀", "éé"] {
            assert_eq!(whole(text.as_bytes()), text.len(), "{text}");
        }
        for last in ["é", "€", "😀"] {
            let text = format!("ab{last}");
            for length in 3..text.len() {
                assert_eq!(whole(&text.as_bytes()[..length]), 2, "{last} {length}");
            }
        }
    }

    #[test]
    fn what_is_not_text_is_kept() {
        for bytes in [
            &b"\x80\x80\x80\x80\x80"[..],
            b"\xff",
            b"a\xc0",
            b"\xc3\xa9\xa9",
        ] {
            assert_eq!(whole(bytes), bytes.len(), "{bytes:?}");
        }
    }
}

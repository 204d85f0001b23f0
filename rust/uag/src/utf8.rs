//! UTF-8 as a stream: characters that are there, and the unfinished one at the end.

/// Length of the unfinished character at the end of `bytes`: 0 to 3.
///
/// Only bytes that further bytes could still complete count; anything already known to be invalid
/// is finished (and invalid).
///
/// ```
/// assert_eq!(uag::utf8::unfinished(b"ab"), 0);
/// assert_eq!(uag::utf8::unfinished("日".as_bytes()), 0);
/// assert_eq!(uag::utf8::unfinished(b"a\xe6\x97"), 2);
/// assert_eq!(uag::utf8::unfinished(b"a\xff"), 0);
/// ```
pub fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    for (i, &byte) in tail.iter().enumerate() {
        // Asking the standard library keeps the table of allowed second bytes in one place.
        if byte >= 0xC0
            && let Err(error) = std::str::from_utf8(&tail[i..])
            && error.valid_up_to() == 0
            && error.error_len().is_none()
        {
            return tail.len() - i;
        }
    }
    0
}

/// A character, or a byte that begins none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) char: Option<char>,
    /// Where the next one starts.
    pub(crate) next: usize,
    /// How far the bytes were looked at: one past their end where they end inside a character.
    pub(crate) seen: usize,
}

/// The character that starts at `at`, which must not be the end.
#[inline]
pub(crate) fn decode(bytes: &[u8], at: usize) -> Decoded {
    let lead = bytes[at];
    let alone = |char, seen| Decoded { char, next: at + 1, seen };
    let (length, bits) = match lead {
        ..0x80 => return alone(Some(char::from(lead)), at + 1),
        0xC2..=0xDF => (2, lead & 0x1F),
        0xE0..=0xEF => (3, lead & 0x0F),
        0xF0..=0xF4 => (4, lead & 0x07),
        _ => return alone(None, at + 1),
    };
    let mut code = u32::from(bits);
    for next in at + 1..at + length {
        match bytes.get(next) {
            Some(&byte) if byte & 0xC0 == 0x80 => code = code << 6 | u32::from(byte & 0x3F),
            // The byte itself, or the end, was looked at.
            _ => return alone(None, next + 1),
        }
    }
    let next = at + length;
    // Surrogates, code points past the last and overlong forms are no UTF-8. (Two-byte overlong
    // forms have no valid lead byte.)
    let least = [0x80, 0x800, 0x1_0000][length - 2];
    match char::from_u32(code) {
        char @ Some(_) if code >= least => Decoded { char, next, seen: next },
        _ => alone(None, next),
    }
}

/// The character that starts at `at`, or `None` and length 1 for a byte that starts none.
#[inline]
pub fn char_at(bytes: &[u8], at: usize) -> (Option<char>, usize) {
    let found = decode(bytes, at);
    (found.char, found.next - at)
}

/// Whether a character (or a byte that belongs to none) starts at `at`.
pub fn is_boundary(bytes: &[u8], at: usize) -> bool {
    if at >= bytes.len() || bytes[at] & 0xC0 != 0x80 {
        return true;
    }
    // A continuation byte: inside a character only if one that starts before it reaches over it.
    (1..=3.min(at)).all(|back| {
        let (found, len) = char_at(bytes, at - back);
        found.is_none() || len <= back
    })
}

/// Where the character (or the byte that belongs to none) that ends at `at` begins; 0 at the start.
pub fn before(bytes: &[u8], at: usize) -> usize {
    (at.saturating_sub(4)..at).rev().find(|&back| is_boundary(bytes, back)).unwrap_or(0)
}

/// The character that ends at `at`; `None` at the start and for a byte that belongs to none.
pub(crate) fn char_before(bytes: &[u8], at: usize) -> Option<char> {
    if at == 0 { None } else { char_at(&bytes[..at], before(bytes, at)).0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_text_has_its_unfinished_tail() {
        let text = "aé日😀b";
        for cut in 0..=text.len() {
            let whole = (0..=cut).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            assert_eq!(unfinished(&text.as_bytes()[..cut]), cut - whole, "cut at {cut}");
            assert_eq!(is_boundary(text.as_bytes(), cut), text.is_char_boundary(cut));
        }
    }

    #[test]
    fn bytes_that_no_continuation_can_save_are_finished() {
        for bad in [&b"\xc0"[..], b"\xf5", b"\x80", b"\xed\xa0", b"\xe0\x80", b"\xf4\x90"] {
            assert_eq!(unfinished(bad), 0, "{bad:x?}");
        }
        assert_eq!(unfinished(b"\xf0\x9f\x98"), 3);
    }
}

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

/// The character that starts at `at`, or `None` and length 1 for a byte that starts none.
#[inline]
pub fn char_at(bytes: &[u8], at: usize) -> (Option<char>, usize) {
    let first = bytes[at];
    if first < 0x80 {
        return (Some(first as char), 1);
    }
    let len = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return (None, 1),
    };
    match bytes.get(at..at + len).map(std::str::from_utf8) {
        Some(Ok(text)) => (text.chars().next(), len),
        _ => (None, 1),
    }
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

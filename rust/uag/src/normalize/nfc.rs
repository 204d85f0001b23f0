//! NFC: which text it leaves alone.

use unicode_normalization::char::canonical_combining_class;

use crate::utf8;

/// The character at or after `start` with which `text` stops being in NFC.
pub(crate) fn first_change(text: &[u8], start: usize) -> Option<usize> {
    let mut from = start;
    while from > 0 {
        from = utf8::before(text, from);
        if utf8::char_at(text, from).0.is_none_or(|c| canonical_combining_class(c) == 0) {
            break;
        }
    }
    let Ok(new) = std::str::from_utf8(&text[from..]) else { return Some(start) };
    if unicode_normalization::is_nfc(new) {
        return None;
    }
    // What follows can't undo it: so the texts that end before that character are in NFC, and
    // longer ones aren't.
    let starts: Vec<usize> = new.char_indices().map(|(at, _)| at).collect();
    let first = starts[1..].partition_point(|&end| unicode_normalization::is_nfc(&new[..end]));
    Some(from + starts[first])
}

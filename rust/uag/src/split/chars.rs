//! Characters as the patterns see them: decoding, and the classes a character is in.

use super::class::Class;
use super::tables::{BLOCKS, LETTERS, PAGES};
use crate::utf8;

impl Class {
    pub(super) const NONE: Class = Class(0);
    /// `\p{L}`
    pub(super) const LETTER: Class = Class::UPPER.or(Class::LOWER).or(Class::CASELESS);
    /// `[^\s\p{L}\p{N}]`
    pub(super) const NEITHER: Class = Class::MARK.or(Class::PUNCTUATION).or(Class::SYMBOL).or(Class::OTHER);

    pub(super) const fn or(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }

    pub(super) const fn and(self, other: Class) -> Class {
        Class(self.0 & other.0)
    }

    /// Whether the two sets have a class in common.
    pub(super) const fn is(self, any_of: Class) -> bool {
        self.0 & any_of.0 != 0
    }
}

/// One character of the text, or one invalid byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Char {
    pub(super) class: Class,
    /// The code point; U+FFFD for an invalid byte.
    pub(super) code: u32,
    /// Where the next character starts.
    pub(super) next: usize,
}

/// The classes of ASCII: nearly all look-ups end here.
static ASCII: [Class; 128] = {
    let mut ascii = [Class::NONE; 128];
    let mut byte = 0;
    while byte < 128 {
        ascii[byte] = LETTERS[BLOCKS[0][byte] as usize];
        byte += 1;
    }
    ascii
};

fn class_of(code: u32) -> Class {
    match PAGES.get(code as usize >> 8) {
        // The mask is idle, all letters are ASCII; it spares the bounds check.
        Some(&page) => LETTERS[usize::from(BLOCKS[usize::from(page)][code as usize & 255]) & 127],
        None => Class::OTHER,
    }
}

/// The classes of `byte` if it is ASCII.
pub(super) fn ascii_class(byte: u8) -> Option<Class> {
    ASCII.get(usize::from(byte)).copied()
}

/// The character at `at`, and how far the text was looked at to tell: one past the end of the
/// text where it ends inside a character that more bytes could still complete.
pub(super) fn char_at(text: &[u8], at: usize) -> Option<(Char, usize)> {
    let lead = *text.get(at)?;
    if let Some(class) = ascii_class(lead) {
        let char = Char { class, code: u32::from(lead), next: at + 1 };
        return Some((char, at + 1));
    }
    let found = utf8::decode(text, at);
    let (class, code) = match found.char {
        Some(char) => (class_of(u32::from(char)), u32::from(char)),
        // An invalid byte reads as U+FFFD, the replacement character, would.
        None => (Class::SYMBOL, 0xFFFD),
    };
    Some((Char { class, code, next: found.next }, found.seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_as_the_standard_library() {
        for code in 0..=0x10_FFFF {
            let Some(char) = char::from_u32(code) else {
                continue;
            };
            let mut bytes = [0; 4];
            let text = char.encode_utf8(&mut bytes).as_bytes();
            let (found, seen) = char_at(text, 0).expect("not empty");
            assert_eq!((found.code, found.next, seen), (code, text.len(), text.len()));
            assert_eq!(utf8::before(text, text.len()), 0);
        }
    }

    #[test]
    fn invalid_bytes_stand_alone() {
        for text in [
            &b"\xFF"[..],
            b"\x80\x80",
            b"\xC0\x80",
            b"\xE0\x80\x80",
            b"\xED\xA0\x80",
            b"\xF0\x80\x80\x80",
            b"\xF4\x90\x80\x80",
            b"\xE3\x81",
            b"\xE3\x81a",
        ] {
            let (found, seen) = char_at(text, 0).expect("not empty");
            assert_eq!((found.code, found.next), (0xFFFD, 1), "{text:x?}");
            assert_eq!(seen > text.len(), text == b"\xE3\x81", "{text:x?}");
        }
    }

    #[test]
    fn general_classes_partition() {
        let general = Class::LETTER.or(Class::NEITHER).or(Class::NUMBER).or(Class::SPACE);
        for code in 0..=0x10_FFFF {
            assert_eq!(class_of(code).and(general).0.count_ones(), 1, "{code:x}");
        }
    }
}

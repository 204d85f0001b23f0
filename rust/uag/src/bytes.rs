//! Token strings and the bytes they stand for: the only place that knows the spellings.

use std::sync::LazyLock;

/// The character by which SentencePiece vocabularies write a space.
pub const METASPACE: char = '▁';

/// GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and up.
///
/// Source: `bytes_to_unicode` of the GPT-2 encoder.
static ALPHABET: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        if matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) {
            char::from(byte as u8)
        } else {
            next += 1;
            char::from_u32(next - 1).expect("0x100..0x144 are characters")
        }
    })
});

static ALPHABET_BYTES: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut table = [None; 0x144];
    for (byte, &c) in ALPHABET.iter().enumerate() {
        table[c as usize] = Some(byte as u8);
    }
    table
});

/// The character that stands for `byte` in a byte-level vocabulary.
pub fn byte_char(byte: u8) -> char {
    ALPHABET[byte as usize]
}

/// Appends the bytes of a byte-level token: each character its byte or, where one is outside the
/// alphabet, the whole token's UTF-8.
pub fn push_byte_level(token: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in token.chars() {
        match ALPHABET_BYTES.get(c as usize).copied().flatten() {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

/// Appends the bytes of a SentencePiece-style token: `▁` is a space.
pub fn push_metaspace(token: &str, out: &mut Vec<u8>) {
    let mut rest = token;
    while let Some(at) = rest.find(METASPACE) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        out.push(b' ');
        rest = &rest[at + METASPACE.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The byte of a byte-fallback token `<0xNN>`.
pub fn fallback_byte(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    // `from_str_radix` alone would let a sign pass.
    let digits = hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphabet_is_a_bijection() {
        for byte in 0..=255 {
            let mut out = Vec::new();
            push_byte_level(&byte_char(byte).to_string(), &mut out);
            assert_eq!(out, [byte]);
        }
        assert_eq!(byte_char(b' '), 'Ġ');
        assert_eq!(byte_char(b'\n'), 'Ċ');
    }

    #[test]
    fn a_token_outside_the_alphabet_is_its_own_text() {
        let mut out = Vec::new();
        push_byte_level("Ġ日", &mut out);
        assert_eq!(out, "Ġ日".as_bytes());
    }

    #[test]
    fn spellings_of_sentencepiece() {
        let mut out = Vec::new();
        push_metaspace("▁a▁▁b", &mut out);
        assert_eq!(out, b" a  b");
        assert_eq!(fallback_byte("<0x0A>"), Some(10));
        assert_eq!(fallback_byte("<0x0A"), None);
        assert_eq!(fallback_byte("<0x+A>"), None);
    }
}

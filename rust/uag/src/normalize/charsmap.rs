//! SentencePiece's precompiled normalisation: which text it leaves alone.
//!
//! The map is a double array (darts-clone) from byte strings to replacements. Rather than replace,
//! the incremental path tells whether a text is its own normalisation, as nearly all text is.

use crate::error::{Error, Result, unsupported};
use crate::utf8;

/// The keys of a precompiled map.
#[derive(Debug)]
pub(crate) struct CharsMap {
    units: Vec<u32>,
}

/// What the map knows of a character.
enum Key {
    /// A key begins and ends inside it: it is replaced.
    Replaced,
    /// Longer keys begin with it.
    Begins,
    None,
}

impl CharsMap {
    /// Reads the base64 of `precompiled_charsmap`.
    pub(crate) fn new(encoded: &str) -> Result<Self> {
        let damaged = |_| Error::Unsupported { part: "normalizer", reason: "Precompiled: not base64".into() };
        let data = data_encoding::BASE64.decode(encoded.as_bytes()).map_err(damaged)?;
        let Some((size, rest)) = data.split_first_chunk::<4>() else {
            return unsupported("normalizer", "Precompiled: a map without its size");
        };
        let Some(trie) = rest.get(..u32::from_le_bytes(*size) as usize) else {
            return unsupported("normalizer", "Precompiled: a map shorter than it says");
        };
        let unit = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(Self { units: trie.chunks_exact(4).map(unit).collect() })
    }

    /// The first place in `text[from..]` where normalisation might change it, if there is one.
    pub(crate) fn first_change(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while at < text.len() {
            let (_, len) = utf8::char_at(text, at);
            let joins = text.get(at + len).is_some_and(|next| !next.is_ascii());
            match self.key(&text[at..at + len]) {
                Key::Replaced => return Some(at),
                // The next character may be part of the key, unless it can't belong to the same
                // cluster.
                Key::Begins if joins => return Some(at + len),
                Key::Begins | Key::None => at += len,
            }
        }
        None
    }

    fn key(&self, bytes: &[u8]) -> Key {
        let unit = |at: usize| self.units.get(at).copied().unwrap_or(0);
        let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut at = offset(unit(0));
        for &byte in bytes {
            at ^= byte as usize;
            let found = unit(at);
            if found & (1 << 31 | 0xFF) != u32::from(byte) {
                return Key::None;
            }
            if found >> 8 & 1 == 1 {
                return Key::Replaced;
            }
            at ^= offset(found);
        }
        Key::Begins
    }
}

//! Byte-pair encoding with any list of merges, and the local test that makes it incremental.
//!
//! Semantics, as in the `tokenizers` library: merge, again and again, the adjacent pair with the
//! least `(rank, position)`. Call the result `S(text)`.
//!
//! Encoding less than a whole piece rests on one fact. *A sequence of tokens is `S` of its bytes
//! iff every adjacent pair of it is `S` of the pair's bytes.* For, run `S` on the text up to the
//! first merge across a boundary of the sequence: restricted to the two tokens beside that
//! boundary, the merges so far are a prefix of the run on those two alone (the least pair of the
//! text, where it lies inside them, is their least pair), so that run would make the same merge.
//! Nothing is asked of the merges: not that ranks rise from parts to whole, nor one rule a token.
//! For token lists whose ids are the ranks of one merge each, this is Corollary III of the README
//! of the `bpe` crate of GitHub's rust-gems
//! (<https://github.com/github/rust-gems/tree/main/crates/bpe>). Hence prefixes of `S(text)` are
//! `S` of their own bytes, and two such sequences may be glued where the pair at the seam passes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use crate::bytes;
use crate::error::{Result, unsupported};
use crate::json;
use crate::limits::MAX_SPELLING;
use crate::token::Token;
use crate::utf8;

/// How text becomes the symbols that merging starts from.
#[derive(Debug)]
enum Atoms {
    /// One symbol a byte (byte-level vocabularies); `None` where a byte has no token.
    Bytes(Box<[Option<u32>; 256]>),
    /// One symbol a character; characters outside the vocabulary become bytes or unknown.
    Chars {
        chars: FxHashMap<char, u32>,
        /// The `<0xNN>` tokens, if all of them are there and `byte_fallback` is on.
        fallback: Option<Box<[u32; 256]>>,
        unknown: Option<u32>,
        fuse_unknown: bool,
    },
}

/// A merge: `(left, right) -> (rank, id)`.
#[derive(Debug, Clone, Copy)]
struct Merge {
    rank: u32,
    id: u32,
}

/// bytes -> id, for `ignore_merges`.
#[derive(Debug)]
struct Whole {
    ids: FxHashMap<Box<[u8]>, u32>,
    longest: usize,
}

/// More symbols than this are merged by a queue, because scanning is quadratic in their number:
/// long tokens, or merges that depend on each other in a chain.
const SCANNED: usize = 200;

/// No merge: sorts after every rank.
const NONE: u32 = u32::MAX;

/// A compiled BPE model.
#[derive(Debug)]
pub struct Bpe {
    atoms: Atoms,
    merges: FxHashMap<u64, Merge>,
    /// For `ignore_merges`: pieces that are a token as a whole skip merging.
    whole: Option<Whole>,
    /// Whether no token that merging can make holds a space after another character: then the text
    /// may be cut before every run of spaces that follows something else.
    pub(crate) cuts_before_spaces: bool,
}

/// Buffers that [`Bpe::encode`] works in, kept between calls so that a round allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    symbols: Vec<Symbol>,
}

/// A symbol while merging.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    id: u32,
    end: u32,
    /// Rank and result of merging it with the next symbol.
    rank: u32,
    merged: u32,
}

/// The first symbol of the least rank.
#[inline]
fn least(symbols: &[Symbol]) -> Option<usize> {
    let (mut rank, mut found) = (NONE, None);
    for (at, symbol) in symbols.iter().enumerate() {
        if symbol.rank < rank {
            (rank, found) = (symbol.rank, Some(at));
        }
    }
    found
}

#[inline]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Bpe {
    /// Compiles `model`; `metaspace` says that its strings are SentencePiece-style, not byte-level.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for what the incremental path can't do exactly.
    pub fn new(model: &json::Model, metaspace: bool) -> Result<Self> {
        let json::VocabSpec::Ids(vocab) = &model.vocab else {
            return unsupported("model", "a BPE model without token ids");
        };
        if model.dropout.is_some_and(|p| p > 0.0) {
            return unsupported("model", "dropout makes encoding random");
        }
        for (field, value) in [
            ("continuing_subword_prefix", &model.continuing_subword_prefix),
            ("end_of_word_suffix", &model.end_of_word_suffix),
        ] {
            if value.as_deref().is_some_and(|v| !v.is_empty()) {
                return unsupported("model", format!("{field} {:?}", value.as_deref().unwrap_or("")));
            }
        }
        let ids: FxHashMap<&str, u32> = vocab.iter().map(|(token, id)| (token.as_ref(), *id)).collect();
        let merges = merge_table(model, &ids)?;
        let atoms = if metaspace { char_atoms(model, &ids)? } else { byte_atoms(model, &ids)? };
        let whole = model.ignore_merges.then(|| {
            let ids: FxHashMap<Box<[u8]>, u32> =
                vocab.iter().map(|(token, id)| (spelled(token, metaspace), *id)).collect();
            Whole { longest: ids.keys().map(|token| token.len()).max().unwrap_or(0), ids }
        });
        let spaces_lead = |token: &str| {
            let body = token.trim_start_matches(bytes::METASPACE);
            !body.contains(bytes::METASPACE)
        };
        let cuts_before_spaces = metaspace
            && !model.ignore_merges
            && model.merges.iter().flatten().all(|json::MergeSpec(left, right)| {
                spaces_lead(left) && spaces_lead(right) && (spaces_only(left) || !right.starts_with(bytes::METASPACE))
            });
        Ok(Self { atoms, merges, whole, cuts_before_spaces })
    }

    /// Appends the tokens of `text[start..end]`, encoded alone as one piece, to `out`.
    pub fn encode(&self, text: &[u8], start: usize, end: usize, scratch: &mut Scratch, out: &mut Vec<Token>) {
        match self.whole(&text[start..end]) {
            Some(id) => out.push(Token { id, end: end as u32 }),
            None => self.merge(text, start, end, scratch, out),
        }
    }

    /// The token that a piece is without any merge (`ignore_merges`).
    pub(crate) fn whole(&self, piece: &[u8]) -> Option<u32> {
        let whole = self.whole.as_ref()?;
        if piece.len() > whole.longest { None } else { whole.ids.get(piece).copied() }
    }

    /// `S(text[start..end])`: encoding by merging alone.
    pub(crate) fn merge(&self, text: &[u8], start: usize, end: usize, scratch: &mut Scratch, out: &mut Vec<Token>) {
        let symbols = &mut scratch.symbols;
        symbols.clear();
        self.split(text, start, end, symbols);
        for i in 0..symbols.len().saturating_sub(1) {
            self.rate(symbols, i, i + 1);
        }
        if symbols.len() <= SCANNED {
            self.scan(symbols);
        } else {
            self.queue(symbols);
        }
        out.extend(symbols.iter().map(|s| Token { id: s.id, end: s.end }));
    }

    /// Merges rated symbols. A scan for the least rank beats a heap at the lengths of words and
    /// windows, up to about 60.
    fn scan(&self, symbols: &mut Vec<Symbol>) {
        while let Some(at) = least(symbols) {
            let next = symbols.remove(at + 1);
            symbols[at] = Symbol { id: symbols[at].merged, end: next.end, rank: NONE, merged: 0 };
            self.rate(symbols, at, at + 1);
            if at > 0 {
                self.rate(symbols, at - 1, at);
            }
        }
    }

    /// The same for many symbols: a queue of pairs. A pair may have changed before its turn comes.
    fn queue(&self, symbols: &mut Vec<Symbol>) {
        let count = symbols.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut before: Vec<usize> = (0..count).map(|at| at.saturating_sub(1)).collect();
        let pair = |symbols: &[Symbol], at: usize| {
            let rank = symbols[at].rank;
            (rank != NONE).then_some(Reverse((rank, at)))
        };
        let mut pairs: BinaryHeap<_> = (0..count).filter_map(|at| pair(symbols, at)).collect();
        while let Some(Reverse((rank, at))) = pairs.pop() {
            if symbols[at].rank != rank {
                continue;
            }
            let right = next[at];
            symbols[at] = Symbol { id: symbols[at].merged, end: symbols[right].end, rank: NONE, merged: 0 };
            symbols[right].rank = NONE;
            next[at] = next[right];
            if let Some(before) = before.get_mut(next[at]) {
                *before = at;
            }
            self.rate(symbols, at, next[at]);
            pairs.extend(pair(symbols, at));
            if at > 0 {
                self.rate(symbols, before[at], at);
                pairs.extend(pair(symbols, before[at]));
            }
        }
        let mut kept = 0;
        let mut at = 0;
        while at < count {
            symbols[kept] = symbols[at];
            (kept, at) = (kept + 1, next[at]);
        }
        symbols.truncate(kept);
    }

    /// Looks up the merge of symbol `at` with the `next` one, which may be past the end.
    #[inline]
    fn rate(&self, symbols: &mut [Symbol], at: usize, next: usize) {
        let merge = symbols.get(next).and_then(|next| self.merges.get(&key(symbols[at].id, next.id)));
        let symbol = &mut symbols[at];
        (symbol.rank, symbol.merged) = merge.map_or((NONE, 0), |m| (m.rank, m.id));
    }

    /// The symbols of `text[start..end]` before any merge.
    fn split(&self, text: &[u8], start: usize, end: usize, out: &mut Vec<Symbol>) {
        let symbol = |id, end: usize| Symbol { id, end: end as u32, rank: NONE, merged: 0 };
        match &self.atoms {
            Atoms::Bytes(ids) => {
                for (at, &byte) in text[start..end].iter().enumerate() {
                    // A byte without a token is dropped, as the library drops it without
                    // `unk_token`; the next token then covers it and doesn't spell it, which
                    // callers check.
                    if let Some(id) = ids[byte as usize] {
                        out.push(symbol(id, start + at + 1));
                    }
                }
            }
            Atoms::Chars { chars, fallback, unknown, fuse_unknown } => {
                let mut at = start;
                while at < end {
                    let (c, len) = utf8::char_at(&text[..end], at);
                    if let Some(&id) = c.and_then(|c| chars.get(&c)) {
                        out.push(symbol(id, at + len));
                    } else if let Some(fallback) = fallback {
                        for (i, &byte) in text[at..at + len].iter().enumerate() {
                            out.push(symbol(fallback[byte as usize], at + i + 1));
                        }
                    } else if let Some(unknown) = *unknown {
                        match out.last_mut() {
                            Some(last) if *fuse_unknown && last.id == unknown => last.end = (at + len) as u32,
                            _ => out.push(symbol(unknown, at + len)),
                        }
                    }
                    at += len;
                }
            }
        }
    }
}

fn spelled(token: &str, metaspace: bool) -> Box<[u8]> {
    let mut out = Vec::new();
    if metaspace {
        bytes::push_metaspace(token, &mut out);
    } else {
        bytes::push_byte_level(token, &mut out);
    }
    out.into_boxed_slice()
}

fn spaces_only(token: &str) -> bool {
    token.chars().all(|c| c == bytes::METASPACE)
}

fn merge_table(model: &json::Model, ids: &FxHashMap<&str, u32>) -> Result<FxHashMap<u64, Merge>> {
    let Some(merges) = &model.merges else {
        return unsupported("model", "a BPE model without merges");
    };
    let mut table = FxHashMap::with_capacity_and_hasher(merges.len(), rustc_hash::FxBuildHasher);
    let mut joined = String::new();
    for (rank, json::MergeSpec(left, right)) in merges.iter().enumerate() {
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        if joined.len() > MAX_SPELLING && joined.chars().count() > MAX_SPELLING {
            return unsupported("model", format!("merge {rank} makes a token of more than {MAX_SPELLING} characters"));
        }
        let id = |token: &str| match ids.get(token) {
            Some(&id) => Ok(id),
            None => unsupported("model", format!("merge {rank} needs token {token:?}, which has no id")),
        };
        let merge = Merge { rank: rank as u32, id: id(&joined)? };
        // Where a pair stands twice the library keeps the later rank.
        table.insert(key(id(left)?, id(right)?), merge);
    }
    Ok(table)
}

fn byte_atoms(model: &json::Model, ids: &FxHashMap<&str, u32>) -> Result<Atoms> {
    if model.byte_fallback || model.unk_token.as_deref().is_some_and(|unk| ids.contains_key(unk)) {
        let missing = (0..=255).any(|byte| !ids.contains_key(bytes::byte_char(byte).to_string().as_str()));
        if missing {
            return unsupported("model", "a byte-level vocabulary with unknown bytes");
        }
    }
    let mut atoms = Box::new([None; 256]);
    for (byte, atom) in atoms.iter_mut().enumerate() {
        *atom = ids.get(bytes::byte_char(byte as u8).to_string().as_str()).copied();
    }
    Ok(Atoms::Bytes(atoms))
}

fn char_atoms(model: &json::Model, ids: &FxHashMap<&str, u32>) -> Result<Atoms> {
    let mut chars: FxHashMap<char, u32> = FxHashMap::default();
    for (token, id) in ids {
        let mut letters = token.chars();
        if let (Some(c), None) = (letters.next(), letters.next()) {
            // After normalisation a text holds no space, and its `▁` are our spaces.
            match c {
                ' ' => {}
                bytes::METASPACE => _ = chars.insert(' ', *id),
                _ => _ = chars.insert(c, *id),
            }
        }
    }
    let fallback = if model.byte_fallback {
        let mut table = Box::new([0; 256]);
        for (byte, slot) in table.iter_mut().enumerate() {
            let Some(&id) = ids.get(format!("<0x{byte:02X}>").as_str()) else {
                return unsupported("model", format!("byte_fallback without the token <0x{byte:02X}>"));
            };
            *slot = id;
        }
        Some(table)
    } else {
        None
    };
    let unknown = model.unk_token.as_deref().and_then(|unk| ids.get(unk).copied());
    Ok(Atoms::Chars { chars, fallback, unknown, fuse_unknown: model.fuse_unk })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the merges, cyclic ones too.
        #[test]
        fn a_queue_merges_as_a_scan_does(
            merges in prop::collection::vec((0..6u32, 0..6u32, 0..6u32), 0..20),
            ids in prop::collection::vec(0..4u32, 0..80),
        ) {
            let merges = merges.iter().enumerate();
            let merges = merges.map(|(rank, &(left, right, id))| (key(left, right), Merge { rank: rank as u32, id }));
            let atoms = Atoms::Bytes(Box::new([None; 256]));
            let bpe = Bpe { atoms, merges: merges.collect(), whole: None, cuts_before_spaces: false };
            let ends = ids.iter().zip(1..);
            let mut scanned: Vec<_> = ends.map(|(&id, end)| Symbol { id, end, rank: NONE, merged: 0 }).collect();
            for at in 0..scanned.len() {
                bpe.rate(&mut scanned, at, at + 1);
            }
            let mut queued = scanned.clone();
            bpe.scan(&mut scanned);
            bpe.queue(&mut queued);
            let tokens = |symbols: &[Symbol]| symbols.iter().map(|s| (s.id, s.end)).collect::<Vec<_>>();
            prop_assert_eq!(tokens(&queued), tokens(&scanned));
        }
    }
}

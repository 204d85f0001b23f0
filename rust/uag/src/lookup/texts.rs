//! Texts to look up in: a queue of limited size, indexed in segments.

use std::collections::VecDeque;
use std::sync::Arc;

use super::search::{SEPARATOR, Search};
use super::suffix_tree::SuffixTree;

/// The most bytes of texts that are joined in one tree: this bounds what adding a text can take.
const JOINED: usize = 1 << 20;

/// A queue of texts of at most `limit` bytes: the oldest leave.
///
/// Each tree indexes some of them, one after the other. The newest trees are the smallest, as each
/// is joined with the one before while that is less than twice as large; where texts leave, what
/// stays of their tree is split into halves, quarters and so on, the smallest the oldest. So a byte
/// is indexed anew a logarithmic number of times, and there are few trees.
#[derive(Debug)]
pub struct Texts {
    segments: VecDeque<Segment>,
    limit: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Segment {
    tree: Arc<SuffixTree>,
    /// Of each of its texts.
    lengths: Vec<usize>,
}

impl Segment {
    fn of(texts: &[&[u8]]) -> Self {
        let lengths = texts.iter().map(|text| text.len()).collect();
        Self { tree: Arc::new(SuffixTree::of(&texts.join(&SEPARATOR))), lengths }
    }

    fn bytes(&self) -> usize {
        self.lengths.iter().sum()
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        self.lengths.iter().map(move |length| {
            let text = &self.tree.text()[at..at + length];
            at += length + 1;
            text
        })
    }
}

impl Texts {
    /// None yet, of at most `limit` bytes together, or [`Self::LIMIT`] if that is less.
    pub fn new(limit: usize) -> Self {
        Self { segments: VecDeque::new(), limit: limit.min(Self::LIMIT), bytes: 0 }
    }

    /// The most bytes there can be.
    pub const LIMIT: usize = 1 << 30;

    /// Adds a text. The oldest leave until all fit; `false`, and nothing happens, if it does not
    /// fit alone.
    pub fn remember(&mut self, text: &[u8]) -> bool {
        if text.len() > self.limit {
            return false;
        }
        if text.is_empty() {
            return true;
        }
        self.make_room(text.len());
        self.bytes += text.len();
        let mut joined = 0;
        let mut bytes = text.len();
        for segment in self.segments.iter().rev() {
            let size = segment.bytes();
            if size >= 2 * bytes || size + bytes > JOINED {
                break;
            }
            joined += 1;
            bytes += size;
        }
        let older: Vec<Segment> = self.segments.drain(self.segments.len() - joined..).collect();
        let texts: Vec<&[u8]> = older.iter().flat_map(Segment::texts).chain([text]).collect();
        self.segments.push_back(Segment::of(&texts));
        true
    }

    /// Lets the oldest texts leave until there is room for a number of bytes.
    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > self.limit {
            let Some(oldest) = self.segments.pop_front() else { return };
            let mut texts: VecDeque<&[u8]> = oldest.texts().collect();
            while self.bytes + bytes > self.limit {
                let Some(text) = texts.pop_front() else { break };
                self.bytes -= text.len();
            }
            let mut rest: Vec<&[u8]> = texts.into();
            let mut halves = Vec::new();
            while !rest.is_empty() {
                let half = rest.iter().map(|text| text.len()).sum::<usize>() / 2;
                let (mut size, mut from) = (0, rest.len());
                while from > 0 && (size < half || from == rest.len()) {
                    from -= 1;
                    size += rest[from].len();
                }
                halves.push(Segment::of(&rest[from..]));
                rest.truncate(from);
            }
            for segment in halves {
                self.segments.push_front(segment);
            }
        }
    }

    /// The texts, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().flat_map(Segment::texts)
    }

    /// An empty text, to be looked up in these texts as they are now, and in itself.
    pub fn search(&self) -> Search {
        Search::beside(self.segments.iter().rev().map(|segment| Arc::clone(&segment.tree)).collect())
    }

    /// The number of trees that index the texts: each byte that is appended to a [`Search`] costs a
    /// step in each of them.
    pub fn trees(&self) -> usize {
        self.segments.len()
    }

    /// How many bytes the texts have together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes of memory they take with their trees.
    pub fn memory(&self) -> usize {
        self.segments.iter().map(|segment| segment.tree.memory()).sum()
    }
}

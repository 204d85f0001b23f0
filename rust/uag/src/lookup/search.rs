//! Drafts from texts: what followed where the end of a text stood before.

use std::sync::Arc;

use super::suffix_tree::{LIMIT, Point, SuffixTree};

/// Between texts in one tree: a byte that no UTF-8 text has.
pub(super) const SEPARATOR: u8 = 0xFF;

/// The most occurrences that vote on what follows.
const VOTERS: usize = 64;

/// Bytes found for each byte that matched, and bytes more: a longer draft is seldom right to its
/// end.
const REACH: (usize, usize) = (32, 96);

/// How much shorter a match may be for the sake of a place where a token ends.
const SHORTER: usize = 64;

/// A growing text, and others, in which its end is looked up.
///
/// The growing text's index takes 2 GiB of text at most. Where a token doesn't fit any more the
/// index begins anew with it, and what stood before is forgotten; the other texts are not.
///
/// ```
/// let mut search = uag::lookup::Search::new();
/// search.append("one two three. one ".split_inclusive(' ').map(str::as_bytes));
/// let found = search.find(5, 4);
/// assert_eq!((found.bytes.as_slice(), found.matched), (&b"two t"[..], 4));
/// ```
#[derive(Debug)]
pub struct Search {
    own: SuffixTree,
    /// The most bytes of the growing text in its tree.
    limit: usize,
    /// A bit for each place in the growing text: whether one of its tokens ends there.
    ends: Vec<u64>,
    others: Vec<(Arc<SuffixTree>, Point)>,
}

/// What may follow.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// The bytes; none if the end of the text hasn't occurred.
    pub bytes: Vec<u8>,
    /// For each byte, the share of the places that go on with it, among those that agree so far.
    pub shares: Vec<f32>,
    /// Whether they end because of the limit: perhaps in the middle of a token.
    pub limited: bool,
    /// How many bytes at the end of the text have occurred before.
    pub matched: usize,
    /// The number of places that voted, at most 64.
    pub places: usize,
}

/// A place in one of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// `0` for the growing text.
    text: usize,
    at: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self::beside(Vec::new())
    }
}

impl Search {
    /// An empty text, which is looked up in itself. [`Texts::search`](super::Texts::search) makes
    /// one that is looked up in others, too.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty text beside other ones, which are only read.
    pub(super) fn beside(others: Vec<Arc<SuffixTree>>) -> Self {
        let others = others.into_iter().map(|tree| (tree, Point::EMPTY)).collect();
        Self { own: SuffixTree::default(), limit: LIMIT, ends: Vec::new(), others }
    }

    /// Adds tokens at the end of the growing text. Amortised constant time a byte and tree.
    pub fn append<'a>(&mut self, tokens: impl IntoIterator<Item = &'a [u8]>) {
        for token in tokens {
            for (tree, point) in &mut self.others {
                *point = token.iter().fold(*point, |point, &byte| tree.follow(point, byte));
            }
            if self.own.text().len() + token.len() > self.limit {
                self.own = SuffixTree::default();
                self.ends.clear();
                if token.len() > self.limit {
                    continue;
                }
            }
            self.own.append(token);
            let end = self.own.text().len();
            self.ends.resize(end / 64 + 1, 0);
            self.ends[end / 64] |= 1 << (end % 64);
        }
    }

    /// Up to `limit` bytes that may follow: at most 32 for each byte that matched, and 96 more.
    ///
    /// The places where the longest end of the text stood before, 64 of them at most, vote: each
    /// byte is the one that most places have which agree so far; of equals, that of the oldest. A
    /// match of less than `min_match` bytes tells nothing. In the growing text itself a place
    /// counts only where a token ends, as one ends here; where no such place is left, up to 64
    /// shorter ends are tried. What starts within the longest repeated end is itself a repetition,
    /// and doesn't count. Where the end overlaps itself, as in "abcabcabc", what follows repeats.
    /// Linear in `limit`.
    pub fn find(&self, limit: usize, min_match: usize) -> Found {
        let mut found = Found { bytes: Vec::new(), shares: Vec::new(), limited: false, matched: 0, places: 0 };
        let mut places;
        (found.matched, places) = self.places();
        for (index, (tree, point)) in self.others.iter().enumerate() {
            let depth = tree.depth(*point);
            if depth > found.matched {
                (found.matched, places) = (depth, Vec::new());
            }
            if depth == found.matched && places.len() < VOTERS && depth >= min_match {
                let starts = tree.occurrences(*point, VOTERS - places.len());
                places.extend(starts.into_iter().map(|start| Place { text: index + 1, at: start + depth }));
            }
        }
        if found.matched < min_match.max(1) {
            return found;
        }
        let limit = limit.min(REACH.0 * found.matched + REACH.1);
        found.places = places.len();
        places.sort_unstable();
        let texts = std::iter::once(self.own.text()).chain(self.others.iter().map(|(tree, _)| tree.text()));
        vote(&texts.collect::<Vec<_>>(), places, limit, &mut found);
        found.limited = found.bytes.len() == limit;
        found
    }

    /// In the growing text: how much of its end has occurred before the end of a token, and where.
    fn places(&self) -> (usize, Vec<Place>) {
        let mut point = self.own.end();
        for _ in 0..=SHORTER {
            if point == Point::EMPTY {
                break;
            }
            let depth = self.own.depth(point);
            let starts = self.own.occurrences(point, VOTERS);
            let places = starts.into_iter().map(|start| Place { text: 0, at: start + depth });
            let ends: Vec<Place> = places.filter(|place| self.is_end(place.at)).collect();
            if !ends.is_empty() {
                return (depth, ends);
            }
            point = self.own.shorter(point);
        }
        (0, Vec::new())
    }

    /// Whether a token of the growing text ends there.
    fn is_end(&self, at: usize) -> bool {
        self.ends[at / 64] >> (at % 64) & 1 == 1
    }

    /// How many bytes of memory the growing text's tree takes.
    pub fn memory(&self) -> usize {
        self.own.memory()
    }

    /// The growing text, as far as it is in the index.
    pub fn text(&self) -> &[u8] {
        self.own.text()
    }
}

/// Goes on with the byte that most places have, which alone stay.
fn vote(texts: &[&[u8]], mut places: Vec<Place>, limit: usize, found: &mut Found) {
    let Found { bytes, shares, .. } = found;
    while bytes.len() < limit {
        let next = |place: &Place| {
            let (text, at) = (texts[place.text], place.at + bytes.len());
            match text.get(at) {
                Some(&byte) => (place.text == 0 || byte != SEPARATOR).then_some(byte),
                // The growing text goes on with what is found.
                None if place.text == 0 => bytes.get(at - text.len()).copied(),
                None => None,
            }
        };
        let mut counts = [0u16; 256];
        let (mut all, mut most, mut winner) = (0u16, 0, None);
        for byte in places.iter().filter_map(next) {
            counts[usize::from(byte)] += 1;
            all += 1;
        }
        // The oldest come first.
        for byte in places.iter().filter_map(next) {
            if counts[usize::from(byte)] > most {
                (most, winner) = (counts[usize::from(byte)], Some(byte));
            }
        }
        let Some(byte) = winner else { break };
        places.retain(|place| next(place) == Some(byte));
        bytes.push(byte);
        shares.push(f32::from(most) / f32::from(all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_index_begins_anew_and_the_other_texts_stay() {
        let other = Arc::new(SuffixTree::of(b"one two three four"));
        let mut search = Search { limit: 14, ..Search::beside(vec![other]) };
        // The third token doesn't fit; it and those after it in the same call are read.
        search.append(["one ", "two ", "abcdefg", "one ", "two"].map(str::as_bytes));
        assert_eq!(search.text(), b"abcdefgone two");
        let found = search.find(3, 1);
        assert_eq!((found.bytes.as_slice(), found.matched), (&b" th"[..], 7));
        // The growing text is looked up in itself from where it began anew.
        search.append(["x", "y", "x"].map(str::as_bytes));
        assert_eq!((search.text(), search.find(1, 1).bytes.as_slice()), (&b"xyx"[..], &b"y"[..]));
    }

    #[test]
    fn a_token_longer_than_the_index_is_left_out() {
        let other = Arc::new(SuffixTree::of(b"abcdef"));
        let mut search = Search { limit: 4, ..Search::beside(vec![other]) };
        search.append(["ab", "abcde"].map(str::as_bytes));
        assert_eq!((search.text(), search.find(9, 1).bytes.as_slice()), (&b""[..], &b"f"[..]));
        search.append(["f", "f"].map(str::as_bytes));
        assert_eq!((search.text(), search.find(9, 1).matched), (&b"ff"[..], 1));
    }
}

//! Added tokens inside a text: where the next one stands, and how much of the text decided that.
//!
//! The library searches for the leftmost, at equal starts the longest, of all added tokens, and
//! afterwards drops finds that are special tokens (in text they are only text here, see
//! [`crate::IncrementalEncoder`]) or that fail `single_word`. Both are kept: a dropped find still
//! covers its text.

use crate::json::AddedToken;
use crate::utf8;

/// The end of the text was looked at: more text may change the decision.
pub(crate) const OPEN: usize = usize::MAX;

/// An added token found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) id: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The find depends on `text[..examined]` only, or on the end of the text ([`OPEN`]).
    pub(crate) examined: usize,
}

/// The result of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) hit: Option<Hit>,
    /// Before this no other token can begin, whatever text follows.
    pub(crate) clear: usize,
}

/// A find that was dropped: no other begins inside it. Or where a token began that the text then
/// didn't go on with: after other text it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) start: usize,
    end: usize,
    /// It, and those before it, depend on `text[..examined]` only.
    pub(crate) examined: usize,
}

#[derive(Debug)]
struct Entry {
    id: u32,
    /// Special tokens are found but not matched.
    special: bool,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
}

#[derive(Debug, Default)]
struct TrieNode {
    children: Vec<(u8, u32)>,
    entry: Option<u32>,
}

/// A set of added tokens, searched for together.
#[derive(Debug)]
pub(crate) struct Matcher {
    entries: Vec<Entry>,
    nodes: Vec<TrieNode>,
    /// Whether a token begins with this byte.
    first: [bool; 256],
    /// Length of the longest token, in bytes.
    pub(crate) longest: usize,
    any_lstrip: bool,
}

/// The most bytes after a token that a decision about it looks at: one character.
pub(crate) const AFTER: usize = 4;

impl Matcher {
    /// `spelling` turns a token's content into the bytes to look for.
    pub(crate) fn new<'a>(tokens: impl Iterator<Item = &'a AddedToken>, spelling: impl Fn(&str) -> Vec<u8>) -> Self {
        let mut matcher = Self {
            entries: Vec::new(),
            nodes: vec![TrieNode::default()],
            first: [false; 256],
            longest: 0,
            any_lstrip: false,
        };
        for token in tokens {
            let content = spelling(&token.content);
            let Some(&first) = content.first() else { continue };
            matcher.first[first as usize] = true;
            matcher.longest = matcher.longest.max(content.len());
            matcher.any_lstrip |= token.lstrip && !token.special;
            let mut node = 0;
            for byte in content {
                node = matcher.child_or_new(node, byte);
            }
            matcher.nodes[node as usize].entry = Some(matcher.entries.len() as u32);
            matcher.entries.push(Entry {
                id: token.id,
                special: token.special,
                single_word: token.single_word,
                lstrip: token.lstrip,
                rstrip: token.rstrip,
            });
        }
        matcher
    }

    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        self.nodes[node as usize].children.iter().find(|(b, _)| *b == byte).map(|(_, child)| *child)
    }

    fn child_or_new(&mut self, node: u32, byte: u8) -> u32 {
        self.child(node, byte).unwrap_or_else(|| {
            let new = self.nodes.len() as u32;
            self.nodes.push(TrieNode::default());
            self.nodes[node as usize].children.push((byte, new));
            new
        })
    }

    /// The first token in `text[from..]`. `stretch`: where the last token before it ended; `start`:
    /// where the text begins. The end of `text` counts as the end of all text. `dropped` are those
    /// before `from`, and then those before the one that is found.
    pub(crate) fn find(
        &self,
        text: &[u8],
        from: usize,
        stretch: usize,
        start: usize,
        dropped: &mut Vec<Dropped>,
    ) -> Outcome {
        let mut clear = OPEN;
        let mut at = from;
        while let Some(last) = dropped.pop_if(|last| last.end > at) {
            // The search must not begin inside it.
            if last.start < at {
                at = last.start.max(stretch).max(start);
            }
        }
        while let Some(skip) = text[at.min(text.len())..].iter().position(|&b| self.first[b as usize]) {
            at += skip;
            let (found, walked) = self.walk(text, at);
            if walked == OPEN {
                clear = clear.min(at);
            }
            let Some((entry, end)) = found else {
                if walked != OPEN {
                    let examined = walked.max(dropped.last().map_or(0, |last| last.examined));
                    dropped.push(Dropped { start: at, end: at + 1, examined });
                }
                at += 1;
                continue;
            };
            let entry = &self.entries[entry as usize];
            let before = entry.single_word && ends_in_word(&text[start.min(at)..at]);
            let after = entry.single_word && end < text.len() && starts_with_word(&text[end..]);
            if entry.special || before || after {
                let examined = if after { walked.max(end + AFTER) } else { walked };
                let examined = examined.max(dropped.last().map_or(0, |last| last.examined));
                dropped.push(Dropped { start: at, end, examined: examined.min(text.len()) });
                at = end;
                continue;
            }
            let start = if entry.lstrip { spaces_before(text, at).max(stretch) } else { at };
            let stop = if entry.rstrip { spaces_after(text, end) } else { end };
            let looks_on = (entry.rstrip || entry.single_word) && stop == text.len();
            let open = clear <= at || walked == OPEN || looks_on;
            // Beyond its own bytes a find has looked at one character at most.
            let examined = if open { OPEN } else { walked.max((stop + AFTER).min(text.len())) };
            return Outcome { hit: Some(Hit { id: entry.id, start, end: stop, examined }), clear: clear.min(start) };
        }
        let clear = clear.min(text.len());
        Outcome { hit: None, clear: self.reach(text, clear).max(stretch) }
    }

    /// Where a token's text begins at the earliest that begins at `at` itself: some swallow the
    /// spaces before them.
    pub(crate) fn reach(&self, text: &[u8], at: usize) -> usize {
        if self.any_lstrip { spaces_before(text, at) } else { at }
    }

    /// The longest token that starts at `at`, and how far the text was read to know ([`OPEN`]: to
    /// its end).
    fn walk(&self, text: &[u8], at: usize) -> (Option<(u32, usize)>, usize) {
        let mut found = None;
        let mut node = 0;
        let mut end = at;
        loop {
            if self.nodes[node as usize].children.is_empty() {
                return (found, end);
            }
            let Some(&byte) = text.get(end) else { return (found, OPEN) };
            let Some(next) = self.child(node, byte) else { return (found, end + 1) };
            node = next;
            end += 1;
            if let Some(entry) = self.nodes[node as usize].entry {
                found = Some((entry, end));
            }
        }
    }
}

fn spaces_before(text: &[u8], mut at: usize) -> usize {
    while utf8::char_before(text, at).is_some_and(char::is_whitespace) {
        at = utf8::before(text, at);
    }
    at
}

fn spaces_after(text: &[u8], mut at: usize) -> usize {
    while at < text.len() {
        match utf8::char_at(text, at) {
            (Some(c), len) if c.is_whitespace() => at += len,
            _ => break,
        }
    }
    at
}

/// The library's notion of a word: the regex class `\w`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || unicode_normalization::char::is_combining_mark(c)
}

fn starts_with_word(text: &[u8]) -> bool {
    utf8::char_at(text, 0).0.is_some_and(is_word)
}

fn ends_in_word(text: &[u8]) -> bool {
    utf8::char_before(text, text.len()).is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, content: &str) -> AddedToken {
        AddedToken {
            id,
            content: content.to_owned(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: false,
        }
    }

    fn find(tokens: &[AddedToken], text: &str) -> Outcome {
        Matcher::new(tokens.iter(), |c| c.as_bytes().to_vec()).find(text.as_bytes(), 0, 0, 0, &mut Vec::new())
    }

    #[test]
    fn the_longest_of_the_leftmost_wins() {
        let tokens = [token(1, "<a"), token(2, "<ab>"), token(3, "b>")];
        let hit = Hit { id: 2, start: 1, end: 5, examined: 6 };
        assert_eq!(find(&tokens, "x<ab>y"), Outcome { hit: Some(hit), clear: 1 });
    }

    #[test]
    fn a_partial_match_at_the_end_stays_open() {
        let tokens = [token(1, "<think>")];
        assert_eq!(find(&tokens, "a <thin"), Outcome { hit: None, clear: 2 });
        assert_eq!(find(&tokens, "a <thix"), Outcome { hit: None, clear: 7 });
        let two = [token(1, "<t"), token(2, "<tool>")];
        let hit = Hit { id: 1, start: 0, end: 2, examined: OPEN };
        assert_eq!(find(&two, "<to").hit, Some(hit), "may yet become the longer one");
    }

    #[test]
    fn special_tokens_in_text_are_text_and_cover_what_is_inside() {
        let special = AddedToken { special: true, ..token(1, "<|x|>") };
        assert_eq!(find(&[special, token(2, "x")], "<|x|>x").hit.map(|h| h.start), Some(5));
    }

    #[test]
    fn stripping_and_words() {
        let strip = AddedToken { lstrip: true, rstrip: true, ..token(1, "<m>") };
        let hit = find(std::slice::from_ref(&strip), "a  <m> b").hit.expect("is there");
        assert_eq!((hit.start, hit.end), (1, 7));
        assert_eq!(find(&[strip], "a  ").clear, 1, "the spaces may yet be swallowed");
        let word = AddedToken { single_word: true, ..token(1, "cat") };
        assert_eq!(find(std::slice::from_ref(&word), "cats, cat.").hit.map(|h| h.start), Some(6));
        assert_eq!(find(&[word], "a cat").hit.map(|h| h.examined), Some(OPEN));
    }
}

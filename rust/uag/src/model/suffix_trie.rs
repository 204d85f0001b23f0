//! Byte strings by their ends: which of them does a text end with?

/// No string is this node's.
const NONE: u32 = u32::MAX;

/// A trie of reversed byte strings, each with an id.
///
/// Nodes are numbered level by level, so that the children of each stand one after the other. A
/// node takes 9 bytes, and there is one for each different end of the strings.
#[derive(Debug)]
pub(super) struct SuffixTrie {
    /// The byte that leads to each node, in order among siblings.
    labels: Vec<u8>,
    /// The first child of each node. Its children end where those of the next node begin.
    children: Vec<u32>,
    /// The id of the string that each node stands for.
    ids: Vec<u32>,
}

impl SuffixTrie {
    /// Of the same string twice the later id counts.
    pub(super) fn new(mut strings: Vec<(Vec<u8>, u32)>) -> Self {
        for (string, _) in &mut strings {
            string.reverse();
        }
        strings.sort_unstable();
        let mut trie = Self { labels: vec![0], children: Vec::new(), ids: Vec::new() };
        // The strings of each node of a level, and then of the next one.
        let (mut level, mut depth) = (vec![(0, strings.len())], 0);
        while !level.is_empty() {
            let mut next = Vec::new();
            for (from, to) in level {
                trie.children.push(trie.labels.len() as u32);
                let own = strings[from..to].iter().take_while(|(string, _)| string.len() == depth).count();
                trie.ids.push(if own > 0 { strings[from + own - 1].1 } else { NONE });
                let mut at = from + own;
                for same in strings[at..to].chunk_by(|(a, _), (b, _)| a[depth] == b[depth]) {
                    trie.labels.push(same[0].0[depth]);
                    next.push((at, at + same.len()));
                    at += same.len();
                }
            }
            (level, depth) = (next, depth + 1);
        }
        trie.children.push(trie.labels.len() as u32);
        trie
    }

    /// Calls `found` with each string, but the empty one, that `text` ends with: where it starts,
    /// and its id. The shortest come first.
    #[inline]
    pub(super) fn ends_of(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut node = 0;
        for (start, byte) in text.iter().enumerate().rev() {
            let (from, to) = (self.children[node] as usize, self.children[node + 1] as usize);
            let siblings = &self.labels[from..to];
            let child = if siblings.len() > 8 {
                siblings.binary_search(byte).ok()
            } else {
                siblings.iter().position(|label| label == byte)
            };
            let Some(child) = child else { return };
            node = from + child;
            if self.ids[node] != NONE {
                found(start, self.ids[node]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(strings: &[&str], text: &str) -> Vec<(usize, u32)> {
        let strings = strings.iter().zip(0..).map(|(string, id)| (string.as_bytes().to_vec(), id)).collect();
        let mut found = Vec::new();
        SuffixTrie::new(strings).ends_of(text.as_bytes(), |start, id| found.push((start, id)));
        found
    }

    #[test]
    fn each_string_that_a_text_ends_with_is_found() {
        let strings = ["c", "bc", "abc", "xbc", "b", "", "日"];
        assert_eq!(ends(&strings, "zabc"), [(3, 0), (2, 1), (1, 2)]);
        assert_eq!(ends(&strings, "bc"), [(1, 0), (0, 1)]);
        assert_eq!(ends(&strings, "a日"), [(1, 6)]);
        assert_eq!(ends(&strings, ""), []);
        assert_eq!(ends(&[], "a"), []);
    }

    #[test]
    fn of_a_string_that_stands_twice_the_later_id_counts() {
        assert_eq!(ends(&["ab", "b", "ab"], "ab"), [(1, 1), (0, 2)]);
    }
}

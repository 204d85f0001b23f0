//! Texts that draft, against references that search all of them anew.

use uag::lookup::Texts;

use super::lookup_reference::check;
use super::reader::Reader;

/// A text of few letters, which repeats itself, or of any bytes.
fn text(choices: &mut Reader) -> Vec<u8> {
    let shape = choices.byte();
    let length = usize::from(shape & 31);
    let mut text: Vec<u8> = match shape >> 5 {
        0..4 => (0..length).map(|_| b'a' + choices.byte() % 3).collect(),
        4 | 5 => (0..length).map(|_| choices.byte()).collect(),
        6 => (0..length / 8).map(|_| b'a' + choices.byte() % 3).collect::<Vec<_>>().repeat(9),
        _ => choices.text(),
    };
    text.truncate(90);
    text
}

/// Texts come and go, one grows, and what may follow is asked for.
pub fn lookup(data: &[u8]) {
    let mut choices = Reader::new(data);
    let limit = choices.below(300);
    let mut store = Texts::new(limit);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for _ in 0..choices.byte() & 31 {
        let text = text(&mut choices);
        assert_eq!(store.remember(&text), text.len() <= limit);
        if text.len() <= limit && !text.is_empty() {
            kept.push(text);
            while kept.iter().map(Vec::len).sum::<usize>() > limit {
                kept.remove(0);
            }
        }
        assert!(store.iter().eq(kept.iter().map(Vec::as_slice)), "the oldest leave");
        assert_eq!(store.bytes(), kept.iter().map(Vec::len).sum::<usize>());
        assert!(store.trees() <= 20 && store.memory() <= 64 * limit + 20 * 1100);
    }
    let mut search = store.search();
    let mut texts = vec![Vec::new()];
    texts.extend(kept);
    let mut is_end = vec![false];
    while !choices.is_empty() && texts[0].len() < 250 {
        let token = text(&mut choices);
        search.append([token.as_slice()]);
        texts[0].extend(&token);
        is_end.resize(texts[0].len(), false);
        if token.is_empty() {
            // Nothing ends where it stood already, but at the start.
            is_end.resize(texts[0].len() + 1, true);
        } else {
            is_end.push(true);
        }
        assert_eq!(search.text(), texts[0]);
        let limit = choices.below(200);
        let min_match = choices.below(6);
        let found = search.find(limit, min_match);
        assert_eq!(found.bytes.len(), found.shares.len());
        assert!(found.shares.iter().all(|&share| share > 0.0 && share <= 1.0));
        assert!(found.bytes.len() <= limit && found.places <= 2 * 64);
        check(&texts, &is_end, &found, limit, min_match);
    }
}

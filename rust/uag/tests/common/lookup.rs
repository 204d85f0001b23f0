//! Lookup by searching whole texts anew each time.

// Counts are small.
#![allow(clippy::cast_precision_loss)]

use std::cmp::Ordering;

/// How many occurrences are looked at, and how much shorter than the longest one may be that ends
/// where a token does.
const LIMIT: usize = 64;

/// How long the text's longest suffix is that occurs earlier where a token ends, or in another
/// text, and where: `(text, position after it)`; text 0 is the growing one. What starts within the
/// longest end that is repeated anywhere is itself a repetition, and doesn't count. `None` where
/// not all places are looked at.
fn naive(texts: &[Vec<u8>], is_end: &[bool]) -> Option<(usize, Vec<(usize, usize)>)> {
    let anywhere = longest(&texts[..1], |_, _, _| true);
    let repeated = texts[0].len() - anywhere.0;
    let mut own = longest(&texts[..1], |_, start, end| is_end[end] && start < repeated);
    let suffix = &texts[0][texts[0].len() - own.0..];
    if own.0 > 0 && texts[0][..texts[0].len() - 1].windows(own.0).filter(|part| *part == suffix).count() > LIMIT {
        return None;
    }
    if own.0 + LIMIT < anywhere.0 {
        own = (0, Vec::new());
    }
    let other = longest(texts, |text, _, _| text > 0);
    let (length, places) = match own.0.cmp(&other.0) {
        Ordering::Less => other,
        Ordering::Equal => (own.0, [own.1, other.1].concat()),
        Ordering::Greater => own,
    };
    (places.len() <= LIMIT).then_some((length, places))
}

/// The longest suffix of the first text that stands somewhere that counts, and where.
fn longest(texts: &[Vec<u8>], counts: impl Fn(usize, usize, usize) -> bool) -> (usize, Vec<(usize, usize)>) {
    let own = &texts[0];
    let agree = |before: &[u8]| own.iter().rev().zip(before.iter().rev()).take_while(|(a, b)| a == b).count();
    let ends = texts.iter().enumerate().flat_map(|(index, text)| {
        let last = text.len().saturating_sub(usize::from(index == 0));
        (1..=last).map(move |end| (index, end, agree(&text[..end])))
    });
    let ends: Vec<(usize, usize, usize)> = ends.collect();
    for length in (1..=own.len()).rev() {
        let there = ends.iter().filter(|&&(text, end, agreed)| agreed >= length && counts(text, end - length, end));
        let places: Vec<(usize, usize)> = there.map(|&(text, end, _)| (text, end)).collect();
        if !places.is_empty() {
            return (length, places);
        }
    }
    (0, Vec::new())
}

/// Checks every byte against those that stand after the places that agree so far.
pub(crate) fn check(texts: &[Vec<u8>], is_end: &[bool], found: &uag::lookup::Found, limit: usize, min_match: usize) {
    // A match may reach over the byte between two texts only where it is one of the growing text,
    // too.
    let between = |text: &Vec<u8>| text.contains(&0xFF);
    if texts[1..].iter().any(between) || (texts.len() > 1 && between(&texts[0])) {
        return;
    }
    let Some((length, mut places)) = naive(texts, is_end) else { return };
    assert_eq!(found.matched, length);
    if length < min_match.max(1) {
        assert!(found.bytes.is_empty() && found.places == 0);
        return;
    }
    assert_eq!(found.places, places.len());
    let next = |(text, end): (usize, usize), so_far: &[u8]| {
        let at = end + so_far.len();
        let text_bytes = &texts[text];
        text_bytes.get(at).copied().or_else(|| (text == 0).then(|| so_far[at - text_bytes.len()]))
    };
    for (index, (&byte, &share)) in found.bytes.iter().zip(&found.shares).enumerate() {
        let so_far = &found.bytes[..index];
        let votes: Vec<u8> = places.iter().filter_map(|&place| next(place, so_far)).collect();
        let count = |byte: u8| votes.iter().map(|&vote| usize::from(vote == byte)).sum::<usize>();
        // Which of equals is the oldest has a test of its own.
        assert!(votes.iter().all(|&other| count(other) <= count(byte)), "{index} {votes:?}");
        assert!((share - count(byte) as f32 / votes.len() as f32).abs() < 1e-6);
        places.retain(|&place| next(place, so_far) == Some(byte));
    }
    if found.bytes.len() < limit.min(32 * length + 96) {
        assert!(places.iter().all(|&place| next(place, &found.bytes).is_none()));
    }
}

//! Lookup against slow, obvious references: whole texts searched anew each time.

// Counts are small.
#![allow(clippy::cast_precision_loss)]

use std::cmp::Ordering;
use std::time::Instant;

use proptest::prelude::*;
use uag::{Search, Texts};

/// How long the text's longest suffix is that occurs earlier where a token ends, or in another text, and
/// where: `(text, position behind it)`; text 0 is the growing one. What starts within the longest end that is repeated anywhere is itself a repetition, and doesn't count.
fn naive(texts: &[Vec<u8>], is_end: &[bool]) -> (usize, Vec<(usize, usize)>) {
    let anywhere = longest(&texts[..1], |_, _, _| true);
    let repeated = texts[0].len() - anywhere.0;
    let own = longest(&texts[..1], |_, start, end| is_end[end] && start < repeated);
    let other = longest(texts, |text, _, _| text > 0);
    match own.0.cmp(&other.0) {
        Ordering::Less => other,
        Ordering::Equal => (own.0, [own.1, other.1].concat()),
        Ordering::Greater => own,
    }
}

fn longest(texts: &[Vec<u8>], counts: impl Fn(usize, usize, usize) -> bool) -> (usize, Vec<(usize, usize)>) {
    let own = &texts[0];
    for length in (1..=own.len()).rev() {
        let suffix = &own[own.len() - length..];
        let places: Vec<(usize, usize)> = texts
            .iter()
            .enumerate()
            .flat_map(|(index, text)| {
                let ends = length..=text.len() - usize::from(index == 0).min(text.len());
                ends.filter(|&end| &text[end - length..end] == suffix).map(move |end| (index, end)).collect::<Vec<_>>()
            })
            .filter(|&(text, end)| counts(text, end - length, end))
            .collect();
        if !places.is_empty() {
            return (length, places);
        }
    }
    (0, Vec::new())
}

/// Checks every byte against those that stand behind the places that agree so far.
fn check(texts: &[Vec<u8>], is_end: &[bool], found: &uag::Found, limit: usize) {
    let (length, mut places) = naive(texts, is_end);
    assert_eq!(found.matched, length);
    if length == 0 {
        assert!(found.bytes.is_empty());
        return;
    }
    let next = |(text, end): (usize, usize), so_far: &[u8]| {
        let at = end + so_far.len();
        let text_bytes = &texts[text];
        text_bytes.get(at).copied().or_else(|| (text == 0).then(|| so_far[at - text_bytes.len()]))
    };
    for (index, (&byte, &share)) in found.bytes.iter().zip(&found.shares).enumerate() {
        let so_far = &found.bytes[..index];
        let votes: Vec<u8> = places.iter().filter_map(|&place| next(place, so_far)).collect();
        let count = |byte: u8| votes.iter().map(|&vote| usize::from(vote == byte)).sum::<usize>();
        // Which of equals is the oldest is tested by itself.
        assert!(votes.iter().all(|&other| count(other) <= count(byte)), "{index} {votes:?}");
        assert!((share - count(byte) as f32 / votes.len() as f32).abs() < 1e-6);
        places.retain(|&place| next(place, so_far) == Some(byte));
    }
    if found.bytes.len() < limit.min(32 * length + 96) {
        assert!(places.iter().all(|&place| next(place, &found.bytes).is_none()));
    }
}

/// Bytes of a few letters repeat themselves; now and then one is any byte but that between texts.
fn text(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let letters = (1u8..5).prop_flat_map(|letters| prop_oneof![9 => b'a'..b'a' + letters, 1 => 0u8..255]);
    let periodic = (prop::collection::vec(b'a'..b'd', 1..4), 0..longest)
        .prop_map(|(unit, length)| unit.iter().copied().cycle().take(length).collect());
    prop_oneof![3 => prop::collection::vec(letters, 0..longest), 1 => periodic]
}

proptest! {
    #[test]
    fn the_longest_match_and_its_most_frequent_continuation(
        others in prop::collection::vec(text(24), 0..4),
        own in prop::collection::vec(prop_oneof![2 => text(3), 1 => text(20)], 0..16),
        limit in 0..12usize,
    ) {
        let mut store = Texts::new(1000);
        for text in &others {
            store.remember(text);
        }
        let mut search = Search::new(store.trees());
        let mut texts: Vec<Vec<u8>> = vec![Vec::new()];
        texts.extend(others);
        let mut is_end = vec![false];
        for token in own.iter().filter(|token| !token.is_empty()) {
            search.append([token.as_slice()]);
            texts[0].extend(token);
            is_end.resize(texts[0].len(), false);
            is_end.push(true);
            check(&texts, &is_end, &search.find(limit, 1), limit);
        }
    }

    #[test]
    fn the_oldest_texts_leave(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..40),
        limit in 0..200usize,
    ) {
        let mut store = Texts::new(limit);
        let mut expected: Vec<Vec<u8>> = Vec::new();
        for text in texts {
            prop_assert_eq!(store.remember(&text), text.len() <= limit);
            if text.len() <= limit && !text.is_empty() {
                expected.push(text);
                while expected.iter().map(Vec::len).sum::<usize>() > limit {
                    expected.remove(0);
                }
            }
            prop_assert!(store.iter().eq(expected.iter().map(Vec::as_slice)));
            prop_assert_eq!(store.bytes(), expected.iter().map(Vec::len).sum::<usize>());
            prop_assert!(store.trees().len() <= 20);
        }
    }
}

/// A text of which every byte is a token.
fn bytes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.chunks(1)
}

#[test]
fn a_match_shorter_than_asked_for_tells_nothing() {
    let mut search = Search::new(Vec::new());
    search.append(bytes(b"abcd abcd"));
    assert_eq!(search.find(3, 5).bytes, b"");
    assert_eq!(search.find(3, 4).bytes, b" ab");
}

#[test]
fn the_most_frequent_continuation_wins_and_of_equals_the_oldest() {
    let mut search = Search::new(Vec::new());
    search.append(bytes(b"k1 k2 k2 k3 k"));
    assert_eq!(search.find(1, 2).bytes, b"2");
    let mut search = Search::new(Vec::new());
    search.append(bytes(b"k1 k2 k3 k"));
    assert_eq!(search.find(1, 2).bytes, b"2");
}

#[test]
fn a_place_within_a_token_does_not_count() {
    let mut search = Search::new(Vec::new());
    search.append(["see", " them", ".", "be", " the", " a", " see", " the"].map(str::as_bytes));
    assert_eq!((search.find(2, 2).bytes, search.find(2, 2).matched), (b" a".to_vec(), 5));
}

#[test]
fn a_draft_ends_with_its_text_and_never_goes_on_in_the_next() {
    let mut store = Texts::new(100);
    store.remember(b"hello wor");
    store.remember(b"other");
    let mut search = Search::new(store.trees());
    search.append(bytes(b"hello "));
    assert_eq!(search.find(10, 4).bytes, b"wor");
}

#[test]
fn hostile_texts_stay_linear() {
    let run = |text: &[u8]| {
        let start = Instant::now();
        let mut search = Search::new(Vec::new());
        for chunk in text.chunks(4) {
            search.append([chunk]);
            search.find(32, 4);
        }
        let other = {
            let mut store = Texts::new(1 << 22);
            store.remember(text);
            store.trees()
        };
        let mut second = Search::new(other);
        second.append([text]);
        (start.elapsed().as_secs_f64(), search.memory() as f64 / text.len() as f64)
    };
    let size = 100_000;
    let fibonacci = {
        let (mut a, mut b) = (b"a".to_vec(), b"ab".to_vec());
        while b.len() < size {
            (a, b) = (b.clone(), [b.as_slice(), &a].concat());
        }
        b.truncate(size);
        b
    };
    let mut state = 1u64;
    let noise: Vec<u8> = (0..size)
        .map(|_| {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let periodic: Vec<u8> = b"abcdefghij".iter().copied().cycle().take(size).collect();
    let blocks: Vec<u8> = (0..size).map(|i| if i % 317 == 0 { b'b' } else { b'a' }).collect();
    for (name, text) in [
        ("one byte", vec![b'a'; size]),
        ("periodic", periodic),
        ("fibonacci", fibonacci),
        ("noise", noise),
        ("blocks", blocks),
    ] {
        let (seconds, memory) = run(&text);
        println!("{name}: {:.2} us a byte, {memory:.1} bytes a byte", seconds * 1e6 / size as f64);
        // Quadratic would be minutes.
        assert!(seconds < 20.0, "{name}: {seconds} s");
        assert!(memory < 64.0, "{name}: {memory} bytes a byte");
    }
}

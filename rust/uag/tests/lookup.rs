//! Lookup against slow, obvious references: whole texts searched anew each time.

// Counts are small.
#![allow(clippy::cast_precision_loss)]

#[path = "common/lookup.rs"]
mod reference;

use std::time::Instant;

use proptest::prelude::*;
use reference::check;
use uag::lookup::{Search, Texts};

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
        let mut search = store.search();
        let mut texts: Vec<Vec<u8>> = vec![Vec::new()];
        texts.extend(others);
        let mut is_end = vec![false];
        for token in own.iter().filter(|token| !token.is_empty()) {
            search.append([token.as_slice()]);
            texts[0].extend(token);
            is_end.resize(texts[0].len(), false);
            is_end.push(true);
            check(&texts, &is_end, &search.find(limit, 1), limit, 1);
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
            prop_assert!(store.trees() <= 20);
        }
    }
}

/// A text of which every byte is a token.
fn bytes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.chunks(1)
}

#[test]
fn a_match_shorter_than_asked_for_tells_nothing() {
    let mut search = Search::new();
    search.append(bytes(b"abcd abcd"));
    assert_eq!(search.find(3, 5).bytes, b"");
    assert_eq!(search.find(3, 4).bytes, b" ab");
}

#[test]
fn the_most_frequent_continuation_wins_and_of_equals_the_oldest() {
    let mut search = Search::new();
    search.append(bytes(b"k1 k2 k2 k3 k"));
    assert_eq!(search.find(1, 2).bytes, b"2");
    let mut search = Search::new();
    search.append(bytes(b"k1 k2 k3 k"));
    assert_eq!(search.find(1, 2).bytes, b"2");
}

#[test]
fn a_place_within_a_token_does_not_count() {
    let mut search = Search::new();
    search.append(["see", " them", ".", "be", " the", " a", " see", " the"].map(str::as_bytes));
    assert_eq!((search.find(2, 2).bytes, search.find(2, 2).matched), (b" a".to_vec(), 5));
}

#[test]
fn a_draft_ends_with_its_text_and_never_goes_on_in_the_next() {
    let mut store = Texts::new(100);
    store.remember(b"hello wor");
    store.remember(b"other");
    let mut search = store.search();
    search.append(bytes(b"hello "));
    assert_eq!(search.find(10, 4).bytes, b"wor");
}

#[test]
fn hostile_texts_stay_linear() {
    let run = |text: &[u8]| {
        let start = Instant::now();
        let mut search = Search::new();
        for chunk in text.chunks(4) {
            search.append([chunk]);
            search.find(32, 4);
        }
        let mut store = Texts::new(1 << 22);
        store.remember(text);
        let mut second = store.search();
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

//! Laws of encoders and translations, against slow references, on small random tokenizers.

mod common;
#[path = "common/trees.rs"]
mod trees;

use std::sync::Arc;

use common::{byte_level, metaspace, most_probable, reference, unigram};
use proptest::prelude::*;
use uag::{Bridge, Cut, IncrementalEncoder, Tokenizer};

/// What is done to a text.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    /// To this share of its length, in percent.
    Truncate(usize),
    /// Replaces what follows that share.
    Splice(usize, Vec<u8>),
}

/// Texts over an alphabet small enough for merges, added tokens and cuts to meet.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let unit = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "ab", "aab", "<t>", "<", "t>", " ", "  ", "c", "1", "'s", "\n", "é", "日", "😀"])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::sample::select(vec![vec![0xE6], vec![0x97], vec![0xFF], vec![0xF0, 0x9F]]),
    ];
    prop::collection::vec(unit, 0..40).prop_map(|units| units.concat())
}

/// Text after a draft, mostly none.
fn looked_up() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![2 => Just(Vec::new()), 1 => text()]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => text().prop_map(Step::Append),
        1 => (0..=100usize).prop_map(Step::Truncate),
        2 => (50..=100usize, text()).prop_map(|(at, text)| Step::Splice(at, text)),
    ];
    prop::collection::vec(step, 1..12)
}

fn tokenizers() -> impl Strategy<Value = (String, &'static str)> {
    let letters = ["a", "b", "c", " ", "<", "t", ">"];
    let merges = prop::collection::vec((0..20usize, 0..20usize), 0..14);
    (merges, 0..4usize, any::<bool>()).prop_map(move |(picks, kind, ignore_merges)| match kind {
        0 => (byte_level(&letters, &picks, ignore_merges, true), "bytes"),
        1 => (byte_level(&letters, &picks, ignore_merges, false), "bytes"),
        2 => (metaspace(&letters, &picks), "metaspace"),
        _ => (unigram(&picks), "unigram"),
    })
}

fn run(stream: &mut IncrementalEncoder, step: &Step) -> (usize, Vec<(u32, usize)>) {
    let before = (0..stream.count()).map(|i| stream.token(i)).collect();
    let at = |percent: usize| stream.len() * percent / 100;
    let stable = match step {
        Step::Append(bytes) => stream.append(bytes),
        Step::Truncate(percent) => stream.truncate(at(*percent)),
        Step::Splice(percent, bytes) => stream.splice(at(*percent), bytes),
    };
    (stable.expect("no text here is too long"), before)
}

proptest! {
    /// However a text came about, its tokens are those of the text given at once.
    #[test]
    fn a_stream_is_its_text((json, _) in tokenizers(), at_start: bool, steps in steps()) {
        let tokenizer = Arc::new(Tokenizer::from_json(&json).expect("it is one"));
        let mut stream = IncrementalEncoder::new(Arc::clone(&tokenizer), at_start);
        let mut expected: Vec<u8> = Vec::new();
        for step in &steps {
            let len = expected.len();
            match step {
                Step::Append(bytes) => expected.extend(bytes),
                Step::Truncate(percent) => expected.truncate(len * percent / 100),
                Step::Splice(percent, bytes) => { expected.truncate(len * percent / 100); expected.extend(bytes); }
            }
            let (stable, before) = run(&mut stream, step);
            prop_assert_eq!(stream.text(), &expected[..]);
            let mut fresh = IncrementalEncoder::new(Arc::clone(&tokenizer), at_start);
            fresh.append(&expected).expect("short");
            let tokens = |s: &IncrementalEncoder| (0..s.count()).map(|i| s.token(i)).collect::<Vec<_>>();
            prop_assert_eq!(tokens(&stream), tokens(&fresh));
            prop_assert_eq!(stream.held(), fresh.held());
            prop_assert_eq!(stream.exact(), fresh.exact());
            prop_assert!(stable <= before.len() && before[..stable] == tokens(&stream)[..stable]);
        }
    }

    /// Byte-level and SentencePiece-style tokens spell the text.
    #[test]
    fn tokens_spell_the_text((json, kind) in tokenizers(), text in text()) {
        prop_assume!(kind != "unigram");
        let tokenizer = Arc::new(Tokenizer::from_json(&json).expect("it is one"));
        let mut stream = IncrementalEncoder::new(Arc::clone(&tokenizer), true);
        stream.append(&text).expect("short");
        let mut spelled = Vec::new();
        for (i, id) in stream.ids(0).enumerate() {
            spelled.extend_from_slice(stream.bytes_of(id, i == 0).expect("it carries text"));
        }
        spelled.extend_from_slice(stream.held());
        prop_assert_eq!(spelled, text);
    }

    /// A text without added tokens or white space is one piece: its tokens are those of merging it
    /// the slow way.
    #[test]
    fn merging_is_the_textbook_loop(picks in prop::collection::vec((0..20usize, 0..20usize), 0..20), text in "[abc]{1,200}") {
        let json = byte_level(&["a", "b", "c"], &picks, false, false);
        let tokenizer = Arc::new(Tokenizer::from_json(&json).expect("it is one"));
        let mut stream = IncrementalEncoder::new(tokenizer, true);
        for part in text.as_bytes().chunks(7) {
            stream.append(part).expect("short");
        }
        prop_assert_eq!(stream.ids(0).collect::<Vec<_>>(), reference(&json, &text));
    }

    /// However a text without spaces grew, its Unigram tokens are those of the best of all
    /// segmentations.
    #[test]
    fn unigram_is_the_best_segmentation(picks in prop::collection::vec((0..20usize, 0..20usize), 0..30), text in "[abc日1]{1,60}") {
        let json = unigram(&picks);
        let mut encoder = IncrementalEncoder::new(Arc::new(Tokenizer::from_json(&json).expect("it is one")), true);
        for part in text.as_bytes().chunks(5) {
            encoder.append(part).expect("short");
        }
        prop_assert_eq!(encoder.ids(0).collect::<Vec<_>>(), most_probable(&json, &text));
    }

    /// Candidates spell the draft, committed ids stay, and the edit turns the assistant's cache
    /// into its text's tokens.
    #[test]
    fn a_round_keeps_both_sides_in_step(
        (target, _) in tokenizers(), (assistant, _) in tokenizers(), prompt in text(),
        rounds in prop::collection::vec(
            (prop::collection::vec(0..290u32, 0..8), looked_up(), 0..8usize, prop::collection::vec(0..290u32, 0..3)), 1..8,
        ),
    ) {
        let target = Arc::new(Tokenizer::from_json(&target).expect("it is one"));
        let assistant = Arc::new(Tokenizer::from_json(&assistant).expect("it is one"));
        let ids = |tokenizer: &Arc<Tokenizer>| {
            let mut stream = IncrementalEncoder::new(Arc::clone(tokenizer), true);
            stream.append(&prompt).expect("short");
            stream.ids(0).collect::<Vec<_>>()
        };
        let bridge = Arc::new(Bridge::new(Arc::clone(&target), Arc::clone(&assistant), &[(256, 256)]));
        let mut translation = bridge.start(&ids(&target), &ids(&assistant)).expect("short");
        let mut committed = translation.target_ids().to_vec();
        for (draft, looked_up, accepted, own) in rounds {
            let cached: Vec<u32> = translation.assistant_ids().iter().chain(&draft).copied().collect();
            let proposal = translation.propose_then(&draft, &looked_up).expect("short");
            prop_assert_eq!(proposal.ids.len(), proposal.draft_ends.len());
            let beyond = proposal.draft_ends.iter().filter(|&&end| end as usize > draft.len()).count();
            prop_assert!(proposal.draft_ends.is_sorted() && (beyond == 0 || !looked_up.is_empty()));
            // Nothing follows a special token.
            if proposal.cut == Cut::No && !looked_up.is_empty() && !draft.contains(&256) {
                let spelled: Vec<u8> = proposal.ids.iter().flat_map(|&id| target.token_bytes(id).unwrap_or(&[])).copied().collect();
                prop_assert!(spelled.ends_with(&looked_up));
                prop_assert_eq!(proposal.draft_ends.last().map(|&end| end as usize), Some(draft.len() + beyond));
                prop_assert!(beyond > 0);
            }
            prop_assert_eq!(&translation.propose_then(&draft, &looked_up).expect("short"), &proposal, "asking again changes nothing");
            let emitted: Vec<u32> = proposal.ids.iter().take(accepted).chain(&own).copied().collect();
            let edit = translation.commit(&emitted).expect("short");
            committed.extend(&emitted);
            prop_assert_eq!(translation.target_ids(), &committed[..]);
            let after: Vec<u32> = cached[..edit.keep].iter().chain(&edit.feed).copied().collect();
            prop_assert_eq!(translation.assistant_ids(), &after[..]);
            prop_assert!(edit.feed.first() != cached.get(edit.keep) || edit.feed.is_empty(), "nothing is fed that stays");
        }
    }

    /// A tree's candidates are those of its paths, whatever paths were read before, and a commit
    /// leaves what it would without drafts.
    #[test]
    fn a_tree_is_its_paths(
        (target, _) in tokenizers(), (assistant, _) in tokenizers(), prompt in text(),
        rounds in prop::collection::vec(
            (tree(), 0..20usize, any::<prop::sample::Index>(), prop::collection::vec(0..290u32, 0..3)), 1..5,
        ),
    ) {
        let target = Arc::new(Tokenizer::from_json(&target).expect("it is one"));
        let assistant = Arc::new(Tokenizer::from_json(&assistant).expect("it is one"));
        let ids = |tokenizer: &Arc<Tokenizer>| {
            let mut stream = IncrementalEncoder::new(Arc::clone(tokenizer), true);
            stream.append(&prompt).expect("short");
            stream.ids(0).collect::<Vec<_>>()
        };
        let bridge = Arc::new(Bridge::new(Arc::clone(&target), Arc::clone(&assistant), &[(256, 256)]));
        let start = || bridge.start(&ids(&target), &ids(&assistant)).expect("short");
        let (mut translation, mut plain) = (start(), start());
        for (tree, most, accepted, own) in rounds {
            let proposal = trees::check(&mut translation, &tree, most);
            let cached = [translation.assistant_ids(), &tree.held_ids()].concat();
            let mut emitted = accepted.index(proposal.ids.len() + 1).checked_sub(1).map_or(Vec::new(), |at| trees::paths(&proposal)[at].clone());
            emitted.extend(own);
            let edit = translation.commit(&emitted).expect("short");
            plain.commit(&emitted).expect("short");
            prop_assert_eq!(translation.target_ids(), plain.target_ids());
            prop_assert_eq!(translation.assistant_ids(), plain.assistant_ids());
            prop_assert_eq!(translation.assistant_ids(), &[&cached[..edit.keep], &edit.feed].concat()[..]);
            prop_assert!(edit.feed.first() != cached.get(edit.keep) || edit.feed.is_empty(), "nothing is fed that stays");
        }
    }
}

/// Ids, each after one of those before it, and looked-up text.
fn tree() -> impl Strategy<Value = trees::Tree> {
    let node = (0..290u32, any::<prop::sample::Index>(), 0..=4u8);
    (prop::collection::vec(node, 0..20), any::<prop::sample::Index>(), looked_up(), 0..6usize).prop_map(
        |(nodes, held, text, chances)| {
            let mut tree = trees::Tree { text, text_chances: vec![0.7; chances], ..Default::default() };
            for (at, (id, parent, chance)) in nodes.into_iter().enumerate() {
                // Every other node goes on from the one before it.
                let parent = if at % 2 == 0 { parent.index(at + 1) } else { at };
                tree.push(id, parent.checked_sub(1).map(|parent| parent as u32), f64::from(chance) / 4.0);
            }
            let held = held.index(tree.ids.len() + 1) as u32;
            tree.held = held.checked_sub(1).map(|node| tree.path(node)).unwrap_or_default();
            tree
        },
    )
}

/// A run without a single split, appended a few bytes at a time with drafts that are taken back: if
/// a step cost the length of the run, this would take minutes.
#[test]
fn long_runs_stay_linear() {
    let merges: Vec<(usize, usize)> = (0..12).map(|i| (i, i)).collect();
    for unit in ["a", " ", "=", "日", "abc"] {
        let letters = ["a", " ", "=", "b", "c"];
        for json in [byte_level(&letters, &merges, false, false), metaspace(&letters, &merges), unigram(&merges)] {
            let tokenizer = Arc::new(Tokenizer::from_json(&json).expect("it is one"));
            let mut stream = IncrementalEncoder::new(tokenizer, true);
            let part = unit.repeat(20);
            while stream.len() < 200_000 {
                let len = stream.len();
                stream.append(part.as_bytes()).expect("short");
                stream.truncate(len).expect("shorter");
                stream.append(part.as_bytes()).expect("short");
            }
            assert!(stream.exact());
        }
    }
}

//! Encoding a text at once, in small parts, and after parts of it were taken back; beside the `bpe`
//! crate of GitHub's rust-gems, over the same tokens.
//!
//! Without a pattern that splits words the whole text is one piece, which is the harder case.

// The macro's function has none.
#![allow(missing_docs)]

mod common;

use std::hint::black_box;
use std::sync::Arc;

use bpe::appendable_encoder::AppendableEncoder;
use bpe::byte_pair_encoding::BytePairEncoding;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uag::{IncrementalEncoder, Tokenizer};

const BYTES: usize = 10_000;
const PART: usize = 8;

/// Both encoders of the same tokens: each id is the rank of the one merge that makes the token.
fn encoders() -> (Arc<Tokenizer>, BytePairEncoding) {
    let merges = common::merges(&common::text(20_000, 1), 600);
    let bytes = (0..=255u8).map(|byte| vec![byte]);
    let tokens = bytes.chain(merges.iter().map(|(left, right)| [left.as_slice(), right].concat()));
    let theirs = BytePairEncoding::from_dictionary(tokens, Some(17_846_336_922_010_275_747));
    (common::tokenizer(&merges), theirs)
}

fn whole(c: &mut Criterion) {
    let (ours, theirs) = encoders();
    let text = common::text(BYTES, 2);
    assert_eq!(common::ids(&ours, &text), theirs.encode_via_backtracking(text.as_bytes()));
    let mut group = c.benchmark_group("whole text");
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("uag", |b| b.iter(|| common::ids(&ours, black_box(&text))));
    group
        .bench_function("bpe, backtracking", |b| b.iter(|| theirs.encode_via_backtracking(black_box(text.as_bytes()))));
    group.finish();
}

fn parts(c: &mut Criterion) {
    let (ours, theirs) = encoders();
    let text = common::text(BYTES, 2);
    let append = || {
        let mut encoder = IncrementalEncoder::new(Arc::clone(&ours), true);
        for part in text.as_bytes().chunks(PART) {
            encoder.append(part).expect("short");
        }
        encoder
    };
    let extend = || {
        let mut encoder = AppendableEncoder::new(&theirs);
        for part in text.as_bytes().chunks(PART) {
            encoder.extend(part.iter().copied());
        }
        encoder
    };
    // The other one counts tokens; these are its ids.
    assert_eq!(append().ids(0).collect::<Vec<_>>(), theirs.encode_via_backtracking(text.as_bytes()));
    assert_eq!(append().count(), extend().token_count());
    let mut group = c.benchmark_group("parts of 8 bytes");
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("uag, ids", |b| b.iter(|| append().count()));
    group.bench_function("bpe, appendable, counts", |b| b.iter(|| extend().token_count()));
    group.finish();
}

/// At the end of a long text: a draft of 32 bytes is appended and taken back.
fn roll_back(c: &mut Criterion) {
    let (ours, theirs) = encoders();
    let text = common::text(BYTES, 2);
    let draft = &common::text(64, 3).into_bytes()[..32];
    let mut encoder = IncrementalEncoder::new(ours, true);
    encoder.append(text.as_bytes()).expect("short");
    let mut other = AppendableEncoder::new(&theirs);
    other.extend(text.bytes());
    let mut there_and_back = || {
        encoder.append(black_box(draft)).expect("short");
        let grown = encoder.count();
        encoder.truncate(BYTES).expect("shorter");
        (grown, encoder.count())
    };
    let mut other_there_and_back = || {
        other.extend(black_box(draft).iter().copied());
        let grown = other.token_count();
        other.truncate(BYTES);
        (grown, other.token_count())
    };
    assert_eq!(there_and_back(), other_there_and_back());
    let mut group = c.benchmark_group("append 32 bytes and take them back");
    group.bench_function("uag, ids", |b| b.iter(&mut there_and_back));
    group.bench_function("bpe, appendable, counts", |b| b.iter(&mut other_there_and_back));
    group.finish();
}

/// The most probable segmentation, which no merging finds.
fn unigram(c: &mut Criterion) {
    let tokenizer = common::unigram(&common::merges(&common::text(20_000, 1), 600));
    let text = common::text(BYTES, 2);
    let append = || {
        let mut encoder = IncrementalEncoder::new(Arc::clone(&tokenizer), true);
        for part in text.as_bytes().chunks(PART) {
            encoder.append(part).expect("short");
        }
        encoder
    };
    assert_eq!(append().ids(0).collect::<Vec<_>>(), common::ids(&tokenizer, &text));
    let mut group = c.benchmark_group("Unigram");
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("whole text", |b| b.iter(|| common::ids(&tokenizer, black_box(&text))));
    group.bench_function("parts of 8 bytes", |b| b.iter(|| append().count()));
    group.finish();
}

criterion_group!(benches, whole, parts, roll_back, unigram);
criterion_main!(benches);

//! Looking up what follows the end of a text, in itself and in others.

// The macro's function has none.
#![allow(missing_docs)]

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uag::lookup::{Search, Texts};

const BYTES: usize = 50_000;

fn append(c: &mut Criterion) {
    let text = common::text(BYTES, 1);
    let mut others = Texts::new(1 << 20);
    for seed in 2..6 {
        assert!(others.remember(common::text(BYTES, seed).as_bytes()));
    }
    let read = |mut search: Search| {
        search.append(text.split_inclusive(' ').map(str::as_bytes));
        search
    };
    let mut group = c.benchmark_group("read 50,000 bytes");
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("alone", |b| b.iter(|| read(Search::new())));
    group.bench_function("beside four texts", |b| b.iter(|| read(others.search())));
    group.finish();
}

fn find(c: &mut Criterion) {
    let text = common::text(BYTES, 1);
    // It ends with what stands in its middle.
    let middle = text[..BYTES / 2].rfind(' ').expect("words") + 1;
    let text = [&text, " ", &text[middle - 20..middle]].concat();
    let mut search = Search::new();
    search.append(text.split_inclusive(' ').map(str::as_bytes));
    let found = search.find(64, 4);
    assert!(found.matched >= 20 && found.bytes == text.as_bytes()[middle..middle + 64], "{found:?}");
    c.bench_function("find 64 bytes", |b| b.iter(|| search.find(64, 4)));
}

criterion_group!(benches, append, find);
criterion_main!(benches);

//! A round of a translation: a draft becomes candidates, and what is committed becomes an edit.

// The macro's function has none.
#![allow(missing_docs)]

mod common;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use uag::{Bridge, Tokenizer, Translation};

/// Rounds that are timed together.
const ROUNDS: usize = 50;

/// Where each id ends in the text.
fn ends(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<usize> {
    let mut end = 0;
    let lengths = ids.iter().filter_map(|&id| tokenizer.token_bytes(id)).map(<[u8]>::len);
    let ends = lengths.map(|length| {
        end += length;
        end
    });
    ends.collect()
}

/// A pair of tokenizers, and a text in both vocabularies of which the first ids are the prompt.
struct Scene {
    bridge: Arc<Bridge>,
    target_ids: Vec<u32>,
    assistant_ids: Vec<u32>,
    /// How many of each are the prompt.
    prompt: (usize, usize),
}

impl Scene {
    fn new(prompt: usize) -> Self {
        let merges = common::merges(&common::text(20_000, 1), 600);
        let (target, assistant) = (common::tokenizer(&merges), common::tokenizer(&merges[..150]));
        let text = common::text(prompt + 4000, 2);
        let (target_ids, assistant_ids) = (common::ids(&target, &text), common::ids(&assistant, &text));
        // The prompt ends where tokens of both do.
        let (target_ends, assistant_ends) = (ends(&target, &target_ids), ends(&assistant, &assistant_ids));
        let end = target_ends.iter().find(|end| **end >= prompt && assistant_ends.contains(end)).expect("one of them");
        let count = |ends: &[usize]| ends.iter().take_while(|each| *each <= end).count();
        let prompt = (count(&target_ends), count(&assistant_ends));
        Self { bridge: Arc::new(Bridge::new(target, assistant, &[])), target_ids, assistant_ids, prompt }
    }

    fn start(&self) -> Translation {
        let (target, assistant) = self.prompt;
        self.bridge.start(&self.target_ids[..target], &self.assistant_ids[..assistant]).expect("short")
    }

    /// Drafts 8 ids, of which the sixth is another every third time, and commits what is right and
    /// one more.
    fn rounds(&self, text: &mut Translation) {
        for round in 0..ROUNDS {
            let from = text.assistant_ids().len();
            let mut draft = [0; 8];
            draft.copy_from_slice(&self.assistant_ids[from..from + 8]);
            if round % 3 == 0 {
                draft[5] = u32::from(b'#');
            }
            let proposal = text.propose(black_box(&draft)).expect("short");
            let at = text.target_ids().len();
            let goal = &self.target_ids[at..];
            let right = proposal.ids.iter().zip(goal).take_while(|(candidate, id)| candidate == id).count();
            text.commit(&goal[..=right]).expect("short");
        }
    }
}

fn round(c: &mut Criterion) {
    let mut group = c.benchmark_group("50 rounds");
    for prompt in [100, 20_000] {
        let scene = Scene::new(prompt);
        let mut text = scene.start();
        scene.rounds(&mut text);
        let known = text.assistant_ids().len() - 8;
        assert!(scene.target_ids.starts_with(text.target_ids()), "each round commits the text's own ids");
        assert_eq!(scene.assistant_ids[..known], text.assistant_ids()[..known]);
        group.bench_function(format!("after a prompt of {prompt} bytes"), |b| {
            b.iter_batched_ref(|| scene.start(), |text| scene.rounds(text), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, round);
criterion_main!(benches);

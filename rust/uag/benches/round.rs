//! A round of a translation: a draft, or a tree of them, becomes candidates, and what is committed
//! becomes an edit.

// The macro's function has none.
#![allow(missing_docs)]

mod common;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use uag::{Bridge, DraftTree, Tokenizer, Translation};

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

/// A draft of 6 ids, each with 8 siblings: 54 paths, and the best 16 candidates of them.
fn comb(c: &mut Criterion) {
    let scene = Scene::new(20_000);
    let mut text = scene.start();
    let from = scene.prompt.1;
    let (mut ids, mut parents, mut chances) = (Vec::new(), Vec::new(), Vec::new());
    let mut parent = None;
    for (depth, &id) in scene.assistant_ids[from..from + 6].iter().enumerate() {
        let drafted = ids.len() as u32;
        let siblings = &scene.assistant_ids[depth * 100..];
        let siblings = siblings.iter().copied().filter(|&other| other != id).take(8);
        ids.extend([id].into_iter().chain(siblings));
        parents.extend([parent; 9]);
        chances.extend([0.6].into_iter().chain([0.04; 8]));
        parent = Some(drafted);
    }
    let tree = DraftTree::new(&ids, &parents, &chances).expect("parents come first");
    let drafted = text.propose(&scene.assistant_ids[from..from + 6]).expect("short");
    let found = text.propose_tree(&tree).expect("short");
    assert!(found.ids.starts_with(&drafted.ids[..1]) && found.ids.len() > 16);
    c.bench_function("a comb of 54 paths", |b| {
        b.iter(|| text.propose_tree(black_box(&tree)).expect("short").best(16));
    });
    c.bench_function("its chain alone", |b| {
        b.iter(|| text.propose(black_box(&scene.assistant_ids[from..from + 6])).expect("short"));
    });
}

criterion_group!(benches, round, comb);
criterion_main!(benches);

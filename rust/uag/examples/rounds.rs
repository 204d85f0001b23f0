//! Decodes a text in rounds: a small model drafts ids of its own vocabulary, a large one checks
//! them.
//!
//! The models are not there. The "large model" knows the text that it will say, and the "small
//! model" knows another text that is the same but for some words.

use std::sync::Arc;

use uag::{Bridge, IncrementalEncoder, Tokenizer};

const TARGET: &str = "the cat sat on the mat, and the dog sat on the cat";
const DRAFTED: &str = "the cat sat on the hat, and the dog sat by the cat";

fn ids(tokenizer: &Arc<Tokenizer>, text: &str) -> uag::Result<Vec<u32>> {
    let mut encoder = IncrementalEncoder::new(Arc::clone(tokenizer), true);
    encoder.append(text.as_bytes())?;
    Ok(encoder.ids(0).collect())
}

fn spelled(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let tokens = ids.iter().filter_map(|&id| tokenizer.token_bytes(id));
    tokens.map(String::from_utf8_lossy).collect::<Vec<_>>().join("|")
}

fn main() -> uag::Result<()> {
    let target = Arc::new(Tokenizer::from_merges(&[
        (b"t", b"h"),
        (b"th", b"e"),
        (b"a", b"t"),
        (b" ", b"the"),
        (b"s", b"at"),
        (b" ", b"sat"),
        (b"o", b"n"),
    ])?);
    let assistant = Arc::new(Tokenizer::from_merges(&[(b"a", b"t"), (b"h", b"e"), (b" ", b"t"), (b"c", b"at")])?);
    let (goal, guess) = (ids(&target, TARGET)?, ids(&assistant, DRAFTED)?);

    let bridge = Arc::new(Bridge::new(Arc::clone(&target), Arc::clone(&assistant), &[]));
    let mut text = bridge.start(&[], &[])?;
    while text.target_ids().len() < goal.len() {
        // Drafting: the next ids of the small model.
        let from = text.assistant_ids().len().min(guess.len());
        let draft = &guess[from..guess.len().min(from + 6)];
        let proposal = text.propose(draft)?;

        // Verifying: the large model agrees with the first candidates, and says one id more.
        let rest = &goal[text.target_ids().len()..];
        let accepted = proposal.ids.iter().zip(rest).take_while(|(candidate, id)| candidate == id).count();
        let emitted = &rest[..rest.len().min(accepted + 1)];
        let edit = text.commit(emitted)?;

        println!("drafted   {}", spelled(&assistant, draft));
        println!("proposed  {}  ({accepted} accepted)", spelled(&target, &proposal.ids));
        println!("emitted   {}", spelled(&target, emitted));
        println!("cache     keep {}, feed {}  {}\n", edit.keep, spelled(&assistant, &edit.feed), edit.cause);
    }
    assert_eq!(text.target_ids(), goal);
    Ok(())
}

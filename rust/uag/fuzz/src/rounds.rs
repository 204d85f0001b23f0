//! What is done to texts, and the laws that hold after each step.

use std::sync::Arc;

use uag::{Bridge, Cut, Encode as _, IncrementalEncoder, Proposal, Tokenizer, Translation};

use super::families::Words;
use super::reader::Reader;
use super::trees::{self, Tree};

/// The most bytes a text may grow to: references read all of it again at every step.
const LONGEST: usize = 3000;

/// The tokens of a stream, and what else it says of its text.
fn account(stream: &IncrementalEncoder) -> (Vec<(u32, usize)>, &[u8], bool) {
    ((0..stream.count()).map(|i| stream.token(i)).collect(), stream.held(), stream.exact())
}

fn fresh(tokenizer: &Arc<Tokenizer>, at_start: bool, text: &[u8]) -> IncrementalEncoder {
    let mut stream = IncrementalEncoder::new(Arc::clone(tokenizer), at_start);
    stream.append(text).expect("a short text of a tokenizer that refuses none");
    stream
}

/// Grows and cuts a text: however it came about, its tokens are those of the text given at once.
pub(crate) fn edits(tokenizer: &Arc<Tokenizer>, choices: &mut Reader) {
    let at_start = choices.byte() & 1 == 0;
    let mut stream = IncrementalEncoder::new(Arc::clone(tokenizer), at_start);
    let mut text: Vec<u8> = Vec::new();
    while !choices.is_empty() {
        let kind = choices.byte();
        let len = match kind % 4 {
            0 | 1 => text.len(),
            2 => text.len() - choices.below(text.len().min(8) + 1),
            _ => choices.below(text.len() + 1),
        };
        let mut new = if kind & 64 == 0 { choices.text() } else { Vec::new() };
        new.truncate(LONGEST - len);
        let (before, _, _) = account(&stream);
        let stable = stream.splice(len, &new).expect("short");
        text.truncate(len);
        text.extend(new);
        assert_eq!(stream.text(), text, "the text is what it was made");
        let at_once = fresh(tokenizer, at_start, &text);
        let (tokens, held, exact) = account(&stream);
        assert_eq!((&tokens, held, exact), (&account(&at_once).0, at_once.held(), at_once.exact()), "as given at once");
        assert_eq!(text.ends_with(held).then_some(held.len()), Some(uag::utf8::unfinished(&text)));
        assert_eq!(before.get(..stable), tokens.get(..stable), "said to be unchanged");
    }
}

/// A tokenizer, and its special token that the other one has, too.
struct Side<'a> {
    tokenizer: &'a Arc<Tokenizer>,
    special: Option<u32>,
}

impl<'a> Side<'a> {
    fn new(tokenizer: &'a Arc<Tokenizer>) -> Self {
        let special = (0..tokenizer.vocab_size() as u32).rev().find(|&id| tokenizer.is_special(id));
        Self { tokenizer, special }
    }

    /// What the ids spell, if each carries text; the first of them after a `fresh` start.
    fn spelled(&self, ids: &[u32], fresh: bool) -> Option<Vec<u8>> {
        let start = IncrementalEncoder::new(Arc::clone(self.tokenizer), true);
        let bytes = ids.iter().enumerate().map(|(at, &id)| start.bytes_of(id, fresh && at == 0));
        let bytes = bytes.collect::<Option<Vec<_>>>()?.concat();
        (!ids.iter().any(|&id| Some(id) == self.special)).then_some(bytes)
    }

    fn any_id(&self, choices: &mut Reader) -> u32 {
        choices.below(self.tokenizer.vocab_size() + 2) as u32
    }
}

/// One text in two vocabularies, and what is expected of it.
struct Pair<'a> {
    target: Side<'a>,
    assistant: Side<'a>,
    translation: Translation,
    target_ids: Vec<u32>,
    /// As long as all of it is text, and began as its own encoding.
    text: Option<Vec<u8>>,
}

/// Drafts, candidates, commits.
pub(crate) fn rounds(target: &Arc<Tokenizer>, assistant: &Arc<Tokenizer>, choices: &mut Reader) {
    let (mut target, mut assistant) = (Side::new(target), Side::new(assistant));
    let specials = target.special.zip(assistant.special);
    (target.special, assistant.special) = specials.unzip();
    let tokenizers = [target.tokenizer, assistant.tokenizer];
    let bridge = Bridge::new(Arc::clone(tokenizers[0]), Arc::clone(tokenizers[1]), specials.as_slice());
    let shape = choices.byte();
    let mut prompt = choices.text();
    prompt.truncate(prompt.len() - uag::utf8::unfinished(&prompt));
    let [mut target_ids, mut assistant_ids] =
        tokenizers.map(|it| fresh(it, true, &prompt).ids(0).collect::<Vec<u32>>());
    if let (Some((target_id, assistant_id)), 1) = (specials, shape & 1) {
        target_ids.insert(0, target_id);
        assistant_ids.insert(0, assistant_id);
    }
    if shape & 6 == 6 {
        // A prompt that no tokenizer would give.
        target_ids.reverse();
        assistant_ids.reverse();
    }
    let is_text = shape & 6 != 6
        && target.spelled(&target_ids, true).as_ref() == Some(&prompt)
        && assistant.spelled(&assistant_ids, true).as_ref() == Some(&prompt);
    let translation = Arc::new(bridge).start(&target_ids, &assistant_ids).expect("short");
    assert_eq!(
        (translation.target_ids(), translation.assistant_ids()),
        (&target_ids[..], &assistant_ids[..]),
        "they stay"
    );
    let mut pair = Pair { target, assistant, translation, target_ids, text: is_text.then_some(prompt) };
    while !choices.is_empty() && pair.target_ids.len() < LONGEST {
        pair.round(choices);
    }
}

impl Pair<'_> {
    fn round(&mut self, choices: &mut Reader) {
        let shape = choices.byte();
        let draft = self.draft(shape & 1 == 0, choices);
        let after = if shape & 2 == 0 { Vec::new() } else { choices.text() };
        let (mut emitted, drafted) =
            if shape & 16 == 0 { self.chain(draft, &after, choices) } else { self.tree(&draft, after, choices) };
        let cached = [self.translation.assistant_ids(), &drafted].concat();
        emitted.extend((0..shape >> 5 & 3).map(|_| self.target.any_id(choices)));
        let new = self.target.spelled(&emitted, self.target_ids.is_empty());
        self.text = self.text.take().zip(new).map(|(text, new)| [text, new].concat());
        self.target_ids.extend(&emitted);
        let edit = self.translation.commit(&emitted).expect("short");
        let ids = self.translation.assistant_ids();
        assert_eq!(self.translation.target_ids(), self.target_ids, "what is committed stays");
        assert_eq!(ids, [&cached[..edit.keep], &edit.feed].concat(), "an edit of what is cached");
        assert!(edit.feed.is_empty() || edit.feed.first() != cached.get(edit.keep), "nothing is fed that stays");
        if let Some(text) = &self.text {
            let own = fresh(self.assistant.tokenizer, true, text);
            assert!(own.ids(0).eq(ids.iter().copied()), "the assistant reads its own encoding");
            assert_eq!(own.held().len(), self.translation.held());
        }
    }

    /// A draft, and text after it. Returns the candidates that are accepted, and what was drafted.
    fn chain(&mut self, draft: Vec<u32>, after: &[u8], choices: &mut Reader) -> (Vec<u32>, Vec<u32>) {
        let proposal = self.translation.propose_then(&draft, after).expect("short");
        assert_eq!(self.translation.propose_then(&draft, after).expect("short"), proposal, "asking changes nothing");
        assert_eq!(proposal.ids.len(), proposal.draft_ends.len());
        assert!(proposal.draft_ends.is_sorted() && !proposal.draft_ends.contains(&0));
        if let Some(text) = &self.text {
            self.check(text, &draft, after, &proposal);
        }
        (proposal.ids.into_iter().take(choices.below(16)).collect(), draft)
    }

    /// A draft, siblings of its ids and what may follow those, and looked-up text beside all of
    /// them. Returns the candidates of an accepted path, and what the assistant's cache holds.
    fn tree(&mut self, draft: &[u32], text: Vec<u8>, choices: &mut Reader) -> (Vec<u32>, Vec<u32>) {
        let mut tree = Tree { text, ..Tree::default() };
        let chance = |choices: &mut Reader| f64::from(choices.byte()) / 255.0;
        for &id in &draft[..draft.len().min(12)] {
            tree.push(id, tree.ids.len().checked_sub(1).map(|last| last as u32), chance(choices));
        }
        tree.held = (0..choices.below(tree.ids.len() + 1) as u32).collect();
        for _ in 0..choices.byte() & 15 {
            let parent = choices.below(tree.ids.len() + 1).checked_sub(1).map(|parent| parent as u32);
            let id = if draft.is_empty() || choices.byte() & 1 == 0 {
                self.assistant.any_id(choices)
            } else {
                draft[choices.below(draft.len())]
            };
            tree.push(id, parent, chance(choices));
        }
        tree.text_chances = (0..choices.byte() & 7).map(|_| chance(choices)).collect();
        let proposal = trees::check(&mut self.translation, &tree, choices.below(20));
        let accepted =
            choices.below(proposal.ids.len() + 1).checked_sub(1).map(|at| trees::paths(&proposal)[at].clone());
        (accepted.unwrap_or_default(), tree.held_ids())
    }

    /// What the assistant's tokenizer makes of a text that goes on, or any ids.
    fn draft(&self, of_text: bool, choices: &mut Reader) -> Vec<u32> {
        if !of_text {
            return (0..choices.below(12)).map(|_| self.assistant.any_id(choices)).collect();
        }
        let more = [self.text.clone().unwrap_or_default(), choices.text()].concat();
        let ids: Vec<u32> = fresh(self.assistant.tokenizer, true, &more).ids(0).collect();
        let new = ids.strip_prefix(self.translation.assistant_ids()).unwrap_or(&ids);
        new[..new.len().min(64)].to_vec()
    }

    /// Candidates spell the draft, and are the tokenizer's own where they are said to be.
    fn check(&self, text: &[u8], draft: &[u32], after: &[u8], proposal: &Proposal) {
        let words = draft.iter().take_while(|&&id| self.assistant.spelled(&[id], false).is_some()).count();
        let drafted = self.assistant.spelled(&draft[..words], self.translation.assistant_ids().is_empty());
        let drafted = drafted.expect("each of them spells something");
        let held = if draft.is_empty() { &[] } else { &text[text.len() - self.translation.held()..] };
        let Some(new) = drafted.strip_prefix(held) else {
            assert!(proposal.ids.is_empty() && (proposal.cut != Cut::No || held.starts_with(&drafted)));
            return;
        };
        let new = [new, if words == draft.len() { after } else { &[] }].concat();
        let special = proposal.ids.last().is_some_and(|&id| Some(id) == self.target.special);
        let ids = &proposal.ids[..proposal.ids.len() - usize::from(special)];
        let candidates = self.target.spelled(ids, self.target_ids.is_empty()).expect("candidates carry text");
        assert!(new.starts_with(&candidates), "candidates spell the draft");
        assert!(new == candidates || proposal.cut == Cut::NotRepresentable, "all of it: {:?}", proposal.cut);
        let whole = [text, &candidates].concat();
        if proposal.exact && uag::utf8::unfinished(&whole) == 0 {
            let own = fresh(self.target.tokenizer, true, &whole);
            assert!(own.exact() && own.ids(0).eq(self.target_ids.iter().chain(ids).copied()), "said to be exact");
        }
    }
}

/// A tokenizer that refuses some texts: its errors are passed on, and the text is as asked for.
pub(crate) fn refusals(tokenizer: &Arc<Tokenizer>, real: &Words, choices: &mut Reader) {
    let mut stream = IncrementalEncoder::new(Arc::clone(tokenizer), true);
    let mut text = Vec::new();
    while !choices.is_empty() {
        let new = choices.text();
        let refused = stream.append(&new).is_err();
        text.extend(new);
        assert_eq!(stream.text(), text);
        let complete = &text[..text.len() - stream.held().len()];
        let refuses = complete.utf8_chunks().any(|chunk| real.encode(chunk.valid()).is_err());
        assert!(!refused || (refuses && stream.count() == 0));
        if text.len() > LONGEST {
            break;
        }
    }
}

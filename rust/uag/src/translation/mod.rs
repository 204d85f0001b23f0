//! One text in two vocabularies: candidates from drafts, and what a commit does to the assistant's cache.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::encoder::Stream;
use crate::error::Result;
use crate::tokenizer::{Prefix, Tokenizer};

/// A target and an assistant tokenizer, and which of their special tokens mean the same.
#[derive(Debug, Clone)]
pub struct Bridge {
    target: Arc<Tokenizer>,
    assistant: Arc<Tokenizer>,
    to_assistant: FxHashMap<u32, u32>,
    to_target: FxHashMap<u32, u32>,
}

/// Why candidates end before the draft does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// They don't.
    No,
    /// The draft holds a special token that has no counterpart.
    Special,
    /// The draft holds an id that carries no text: a padding row, out of range, or empty.
    NoText,
    /// The draft doesn't begin with the unfinished character that the target has begun.
    Mismatch,
    /// The target's vocabulary can't spell the draft's text.
    NotRepresentable,
}

/// Candidate target ids for a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// They continue the committed target ids.
    pub ids: Vec<u32>,
    /// For each, how many draft ids its bytes reach into. Those that reach into the text behind the ids
    /// count as one more each.
    pub draft_ends: Vec<u32>,
    /// Whether committed ids and candidates are what the target's tokenizer gives for the whole text.
    pub exact: bool,
    /// Why they end early.
    pub cut: Cut,
}

/// Why cached assistant ids don't survive a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// All of them do.
    None,
    /// The draft runs past what is committed, and agrees with it so far.
    Ahead,
    /// The committed text is another.
    Text,
    /// The text is the same, but its tokens end elsewhere.
    Boundary,
    /// A special token stands on one side only.
    Special,
    /// The committed text ends inside a character.
    Unfinished,
}

/// What a commit does to the assistant's ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// How many ids stay, from the very first on.
    pub keep: usize,
    /// What follows them.
    pub feed: Vec<u32>,
    /// Why the ids after the first `keep` don't stay.
    pub cause: Cause,
}

impl Bridge {
    /// `special_pairs`: `(target id, assistant id)` of tokens that play the same role, such as the end of
    /// text. Where an id stands in several pairs its first counts.
    pub fn new(target: Arc<Tokenizer>, assistant: Arc<Tokenizer>, special_pairs: &[(u32, u32)]) -> Self {
        let mut bridge =
            Self { target, assistant, to_assistant: FxHashMap::default(), to_target: FxHashMap::default() };
        for &(target, assistant) in special_pairs {
            bridge.to_assistant.entry(target).or_insert(assistant);
            bridge.to_target.entry(assistant).or_insert(target);
        }
        bridge
    }

    /// Begins a sequence from the ids of both prompts.
    ///
    /// # Errors
    /// [`crate::Error::TooLong`]; on the slow path [`crate::Error::Encode`].
    pub fn start(self: &Arc<Self>, target_ids: &[u32], assistant_ids: &[u32]) -> Result<Sequence> {
        let Opened { stream, ends, first } = open(&self.target, &self.to_assistant, target_ids)?;
        let target = Target { committed: stream.len(), stream, ids: target_ids.to_vec(), ends, first, agree: 0 };
        let Opened { stream, ends, first } = open(&self.assistant, &self.to_target, assistant_ids)?;
        let mut assistant = Assistant { stream, ids: assistant_ids.to_vec(), cached: assistant_ids.to_vec(), first };
        assistant.pin(&ends)?;
        let mut sequence =
            Sequence { bridge: Arc::clone(self), target, assistant, bytes: Vec::new(), draft_ends: Vec::new() };
        sequence.target.agree(0);
        Ok(sequence)
    }
}

/// How far two encodings of the same text agree from their start.
fn agreement(stream: &Stream, ids: &[u32], ends: &[u32], from: usize) -> usize {
    let limit = stream.count().min(ends.len());
    (from..limit).find(|&i| stream.token(i) != (ids[i], ends[i] as usize)).unwrap_or(limit.max(from))
}

/// Whether `id` carries no text: it has a counterpart among the `pairs`, or stands for nothing.
fn is_control(tokenizer: &Tokenizer, pairs: &FxHashMap<u32, u32>, id: u32) -> bool {
    pairs.contains_key(&id) || tokenizer.token_bytes(id).is_none()
}

/// The text that begins after a special token.
fn after_special(tokenizer: &Arc<Tokenizer>) -> Stream {
    Stream::new(Arc::clone(tokenizer), tokenizer.prefix() != Prefix::FirstUnlessSpace)
}

/// The text at the end of a prompt.
struct Opened {
    stream: Stream,
    /// The ends of its ids.
    ends: Vec<u32>,
    /// The index of the first of them in the prompt.
    first: usize,
}

/// The text after the last id that carries none.
fn open(tokenizer: &Arc<Tokenizer>, pairs: &FxHashMap<u32, u32>, ids: &[u32]) -> Result<Opened> {
    let control = |id: &u32| is_control(tokenizer, pairs, *id);
    let first = ids.iter().rposition(control).map_or(0, |at| at + 1);
    let fresh = ids[..first].iter().all(control);
    let ids = &ids[first..];
    let read = |at_start: bool| -> Result<Opened> {
        let mut stream = Stream::new(Arc::clone(tokenizer), at_start);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(ids.len()));
        for (at, &id) in ids.iter().enumerate() {
            bytes.extend_from_slice(stream.bytes_of(id, at == 0).unwrap_or(&[]));
            ends.push(bytes.len() as u32);
        }
        stream.append(&bytes)?;
        Ok(Opened { stream, ends, first })
    };
    let agrees = |opened: &Opened| agreement(&opened.stream, ids, &opened.ends, 0) == ids.len();
    let at_start = tokenizer.prefix() != Prefix::FirstUnlessSpace || fresh;
    let opened = read(at_start)?;
    let spaced = ids.first().and_then(|&id| tokenizer.token_bytes(id)).is_some_and(|bytes| bytes[0] == b' ');
    let unruled = match tokenizer.prefix() {
        Prefix::None | Prefix::Always => false,
        // No space was put before one that was there.
        Prefix::UnlessSpace => spaced,
        // Nor after special tokens that were part of the text.
        Prefix::FirstUnlessSpace => spaced || first > 0,
    };
    if at_start && unruled && !agrees(&opened) {
        let plain = read(false)?;
        if agrees(&plain) {
            return Ok(plain);
        }
    }
    Ok(opened)
}

/// The target's side: ids that are never rewritten, and the text's own encoding beside them.
#[derive(Debug)]
struct Target {
    /// The committed text since the last special token, perhaps followed by that of a draft.
    stream: Stream,
    /// Length of the committed part.
    committed: usize,
    ids: Vec<u32>,
    /// `ids[first..]` spell the committed text; these are their ends in it.
    ends: Vec<u32>,
    first: usize,
    /// How many of those are also the text's own encoding.
    agree: usize,
}

impl Target {
    /// Compares committed ids and encoding again, of which `stable` tokens are unchanged.
    fn agree(&mut self, stable: usize) {
        let from = self.agree.min(stable);
        self.agree = agreement(&self.stream, &self.ids[self.first..], &self.ends, from);
    }

    /// Makes `bytes` the text after the committed part.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let stable = self.stream.splice(self.committed, bytes)?;
        self.agree(stable);
        Ok(())
    }
}

/// The assistant's side: ids that follow the text's encoding, and what its cache is assumed to hold.
#[derive(Debug)]
struct Assistant {
    stream: Stream,
    /// Ids before `first` are settled; from there on they are those of the stream.
    ids: Vec<u32>,
    first: usize,
    /// The ids and the last draft.
    cached: Vec<u32>,
}

impl Assistant {
    /// Where the prompt's ids aren't its text's encoding, they are kept and the text begins after them:
    /// after the last one that differs if the rest is an encoding by itself, else after all.
    fn pin(&mut self, ends: &[u32]) -> Result<()> {
        let ids = &self.ids[self.first..];
        if self.stream.held().is_empty() && self.stream.ids(0).eq(ids.iter().copied()) {
            return Ok(());
        }
        let count = self.stream.count();
        let same = (0..ids.len().min(count))
            .take_while(|i| {
                self.stream.token(count - 1 - i) == (ids[ids.len() - 1 - i], ends[ids.len() - 1 - i] as usize)
            })
            .count();
        let keep = ids.len() - if self.stream.held().is_empty() { same } else { 0 };
        let from = if keep == 0 { 0 } else { ends[keep - 1] as usize };
        let mut rest = Stream::new(Arc::clone(self.stream.tokenizer()), false);
        rest.append(&self.stream.text()[from..])?;
        if rest.ids(0).eq(ids[keep..].iter().copied()) {
            self.first += keep;
            self.stream = rest;
        } else {
            self.first = self.ids.len();
            self.stream = Stream::new(Arc::clone(self.stream.tokenizer()), false);
        }
        Ok(())
    }

    /// Appends text; returns how many ids are certainly unchanged.
    fn append(&mut self, bytes: &[u8]) -> Result<usize> {
        let stable = self.stream.append(bytes)?;
        self.ids.truncate(self.first + stable);
        self.ids.extend(self.stream.ids(stable));
        Ok(self.first + stable)
    }
}

/// A growing text in both vocabularies.
///
/// The target's ids are what it has emitted; the assistant's are the encoding of the same text, from
/// the end of its own prompt on.
///
/// One round is [`propose`](Self::propose), the target's forward pass, [`commit`](Self::commit). Both
/// cost time proportional to the new text only. A [`Sequence`] that returned an error must not be used on.
#[derive(Debug)]
pub struct Sequence {
    bridge: Arc<Bridge>,
    target: Target,
    assistant: Assistant,
    /// Buffers.
    bytes: Vec<u8>,
    draft_ends: Vec<usize>,
}

impl Sequence {
    /// All committed target ids.
    pub fn target_ids(&self) -> &[u32] {
        &self.target.ids
    }

    /// The bytes of each committed target id from the index `from` on that carries text.
    pub fn texts_from(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let ids = self.target.ids.get(from..).unwrap_or_default();
        ids.iter().filter_map(|&id| self.bridge.target.token_bytes(id))
    }

    /// The assistant's ids for the same text.
    pub fn assistant_ids(&self) -> &[u32] {
        &self.assistant.ids
    }

    /// How many bytes at the end of the text the assistant's ids leave out: those of a character that
    /// the target has only begun.
    pub fn held(&self) -> usize {
        self.assistant.stream.held().len()
    }

    /// Translates a draft: assistant ids that continue [`assistant_ids`](Self::assistant_ids).
    ///
    /// Their bytes, after those of the committed text, are encoded as the target's tokenizer would
    /// encode the whole text. Where that has no boundary at the end of the committed ids, or wants
    /// those to be others, the text after them is encoded from there. Always
    /// `bytes(committed) + bytes(candidates) == bytes(committed) + bytes(draft)`, up to the cut.
    ///
    /// # Errors
    /// [`crate::Error::TooLong`]; on the slow path [`crate::Error::Encode`].
    pub fn propose(&mut self, draft_ids: &[u32]) -> Result<Proposal> {
        self.propose_then(draft_ids, &[])
    }

    /// The same for a draft that goes on with `text`, which is in neither vocabulary; not behind a special
    /// token, where a draft ends. Without ids it
    /// continues the committed text, an unfinished character of the target's too.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    pub fn propose_then(&mut self, draft_ids: &[u32], text: &[u8]) -> Result<Proposal> {
        let Self { bridge, target, assistant, bytes, draft_ends } = self;
        assistant.cached.truncate(assistant.ids.len());
        assistant.cached.extend_from_slice(draft_ids);
        bytes.clear();
        draft_ends.clear();
        let mut special = None;
        let mut cut = Cut::No;
        for &id in draft_ids {
            if let Some(&id) = bridge.to_target.get(&id) {
                special = Some(id);
                break;
            }
            // Of its ids: the text may have begun with an unfinished character, which has none.
            let first = assistant.stream.count() == 0 && draft_ends.is_empty();
            let Some(text) = assistant.stream.bytes_of(id, first) else {
                cut = if bridge.assistant.is_special(id) { Cut::Special } else { Cut::NoText };
                break;
            };
            bytes.extend_from_slice(text);
            draft_ends.push(bytes.len());
        }
        let held = if draft_ids.is_empty() { &[] } else { assistant.stream.held() };
        if !bytes.starts_with(held) {
            let cut = if held.starts_with(bytes) && special.is_none() { cut } else { Cut::Mismatch };
            return Ok(Proposal { ids: Vec::new(), draft_ends: Vec::new(), exact: false, cut });
        }
        let known = held.len();
        if special.is_none() && cut == Cut::No {
            bytes.extend_from_slice(text);
        }
        target.put(&bytes[known..])?;
        let fresh = target.ends.is_empty();
        let found = target.stream.continuation(target.committed, fresh)?;
        // Tokens without bytes are part of neither.
        let all = target.stream.count() <= target.ends.len() + found.tokens.len();
        let exact = target.agree == target.ends.len() && target.stream.exact() && all;
        let mut proposal = Proposal { ids: Vec::new(), draft_ends: Vec::new(), exact: exact && !found.forced, cut };
        let mut drafted = 0;
        let mut end = target.committed;
        for (id, token_end) in found.tokens {
            let spelled = target.stream.bytes_of(id, fresh && proposal.ids.is_empty())
                == target.stream.text().get(end..token_end);
            if !spelled || bridge.to_assistant.contains_key(&id) {
                proposal.cut = Cut::NotRepresentable;
                proposal.exact = false;
                break;
            }
            end = token_end;
            while draft_ends.get(drafted).is_some_and(|&draft_end| draft_end < end - target.committed + known) {
                drafted += 1;
            }
            if drafted == draft_ends.len() {
                // In the text: a unit of its own.
                draft_ends.push(end - target.committed + known);
            }
            proposal.ids.push(id);
            proposal.draft_ends.push(drafted as u32 + 1);
        }
        if end < target.stream.len() {
            proposal.cut = Cut::NotRepresentable;
            proposal.exact = false;
        } else if let Some(id) = special {
            proposal.ids.push(id);
            proposal.draft_ends.push(draft_ends.len() as u32 + 1);
        }
        Ok(proposal)
    }

    /// Appends ids that the target has emitted: accepted candidates and its own.
    ///
    /// Ids without text count too: a special token that has a counterpart becomes it, others leave
    /// the assistant's text as it is.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    pub fn commit(&mut self, target_ids: &[u32]) -> Result<Edit> {
        let mut stable = self.assistant.ids.len();
        self.bytes.clear();
        for &id in target_ids {
            let paired = self.bridge.to_assistant.get(&id).copied();
            let first = self.target.ends.is_empty();
            let text = self.target.stream.bytes_of(id, first).filter(|_| paired.is_none());
            if let Some(text) = text {
                self.bytes.extend_from_slice(text);
                self.target.ids.push(id);
                self.target.ends.push((self.target.committed + self.bytes.len()) as u32);
            } else {
                stable = stable.min(self.flush()?);
                self.target.ids.push(id);
                self.target.first = self.target.ids.len();
                self.target.ends.clear();
                (self.target.committed, self.target.agree) = (0, 0);
                self.target.stream = after_special(&self.bridge.target);
                if let Some(id) = paired {
                    self.assistant.ids.push(id);
                    self.assistant.first = self.assistant.ids.len();
                    self.assistant.stream = after_special(&self.bridge.assistant);
                }
            }
        }
        stable = stable.min(self.flush()?);
        Ok(self.edit(stable))
    }

    /// Gives the collected bytes to both sides.
    fn flush(&mut self) -> Result<usize> {
        self.target.put(&self.bytes)?;
        self.target.committed += self.bytes.len();
        let stable = self.assistant.append(&self.bytes)?;
        self.bytes.clear();
        Ok(stable)
    }

    fn edit(&mut self, stable: usize) -> Edit {
        let Assistant { ids, cached, .. } = &mut self.assistant;
        let same = ids[stable..].iter().zip(&cached[stable..]).take_while(|(a, b)| a == b).count();
        let keep = stable + same;
        let feed = ids[keep..].to_vec();
        let cause = self.cause(keep);
        let cached = &mut self.assistant.cached;
        cached.truncate(keep);
        cached.extend_from_slice(&feed);
        Edit { keep, feed, cause }
    }

    /// Why the cached id at `keep` doesn't stay.
    fn cause(&self, keep: usize) -> Cause {
        let Assistant { stream, ids, cached, first } = &self.assistant;
        let Some(&old) = cached.get(keep) else { return Cause::None };
        let control = |id: &u32| is_control(&self.bridge.assistant, &self.bridge.to_target, *id);
        if control(&old) || ids.get(keep).is_some_and(control) || keep < *first {
            return Cause::Special;
        }
        let from = if keep == *first { 0 } else { stream.token(keep - first - 1).1 };
        let rest = &stream.text()[from..];
        let spelled = stream.bytes_of(old, keep == *first).unwrap_or(&[]);
        if rest.starts_with(spelled) {
            Cause::Boundary
        } else if !spelled.starts_with(rest) {
            Cause::Text
        } else if stream.held().is_empty() {
            if rest.is_empty() { Cause::Ahead } else { Cause::Boundary }
        } else {
            Cause::Unfinished
        }
    }
}

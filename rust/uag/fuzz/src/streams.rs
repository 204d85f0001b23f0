//! Sequences of edits and rounds over small tokenizers of every kind.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use uag::{IncrementalEncoder, Tokenizer};

use super::families::{families, read};
use super::reader::Reader;
use super::rounds::{edits, rounds};

fn tokenizers() -> &'static [(&'static str, Arc<Tokenizer>)] {
    static ALL: OnceLock<Vec<(&'static str, Arc<Tokenizer>)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let read = |(name, json): (_, String)| (name, read(&json, 12, false).expect(name));
        families().into_iter().map(read).collect()
    })
}

/// One that merges whole texts, by the definition of merging.
struct Textbook {
    tokenizer: Arc<Tokenizer>,
    /// The rank and the result of merging two ids.
    merges: HashMap<(u32, u32), (usize, u32)>,
}

impl Textbook {
    fn get() -> &'static Self {
        static WHOLE: OnceLock<Textbook> = OnceLock::new();
        WHOLE.get_or_init(|| {
            let (_, json) = families().into_iter().find(|(name, _)| *name == "whole").expect("it is there");
            let spec: Value = serde_json::from_str(&json).expect("it was made as JSON");
            let id = |token: &str| spec["model"]["vocab"][token].as_u64().expect("in the vocabulary") as u32;
            let parts = |merge: &Value| [0, 1].map(|side| merge[side].as_str().expect("a pair").to_owned());
            let merges = spec["model"]["merges"].as_array().expect("a list").iter().enumerate();
            let merges = merges.map(|(rank, merge)| {
                let [left, right] = parts(merge);
                ((id(&left), id(&right)), (rank, id(&(left + &right))))
            });
            Self { tokenizer: read(&json, 1, false).expect("whole"), merges: merges.collect() }
        })
    }

    fn ids(&self, text: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> = text.iter().map(|&byte| self.byte(byte)).collect();
        let pairs = |ids: &[u32]| {
            let ranked = ids.windows(2).enumerate().filter_map(|(at, pair)| {
                let (rank, id) = self.merges.get(&(pair[0], pair[1]))?;
                Some((*rank, at, *id))
            });
            ranked.min()
        };
        while let Some((_, at, id)) = pairs(&ids) {
            ids.splice(at..at + 2, [id]);
        }
        ids
    }

    fn byte(&self, byte: u8) -> u32 {
        let ids = 0..self.tokenizer.vocab_size() as u32;
        ids.into_iter().find(|&id| self.tokenizer.token_bytes(id) == Some(&[byte])).expect("every byte has a token")
    }

    /// Text that holds no added token is merged as the definition says, however it grows.
    fn check(&self, choices: &mut Reader) {
        let mut stream = IncrementalEncoder::new(Arc::clone(&self.tokenizer), true);
        while !choices.is_empty() && stream.len() < 400 {
            let text: Vec<u8> = choices.text().into_iter().filter(|&byte| byte != b'<').take(100).collect();
            stream.append(&text).expect("short");
            let whole = &stream.text()[..stream.len() - stream.held().len()];
            assert_eq!(stream.ids(0).collect::<Vec<_>>(), self.ids(whole), "merged by the definition");
        }
    }
}

/// The first three bytes choose what is done with which tokenizers, the others what it is done
/// with.
pub fn streams(data: &[u8]) {
    let mut choices = Reader::new(data);
    let kind = choices.byte();
    let (_, target) = &tokenizers()[choices.below(tokenizers().len())];
    let (_, assistant) = &tokenizers()[choices.below(tokenizers().len())];
    match kind % 8 {
        0..3 => edits(target, &mut choices),
        3 => Textbook::get().check(&mut choices),
        _ => rounds(target, assistant, &mut choices),
    }
}

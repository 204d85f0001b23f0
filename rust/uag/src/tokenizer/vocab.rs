//! What every id stands for.

/// The role of an id in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// No token has this id: a padding row of the embedding.
    Missing,
    /// Carries text.
    Text,
    /// A control token: carries no text.
    Special,
}

/// id -> bytes, as one flat buffer.
#[derive(Debug, Default)]
pub struct Vocab {
    /// The bytes of all tokens, in the order of their ids.
    data: Vec<u8>,
    /// `data[ends[id - 1]..ends[id]]` are the bytes of `id`.
    ends: Vec<u32>,
    roles: Vec<Role>,
}

impl Vocab {
    /// Collects `(id, bytes, special)`, in any order; a later entry for the same id wins, as it
    /// does where an added token takes the id of a token of the model.
    pub fn new<'a>(tokens: impl Iterator<Item = (u32, &'a [u8], bool)>) -> Self {
        let mut tokens: Vec<_> = tokens.collect();
        tokens.sort_by_key(|(id, ..)| *id);
        let mut vocab = Self::default();
        for entries in tokens.chunk_by(|(left, ..), (right, ..)| left == right) {
            let Some(&(id, bytes, special)) = entries.last() else { continue };
            vocab.ends.resize(id as usize, vocab.data.len() as u32);
            vocab.roles.resize(id as usize, Role::Missing);
            if !special {
                vocab.data.extend_from_slice(bytes);
            }
            vocab.roles.push(if special { Role::Special } else { Role::Text });
            vocab.ends.push(vocab.data.len() as u32);
        }
        vocab
    }

    /// Highest id + 1.
    pub fn size(&self) -> usize {
        self.roles.len()
    }

    /// The bytes of `id`; `None` if it carries no text: a special token, a padding row, out of
    /// range.
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        if *self.roles.get(id)? != Role::Text {
            return None;
        }
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        Some(&self.data[start as usize..self.ends[id] as usize])
    }

    /// Whether `id` is a special token (and not a padding row or out of range).
    pub fn is_special(&self, id: u32) -> bool {
        self.roles.get(id as usize) == Some(&Role::Special)
    }
}

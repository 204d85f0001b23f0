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
    /// Collects `(id, bytes, special)`, in any order; a later entry for the same id wins, as it does
    /// where an added token takes the id of a token of the model.
    pub fn new<'a>(size: usize, tokens: impl Iterator<Item = (u32, &'a [u8], bool)>) -> Self {
        let mut by_id: Vec<Option<(&[u8], bool)>> = vec![None; size];
        for (id, bytes, special) in tokens {
            by_id[id as usize] = Some((bytes, special));
        }
        let mut vocab = Self::default();
        for entry in by_id {
            vocab.roles.push(match entry {
                None => Role::Missing,
                Some((_, true)) => Role::Special,
                Some((bytes, false)) => {
                    vocab.data.extend_from_slice(bytes);
                    Role::Text
                }
            });
            vocab.ends.push(vocab.data.len() as u32);
        }
        vocab
    }

    /// Highest id + 1.
    pub fn size(&self) -> usize {
        self.roles.len()
    }

    /// The bytes of `id`; `None` if it carries no text: a special token, a padding row, out of range.
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

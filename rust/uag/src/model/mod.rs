//! Models: how one piece of text becomes tokens.

mod bpe;
mod suffix_trie;
mod unigram;
mod window;

pub(crate) use bpe::Bpe;
pub(crate) use unigram::{Lattice, Unigram};
pub(crate) use window::Window;

/// The model that encodes a piece.
#[derive(Debug)]
pub(crate) enum Model {
    Bpe(Bpe),
    Unigram(Unigram),
}

//! Normalisation. Rather than normalise a text, the incremental path tells whether it already is
//! normal, which nearly all text is.

mod charsmap;
pub(crate) mod nfc;

pub(crate) use charsmap::CharsMap;

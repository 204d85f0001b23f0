//! One token of an encoding.

/// The id of a token, and where it ends in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The id.
    pub id: u32,
    /// One past its last byte.
    pub end: u32,
}

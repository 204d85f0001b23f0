//! Pre-tokenizers: cutting text into the pieces that are tokenized independently.
//!
//! The `tokenizers` library does this with regular expressions over the whole text. Here each known
//! pattern has a hand-written scanner that finds one piece from its start and also tells how far it
//! had to look: a piece whose scan did not see the end of the text is final, whatever is appended.
//! A scan that did see the end can be resumed when there is more, so that a run of 100,000 letters
//! that arrives in small parts is not read again for each of them.
//!
//! All the patterns are such that the pieces after a piece's end depend on the text from there on
//! only (Falcon's, which cuts inside of characters, on the character there as well), so pieces can
//! be found one by one, from any of their ends.

mod chars;
mod class;
mod patterns;
pub(crate) mod pieces;
mod recipe;
mod resume;
mod scanner;
mod tables;

use crate::error::Result;

use patterns::Recipe;
pub use resume::Resume;
use scanner::Scanner;

/// How text is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splitter {
    /// Not at all: all of it is one piece.
    Whole,
    /// By one of the known patterns.
    Pattern(Pattern),
}

/// A known pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(Recipe);

/// One piece, as found by [`Splitter::scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The end of the piece.
    pub end: usize,
    /// The piece depends on the first `examined` bytes of the text only; on its length, too, if
    /// this is one more than that.
    ///
    /// So with `examined <= text.len()` the piece stays whatever is appended, and it stays when the
    /// text is cut to `n >= examined` bytes.
    pub examined: usize,
    /// State from which the piece can be scanned on after the text has grown.
    pub resume: Resume,
}

impl Splitter {
    /// The splitter for the `pre_tokenizer` of a tokenizer.json.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) names what is not known. Nothing is
    /// guessed: patterns, behaviours and flags have to be those of a known pre-tokenizer exactly.
    /// `Metaspace` and the splits at blanks that go with it are not known here: they depend on how
    /// blanks are written.
    pub fn from_json(value: &serde_json::Value) -> Result<Splitter> {
        let recipe = recipe::from_json(value)?;
        Ok(recipe.map_or(Self::Whole, |recipe| Self::Pattern(Pattern(recipe))))
    }

    /// The piece that starts at `start`, which must be 0 or the end of another piece.
    ///
    /// The `text` is one stretch between added tokens: its end is what the patterns take for the
    /// end of the text. It may contain invalid bytes, each a symbol like U+FFFD, but should not end
    /// in an incomplete character. `resume` is [`Resume::START`], or what an earlier scan from the
    /// same `start` returned, clipped to any shorter length the text has had since.
    pub fn scan(&self, text: &[u8], start: usize, resume: Resume) -> Scan {
        let past_end = text.len() + 1;
        if start >= text.len() {
            return Scan { end: start, examined: past_end, resume: Resume::START };
        }
        let Splitter::Pattern(Pattern(recipe)) = self else {
            return Scan { end: text.len(), examined: past_end, resume: Resume::START };
        };
        let mut scanner = Scanner::new(text, start, resume);
        let end = recipe.scan(&mut scanner);
        if end <= start {
            // Only a state of something else leads here.
            return self.scan(text, start, Resume::START);
        }
        Scan { end, examined: scanner.examined, resume: scanner.resume() }
    }
}

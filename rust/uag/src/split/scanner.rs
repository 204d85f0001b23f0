//! What the patterns have in common: a look at the text that remembers how far it went, and the
//! runs that a scan can be resumed in.

use super::chars::{Char, ascii_class, char_at};
use super::class::Class;
use super::resume::{LOST, Phase, Resume};
use crate::utf8;

/// A stretch of the text that an earlier stage of the pre-tokenizer has cut out: it ends before
/// the first character that differs from the first one in its membership in `by`. Its end is the
/// end of the text to the later stages.
#[derive(Clone, Copy, Debug)]
struct Fence {
    by: Class,
    side: Class,
}

/// The scan of one piece.
pub(super) struct Scanner<'t> {
    pub(super) text: &'t [u8],
    pub(super) start: usize,
    fence: Fence,
    /// How far the text was looked at; one past its end where the end itself was seen.
    pub(super) examined: usize,
    pub(super) state: Resume,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8], start: usize, resume: Resume) -> Scanner<'t> {
        // A state of another text is refused rather than trusted with an offset.
        let fits = start < resume.pos && resume.pos.max(resume.floor) <= text.len();
        let state = if fits { resume } else { Resume::START };
        Scanner {
            text,
            start,
            fence: Fence { by: Class::NONE, side: Class::NONE },
            // What led into the phase was looked at, too.
            examined: state.floor,
            state,
        }
    }

    /// Cuts off the text where the membership in `by` changes from that of `first`.
    pub(super) fn fence(&mut self, by: Class, first: Char) {
        self.fence = Fence { by, side: first.class.and(by) };
    }

    pub(super) fn fresh(&self) -> bool {
        self.state.phase == Phase::Start
    }

    /// The character at `at`, `None` at the end of the text or stretch.
    pub(super) fn peek(&mut self, at: usize) -> Option<Char> {
        let Some((char, seen)) = char_at(self.text, at) else {
            self.examined = self.text.len() + 1;
            return None;
        };
        self.examined = self.examined.max(seen);
        (char.class.and(self.fence.by) == self.fence.side).then_some(char)
    }

    /// The character at `at` if it is in `set`.
    pub(super) fn peek_if(&mut self, at: usize, set: Class) -> Option<Char> {
        self.peek(at).filter(|char| char.class.is(set))
    }

    /// The state to go on from. None, if the piece was entered for the text's ending where it does.
    pub(super) fn resume(&self) -> Resume {
        if self.state.floor > self.text.len() { Resume::START } else { self.state }
    }

    /// Enters a run; `pos` is the end of what is known to belong to it.
    pub(super) fn enter(&mut self, phase: Phase, pos: usize) {
        self.state = Resume { phase, floor: self.examined.max(pos), pos, ..Resume::START };
    }

    /// Takes characters in `set` and returns the end of the run.
    pub(super) fn run(&mut self, set: Class) -> usize {
        let mut pos = self.state.pos;
        loop {
            // ASCII without the generality of `peek`: this is where long texts spend their time.
            while let Some(class) = self.text.get(pos).and_then(|&byte| ascii_class(byte)) {
                if !class.is(set) || class.and(self.fence.by) != self.fence.side {
                    break;
                }
                pos += 1;
            }
            match self.peek_if(pos, set) {
                Some(char) => pos = char.next,
                None => break,
            }
        }
        self.state.pos = pos;
        pos
    }

    /// Up to `most` characters in `set`, of which `first` is the first: short, so not resumable.
    pub(super) fn few(&mut self, first: Char, set: Class, most: usize) -> usize {
        let mut end = first.next;
        for _ in 1..most {
            match self.peek_if(end, set) {
                Some(char) => end = char.next,
                None => break,
            }
        }
        end
    }

    /// `[symbols]+[tail]*` from within the symbols or the tail.
    pub(super) fn symbols(&mut self, symbols: Class, tail: Class) -> usize {
        if self.state.phase == Phase::Symbols {
            let end = self.run(symbols);
            if self.peek_if(end, tail).is_none() {
                return end;
            }
            self.state.phase = Phase::Tail;
            self.state.turn = end;
        }
        self.run(tail)
    }

    /// Opens `\s*[\r\n]+|\s+(?!\S)|\s+` at the white space `first`: the end of the piece if it is a
    /// single character.
    pub(super) fn open_spaces(&mut self, first: Char) -> Option<usize> {
        let Some(second) = self.peek_if(first.next, Class::SPACE) else {
            return Some(first.next);
        };
        self.enter(Phase::Spaces, second.next);
        for char in [first, second] {
            if char.class.is(Class::NEWLINE) {
                self.state.mark = char.next;
            }
        }
        None
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` within a run of at least two; without the first alternative
    /// unless `lines`.
    pub(super) fn spaces(&mut self, lines: bool) -> usize {
        if self.state.mark == LOST {
            let known = &self.text[self.start..self.state.pos];
            let last = known.iter().rposition(|byte| b"\r\n".contains(byte));
            self.state.mark = last.map_or(0, |at| self.start + at + 1);
        }
        while let Some(char) = self.peek_if(self.state.pos, Class::SPACE) {
            self.state.pos = char.next;
            if char.class.is(Class::NEWLINE) {
                self.state.mark = char.next;
            }
        }
        let end = self.state.pos;
        if lines && self.state.mark > 0 {
            self.state.mark
        } else if self.peek(end).is_none() {
            end
        } else {
            utf8::before(self.text, end)
        }
    }

    /// The end of a contraction at `at`, an apostrophe and what English puts after it.
    ///
    /// With `fold` the letters match as in Oniguruma's `(?i:...)`, in which the long s is an s.
    pub(super) fn contraction(&mut self, at: usize, fold: bool) -> Option<usize> {
        let lower = |char: Char| match u8::try_from(char.code) {
            Ok(byte) if fold => byte.to_ascii_lowercase(),
            Ok(byte) => byte,
            Err(_) if fold && char.code == 0x17F => b's',
            Err(_) => 0,
        };
        let apostrophe = self.peek(at).filter(|char| char.code == 0x27)?;
        let first = self.peek(apostrophe.next)?;
        let second = match lower(first) {
            b's' | b't' | b'm' | b'd' => return Some(first.next),
            b'r' | b'v' => b'e',
            b'l' => b'l',
            _ => return None,
        };
        let char = self.peek(first.next)?;
        (lower(char) == second).then_some(char.next)
    }
}

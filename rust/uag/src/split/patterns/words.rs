//! The one-pattern families: GPT-2, and the descendants of cl100k and o200k.

use crate::split::chars::Char;
use crate::split::class::Class;
use crate::split::resume::{LOST, Phase};
use crate::split::scanner::Scanner;
use crate::utf8;

/// GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
pub(in crate::split) fn gpt2(s: &mut Scanner) -> usize {
    if s.fresh()
        && let Some(end) = open_gpt2(s)
    {
        return end;
    }
    match s.state.phase {
        Phase::Letters => s.run(Class::LETTER),
        Phase::Digits => s.run(Class::NUMBER),
        Phase::Spaces => s.spaces(false),
        _ => s.run(Class::NEITHER),
    }
}

fn open_gpt2(s: &mut Scanner) -> Option<usize> {
    if let Some(end) = s.contraction(s.start, false) {
        return Some(end);
    }
    let first = s.peek(s.start)?;
    let body = after_blank(s, first);
    if body.class.is(Class::SPACE) {
        return s.open_spaces(first);
    }
    s.enter(gpt2_phase(body.class), body.next);
    None
}

/// The run that a character which is no white space belongs to.
pub(in crate::split) fn gpt2_phase(class: Class) -> Phase {
    if class.is(Class::LETTER) {
        Phase::Letters
    } else if class.is(Class::NUMBER) {
        Phase::Digits
    } else {
        Phase::Symbols
    }
}

/// The character that an alternative beginning in ` ?` has to match: `first`, or the one after it
/// where `first` is a blank and something else than white space follows.
pub(in crate::split) fn after_blank(s: &mut Scanner, first: Char) -> Char {
    if first.code != 0x20 {
        return first;
    }
    match s.peek(first.next) {
        Some(second) if !second.class.is(Class::SPACE) => second,
        _ => first,
    }
}

/// How words are made of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::split) enum Case {
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+`
    Ignored,
    /// `[^\r\n\p{L}\p{N}]?[upper]*[lower]+|[^\r\n\p{L}\p{N}]?[upper]+[lower]*`, where caseless
    /// letters and marks are both upper and lower; then a contraction if `contractions`.
    Split { contractions: bool },
}

/// What the patterns after cl100k choose differently:
/// `word|\p{N}{1,digits}| ?[symbols]+[tail]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::split) struct Words {
    pub(in crate::split) case: Case,
    /// The characters of words.
    pub(in crate::split) letters: Class,
    pub(in crate::split) digits: usize,
    pub(in crate::split) symbols: Class,
    pub(in crate::split) tail: Class,
    /// `[\p{Han}]+` comes before everything else, and words have none of it.
    pub(in crate::split) han: bool,
}

impl Words {
    /// Llama-3, GPT-4 and many more.
    pub(in crate::split) const CL100K: Words = Words {
        case: Case::Ignored,
        letters: Class::LETTER,
        digits: 3,
        symbols: Class::NEITHER,
        tail: Class::NEWLINE,
        han: false,
    };
    pub(in crate::split) const QWEN2: Words = Words { digits: 1, ..Words::CL100K };
    /// Marks belong to words.
    pub(in crate::split) const QWEN35: Words = Words {
        letters: Class::LETTER.or(Class::MARK),
        symbols: Class::PUNCTUATION.or(Class::SYMBOL).or(Class::OTHER),
        ..Words::QWEN2
    };
    /// GPT-4o, gpt-oss, Llama-4.
    pub(in crate::split) const O200K: Words = Words {
        case: Case::Split { contractions: true },
        letters: Class::LETTER.or(Class::MARK),
        digits: 3,
        symbols: Class::NEITHER,
        tail: Class::NEWLINE.or(Class::SLASH),
        han: false,
    };
    pub(in crate::split) const TEKKEN: Words =
        Words { case: Case::Split { contractions: false }, digits: 1, ..Words::O200K };
    pub(in crate::split) const KIMI: Words = Words { tail: Class::NEWLINE, han: true, ..Words::O200K };

    pub(in crate::split) fn scan(&self, s: &mut Scanner) -> usize {
        if s.fresh()
            && let Some(end) = self.open(s)
        {
            return end;
        }
        match s.state.phase {
            Phase::Letters => s.run(self.letters),
            Phase::Han => s.run(Class::HAN),
            Phase::Upper | Phase::Lower => self.cased(s),
            Phase::Spaces => s.spaces(true),
            _ => s.symbols(self.symbols, self.tail),
        }
    }

    fn open(&self, s: &mut Scanner) -> Option<usize> {
        if self.case == Case::Ignored
            && let Some(end) = s.contraction(s.start, true)
        {
            return Some(end);
        }
        let first = s.peek(s.start)?;
        if self.han && first.class.is(Class::HAN) {
            s.enter(Phase::Han, first.next);
            return None;
        }
        // A mark is both a letter here and a possible prefix of a word. Which of the two makes no
        // difference: the word ends at the same place.
        if self.in_word(first) {
            self.enter_word(s, s.start, first);
            return None;
        }
        if first.class.is(Class::NUMBER) {
            return Some(s.few(first, Class::NUMBER, self.digits));
        }
        if !first.class.is(Class::NEWLINE)
            && let Some(second) = s.peek(first.next).filter(|&char| self.in_word(char))
        {
            self.enter_word(s, first.next, second);
            return None;
        }
        let body = after_blank(s, first);
        if body.class.is(self.symbols) {
            s.enter(Phase::Symbols, body.next);
            return None;
        }
        s.open_spaces(first)
    }

    fn in_word(&self, char: Char) -> bool {
        char.class.is(self.letters) && !(self.han && char.class.is(Class::HAN))
    }

    /// Enters the word that starts at `word` with the character `first`.
    fn enter_word(&self, s: &mut Scanner, word: usize, first: Char) {
        if self.case == Case::Ignored {
            s.enter(Phase::Letters, first.next);
        } else {
            s.enter(Phase::Upper, first.next);
            s.state.pos = word;
        }
    }

    /// `[upper]*[lower]+|[upper]+[lower]*`, then perhaps a contraction.
    ///
    /// With a lower-case letter after the run of upper (and caseless) ones, the first alternative
    /// takes the run and all the lower (and caseless) ones that follow. Without one it gives back
    /// from the run until it has a caseless one for its `[lower]+`: the piece ends after the last
    /// caseless character, in the middle of the run. Only a run of nothing but upper case gets to
    /// the second alternative.
    fn cased(&self, s: &mut Scanner) -> usize {
        let caseless = Class::CASELESS.or(Class::MARK);
        if s.state.phase == Phase::Upper {
            self.find_mark(s, caseless);
            let mut after = s.peek(s.state.pos);
            while let Some(char) = after.filter(|char| self.in_word(*char) && !char.class.is(Class::LOWER)) {
                s.state.pos = char.next;
                if char.class.is(caseless) {
                    s.state.mark = char.next;
                }
                after = s.peek(char.next);
            }
            if after.is_some_and(|char| self.in_word(char)) {
                s.state.phase = Phase::Lower;
                s.state.turn = s.state.pos;
            } else if s.state.mark > 0 && s.state.mark < s.state.pos {
                return s.state.mark;
            }
        }
        if s.state.phase == Phase::Lower {
            while let Some(char) =
                s.peek(s.state.pos).filter(|char| self.in_word(*char) && !char.class.is(Class::UPPER))
            {
                s.state.pos = char.next;
            }
        }
        let end = s.state.pos;
        if self.case == (Case::Split { contractions: true }) { s.contraction(end, true).unwrap_or(end) } else { end }
    }

    /// Finds the last caseless character again after the text was cut off before it.
    fn find_mark(&self, s: &mut Scanner, caseless: Class) {
        if s.state.mark != LOST {
            return;
        }
        let mut end = s.state.pos;
        s.state.mark = 0;
        while end > s.start {
            let at = utf8::before(s.text, end);
            if s.peek(at).is_some_and(|char| self.in_word(char) && char.class.is(caseless)) {
                s.state.mark = end;
                return;
            }
            end = at;
        }
    }
}

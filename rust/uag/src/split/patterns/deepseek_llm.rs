//! DeepSeek-LLM, whose pre-tokenizer DeepSeek-V2 and DeepSeek-Coder-V2 have, too.
//!
//! Line ends singly, then `\s?[letters]+`, then `\s?[punctuation]+`, then `\s+$`, then
//! `[一-龥ࠀ-一가-\u{d7ff}]+`, then digits singly; what is left over between these are pieces, too.
//! Each stage cuts up all the pieces of those before:
//!
//! - The punctuation has the range from `:` to `~` and its full-width counterpart: the third stage
//!   cuts Latin letters from the others in the words of the second, so that `naïve` is three pieces.
//! - It has the white space U+3000, too, which is lost to the second stage in front of letters.
//! - White space at the end of what these stages leave is cut off by the fourth, before the fifth
//!   cuts around its characters, some of which are white space.

use super::deepseek::same;
use crate::split::chars::Char;
use crate::split::class::Class;
use crate::split::resume::{LOST, Phase};
use crate::split::scanner::Scanner;
use crate::utf8;

const LETTERS: Class = Class::LLM_LETTER.or(Class::LLM_LATIN);
/// What the first three stages find something at.
const FOUND: Class = LETTERS.or(Class::LLM_PUNCTUATION).or(Class::NEWLINE);

pub(in crate::split) fn scan(s: &mut Scanner) -> usize {
    let Some(first) = s.peek(s.start) else {
        return s.text.len();
    };
    if s.fresh()
        && let Some(end) = open(s, first)
    {
        return end;
    }
    find_mark(s);
    match s.state.phase {
        Phase::Letters => {
            s.fence(Class::CJK_CODER, first);
            s.run(Class::LLM_LETTER)
        }
        Phase::Latin => {
            s.fence(Class::CJK_CODER, first);
            s.run(Class::LLM_LATIN)
        }
        Phase::Symbols => punctuation(s, first),
        _ => gap(s, first),
    }
}

fn open(s: &mut Scanner, first: Char) -> Option<usize> {
    if first.class.is(Class::NEWLINE.or(Class::DIGITS)) {
        return Some(first.next);
    }
    let mut body = first;
    if blank(first)
        && let Some(second) = s.peek_if(first.next, LETTERS.or(Class::LLM_PUNCTUATION))
    {
        if !same(first, second) {
            return Some(first.next);
        }
        body = second;
    }
    let phase = if body.class.is(Class::LLM_LETTER) {
        Phase::Letters
    } else if body.class.is(Class::LLM_LATIN) {
        Phase::Latin
    } else if body.class.is(Class::LLM_PUNCTUATION) {
        Phase::Symbols
    } else {
        Phase::Gap
    };
    s.enter(phase, body.next);
    if !body.class.is(Class::SPACE) {
        s.state.mark = body.next;
    }
    None
}

/// White space that is neither a line end nor punctuation.
fn blank(char: Char) -> bool {
    char.class.is(Class::SPACE) && !char.class.is(FOUND)
}

/// Takes a run of punctuation.
fn punctuation(s: &mut Scanner, first: Char) -> usize {
    let mut next = s.peek(s.state.pos);
    while let Some(char) = next.filter(|char| char.class.is(Class::LLM_PUNCTUATION)) {
        if !same(first, char) {
            // The run goes on after the cut, so that white space before it is not at its end.
            return s.state.pos;
        }
        s.state.pos = char.next;
        if !char.class.is(Class::SPACE) {
            s.state.mark = char.next;
        }
        next = s.peek(char.next);
    }
    if s.state.mark > 0 {
        s.state.mark
    } else if next.is_some_and(|char| char.class.is(LETTERS)) {
        without_last(s)
    } else {
        s.state.pos
    }
}

/// Takes what is neither letter nor punctuation.
fn gap(s: &mut Scanner, first: Char) -> usize {
    loop {
        let pos = s.state.pos;
        let next = s.peek(pos);
        match next {
            Some(char) if blank(char) => {
                // Later cuts of the fifth stage count only if the fourth does not cut off all of
                // the white space.
                if !same(first, char) && (s.state.mark == 0 || s.state.mark == pos) {
                    return pos;
                }
                s.state.pos = char.next;
            }
            Some(char) if !char.class.is(FOUND) => {
                if let Some(cut) = cut_in_spaces(s, first) {
                    return cut;
                }
                if !same(first, char) || char.class.is(Class::DIGITS) {
                    return pos;
                }
                s.state.pos = char.next;
                s.state.mark = char.next;
            }
            _ if s.state.mark > 0 => return s.state.mark,
            // White space only, the last of which may belong to what follows.
            Some(char) if char.class.is(LETTERS) => return without_last(s),
            Some(char) if char.class.is(Class::LLM_PUNCTUATION) => {
                let of_letters = char.class.is(Class::SPACE) && s.peek_if(char.next, LETTERS).is_some();
                return if of_letters { pos } else { without_last(s) };
            }
            _ => return pos,
        }
    }
}

/// Where the fifth stage cuts the white space after the `mark`.
fn cut_in_spaces(s: &mut Scanner, first: Char) -> Option<usize> {
    if s.state.mark == 0 {
        return None;
    }
    let mut at = s.state.mark;
    while at < s.state.pos {
        let char = s.peek(at)?;
        if !same(first, char) {
            return Some(at);
        }
        at = char.next;
    }
    None
}

/// The end of the piece without its last character, unless that is all of it.
fn without_last(s: &Scanner) -> usize {
    let before = utf8::before(s.text, s.state.pos);
    if before > s.start { before } else { s.state.pos }
}

/// Finds the last character that is no white space again after the text was cut off before it.
fn find_mark(s: &mut Scanner) {
    if s.state.mark != LOST {
        return;
    }
    s.state.mark = 0;
    let mut end = s.state.pos;
    while end > s.start {
        let at = utf8::before(s.text, end);
        if s.peek_if(at, Class::SPACE).is_none() {
            s.state.mark = end;
            return;
        }
        end = at;
    }
}

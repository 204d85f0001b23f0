//! DeepSeek-V3 and DeepSeek-Coder.

use super::words::after_blank;
use crate::split::chars::Char;
use crate::split::class::Class;
use crate::split::resume::{Phase, Resume};
use crate::split::scanner::Scanner;
use crate::utf8;

const V3_WORD: Class = Class::LETTER.or(Class::MARK);
const V3_SYMBOL: Class = Class::PUNCTUATION.or(Class::SYMBOL);

/// DeepSeek-V3: numbers by threes, then `[一-龥\u3040-ゟ゠-ヿ]+`, then in each stretch
/// `[ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|`
/// `\s*[\r\n]+|\s+(?!\S)|\s+`. Control characters and the like match none of it.
pub(in crate::split) fn v3(s: &mut Scanner) -> usize {
    let Some(first) = s.peek(s.start) else {
        return s.text.len();
    };
    if first.class.is(Class::NUMBER) {
        return s.few(first, Class::NUMBER, 3);
    }
    s.fence(Class::NUMBER.or(Class::CJK_V3), first);
    step_back_in_gap(s);
    if s.fresh()
        && let Some(end) = open_v3(s, first)
    {
        return end;
    }
    match s.state.phase {
        Phase::Letters => s.run(V3_WORD),
        Phase::AsciiLetters => s.run(Class::ASCII_LETTER),
        Phase::Spaces => s.spaces(true),
        Phase::Gap => v3_gap(s),
        _ => s.symbols(V3_SYMBOL, Class::NEWLINE),
    }
}

fn open_v3(s: &mut Scanner, first: Char) -> Option<usize> {
    let second = s.peek(first.next);
    if first.class.is(V3_WORD) {
        s.enter(Phase::Letters, first.next);
        return None;
    }
    if let Some(second) = second {
        if first.class.is(Class::ASCII_PUNCTUATION) && second.class.is(Class::ASCII_LETTER) {
            s.enter(Phase::AsciiLetters, second.next);
            return None;
        }
        if !first.class.is(V3_SYMBOL.or(Class::NEWLINE)) && second.class.is(V3_WORD) {
            s.enter(Phase::Letters, second.next);
            return None;
        }
    }
    let body = after_blank(s, first);
    if body.class.is(V3_SYMBOL) {
        s.enter(Phase::Symbols, body.next);
        return None;
    }
    if first.class.is(Class::SPACE) {
        return s.open_spaces(first);
    }
    s.enter(Phase::Gap, first.next);
    None
}

/// Takes characters that match nothing, up to the one that is the prefix of a word.
fn v3_gap(s: &mut Scanner) -> usize {
    while let Some(char) = s.peek_if(s.state.pos, Class::OTHER) {
        if s.peek_if(char.next, V3_WORD).is_some() {
            break;
        }
        s.state.pos = char.next;
    }
    s.state.pos
}

/// The last character taken into a gap was taken for what followed it, which may have changed.
fn step_back_in_gap(s: &mut Scanner) {
    if s.state.phase == Phase::Gap {
        let before = utf8::before(s.text, s.state.pos);
        if before > s.start {
            s.state.pos = before;
        } else {
            s.state = Resume::START;
        }
    }
}

/// Whether the stage `[一-龥ࠀ-一가-\u{d7ff}]+` does not cut between the two.
pub(in crate::split) fn same(one: Char, other: Char) -> bool {
    one.class.and(Class::CJK_CODER) == other.class.and(Class::CJK_CODER)
}

/// DeepSeek-Coder: line ends singly, then `\s?\p{L}+`, then `\s?\p{P}+`, then
/// `[一-龥ࠀ-一가-\u{d7ff}]+`, then digits singly; what is left over between these are pieces, too.
pub(in crate::split) fn coder(s: &mut Scanner) -> usize {
    step_back_in_gap(s);
    let Some(first) = s.peek(s.start) else {
        return s.text.len();
    };
    // The last two stages only cut up the pieces of the first three, which have to be found without
    // regard to them.
    if s.fresh() {
        if first.class.is(Class::NEWLINE.or(Class::DIGITS)) {
            return first.next;
        }
        let body = match s.peek(first.next) {
            Some(second) if first.class.is(Class::SPACE) && second.class.is(Class::LETTER.or(Class::PUNCTUATION)) => {
                if !same(first, second) {
                    return first.next;
                }
                second
            }
            _ => first,
        };
        let phase = if body.class.is(Class::LETTER) {
            Phase::Letters
        } else if body.class.is(Class::PUNCTUATION) {
            Phase::Symbols
        } else {
            Phase::Gap
        };
        s.enter(phase, body.next);
    }
    match s.state.phase {
        Phase::Gap => coder_gap(s, first),
        phase => {
            s.fence(Class::CJK_CODER, first);
            s.run(if phase == Phase::Letters { Class::LETTER } else { Class::PUNCTUATION })
        }
    }
}

/// Takes what is neither letter nor punctuation, up to the white space in front of either.
fn coder_gap(s: &mut Scanner, first: Char) -> usize {
    let taken = Class::LETTER.or(Class::PUNCTUATION);
    while let Some(char) = s.peek(s.state.pos) {
        if !same(first, char) || char.class.is(taken.or(Class::NEWLINE).or(Class::DIGITS)) {
            break;
        }
        if char.class.is(Class::SPACE) && s.peek_if(char.next, taken).is_some() {
            break;
        }
        s.state.pos = char.next;
    }
    s.state.pos
}

//! Falcon: runs of punctuation, then GPT-2's pattern, then runs of digits by threes.
//!
//! The last two stages come after the bytes have been written as the characters of the byte-level
//! alphabet, in which the bytes B2, B3, B9 and BC to BE are the characters ² ³ ¹ ¼ ½ ¾: numeric,
//! and so cut off in the middle of a character of the text.

use super::words::{after_blank, gpt2_phase};
use crate::split::chars::{Char, char_at};
use crate::split::class::Class;
use crate::split::resume::Phase;
use crate::split::scanner::Scanner;

fn numeric(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | 0xB2 | 0xB3 | 0xB9 | 0xBC..=0xBE)
}

/// The characters of the run of GPT-2's pattern that a phase is in.
fn members(phase: Phase) -> Class {
    match phase {
        Phase::Letters => Class::LETTER,
        Phase::Digits => Class::NUMBER,
        _ => Class::NEITHER,
    }
}

pub(in crate::split) fn falcon(s: &mut Scanner) -> usize {
    let first = char_around(s.text, s.start);
    s.examined = s.examined.max(first.next);
    s.fence(Class::PUNCTUATIONS, first);
    if s.fresh()
        && let Some(end) = open(s, first)
    {
        return end;
    }
    if s.state.phase == Phase::Spaces {
        return s.spaces(false);
    }
    let members = members(s.state.phase);
    while let Some(char) = s.peek_if(s.state.pos, members) {
        if let Some(end) = (s.state.pos..char.next).find(|&at| numeric(s.text[at])) {
            return end;
        }
        s.state.pos = char.next;
    }
    s.state.pos
}

fn open(s: &mut Scanner, first: Char) -> Option<usize> {
    if numeric(s.text[s.start]) {
        return Some(numbers(s, first));
    }
    // No contractions: the apostrophe is in another stretch than the letters.
    let body = after_blank(s, first);
    if body.class.is(Class::SPACE) {
        return s.open_spaces(first);
    }
    if let Some(end) = (s.start..body.next).find(|&at| numeric(s.text[at])) {
        return Some(end);
    }
    s.enter(gpt2_phase(body.class), body.next);
    None
}

/// Three ASCII digits, or what comes before the next three in a run of numeric bytes.
///
/// Short, so not resumable: beside ASCII digits no character has numeric bytes only.
fn numbers(s: &mut Scanner, first: Char) -> usize {
    let members = members(gpt2_phase(first.class));
    let mut char = first;
    let mut pos = s.start;
    loop {
        while pos < char.next {
            if !numeric(s.text[pos]) {
                return pos;
            }
            if char.code < 0x80 && three_digits(s, pos) {
                return if pos == s.start { pos + 3 } else { pos };
            }
            pos += 1;
        }
        match s.peek_if(pos, members) {
            Some(next) => char = next,
            None => return pos,
        }
    }
}

fn three_digits(s: &mut Scanner, at: usize) -> bool {
    (at..at + 3).all(|at| s.peek(at).is_some_and(|char| char.code < 0x80 && char.class.is(Class::NUMBER)))
}

/// The character that the byte at `at` is part of: pieces may start inside of one.
fn char_around(text: &[u8], at: usize) -> Char {
    // An invalid byte never reaches beyond itself, so only a character found further back does.
    (at.saturating_sub(3)..=at)
        .filter_map(|start| char_at(text, start))
        .map(|(char, _)| char)
        .find(|char| char.next > at)
        // Never: the byte itself is there.
        .unwrap_or(Char { class: Class::OTHER, code: 0, next: at + 1 })
}

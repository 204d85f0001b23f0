//! The known patterns: each scans one piece from where it starts, or from where its scan stopped.

mod deepseek;
mod deepseek_llm;
mod falcon;
mod words;

use super::class::Class;
use super::scanner::Scanner;

pub(super) use words::Words;

/// The known pre-tokenizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipe {
    Gpt2,
    /// `Digits`, then GPT-2's pattern.
    DigitsGpt2 {
        individual: bool,
    },
    Words(Words),
    /// An earlier stage cuts out the runs of the class `by`.
    FencedWords {
        words: Words,
        by: Class,
    },
    DeepSeekV3,
    DeepSeekCoder,
    DeepSeekLlm,
    Falcon,
}

impl Recipe {
    /// The end of the piece.
    pub(super) fn scan(&self, s: &mut Scanner) -> usize {
        match self {
            Recipe::Gpt2 => words::gpt2(s),
            Recipe::DigitsGpt2 { individual } => {
                let Some(first) = s.peek(s.start) else {
                    return s.text.len();
                };
                if *individual && first.class.is(Class::DIGITS) {
                    return first.next;
                }
                s.fence(Class::DIGITS, first);
                words::gpt2(s)
            }
            Recipe::Words(words) => words.scan(s),
            Recipe::FencedWords { words, by } => {
                if let Some(first) = s.peek(s.start) {
                    s.fence(*by, first);
                }
                words.scan(s)
            }
            Recipe::DeepSeekV3 => deepseek::v3(s),
            Recipe::DeepSeekCoder => deepseek::coder(s),
            Recipe::DeepSeekLlm => deepseek_llm::scan(s),
            Recipe::Falcon => falcon::falcon(s),
        }
    }
}

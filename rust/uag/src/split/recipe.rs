//! Recognising the `pre_tokenizer` of a tokenizer.json.

use serde_json::Value;

use crate::error::{Error, Result, unsupported};

use super::class::Class;
use super::patterns::{Recipe, Words};

/// One stage of a pre-tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage<'v> {
    /// A split whose matches, and what is between them, are the pieces.
    Isolated(&'v str),
    /// A split whose matches alone are the pieces.
    MatchesOnly(&'v str),
    Digits {
        individual: bool,
    },
    ContiguousPunctuation,
    ByteLevel {
        gpt2: bool,
    },
}

/// Patterns of a single split that match every character, in all the spellings seen in the wild
/// that were proved (by hand) and tested (against the library) to split in the same way.
const WORDS: [(&str, Words); 8] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Words::CL100K,
    ),
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Words::CL100K,
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Words::QWEN2,
    ),
    // LLaDA: possessive where giving back could not help; one line end where the white space
    // before has taken the others.
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        Words::QWEN2,
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Words::QWEN35,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Words::O200K,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Words::TEKKEN,
    ),
    (
        r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Words::KIMI,
    ),
];

const NUMBERS: &str = r"\p{N}{1,3}";
const CJK_V3: &str = "[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+";
const CJK_CODER: &str = "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+";
const DEEPSEEK_V3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const LETTERS_LLM: &str = "\\s?[A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\
    \u{295}-\u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\u{3a1}\
    \u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\
    \u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\
    \u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\
    \u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\
    \u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\
    \u{2124}\u{2126}\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\
    \u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\
    \u{a680}-\u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\
    \u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\
    \u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}]+";
const PUNCTUATION_LLM: &str = "\\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+";
/// Cuts a stretch as [`Words::CL100K`] does; its numbers have been cut up before.
const MINICPM: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What errors name.
const PART: &str = "pre_tokenizer";

fn refusal(reason: impl Into<String>) -> Error {
    Error::Unsupported { part: PART, reason: reason.into() }
}

/// The recipe of a `pre_tokenizer`; `None` if it leaves the text whole.
pub(super) fn from_json(value: &Value) -> Result<Option<Recipe>> {
    match value.get("type").and_then(Value::as_str) {
        // Not even the bytes become letters of the vocabulary.
        _ if value.is_null() => unsupported(PART, "none, where tokens spell bytes"),
        Some("ByteLevel") => match stage(value, true)? {
            Stage::ByteLevel { gpt2: true } => Ok(Some(Recipe::Gpt2)),
            _ => Ok(None),
        },
        Some("Sequence") => {
            known_fields(value, &["type", "pretokenizers"])?;
            let parts = value.get("pretokenizers").and_then(Value::as_array);
            let parts = parts.ok_or_else(|| refusal("Sequence without pretokenizers"))?;
            let stages: Result<Vec<_>> = parts.iter().map(|part| stage(part, false)).collect();
            sequence(&stages?).map(Some)
        }
        Some(other) => unsupported(PART, format!("unknown type {other}")),
        None => unsupported(PART, "no type"),
    }
}

fn sequence(stages: &[Stage]) -> Result<Recipe> {
    use Stage::{ByteLevel, ContiguousPunctuation, Digits, Isolated, MatchesOnly};

    if let [splits @ .., ByteLevel { gpt2: false }] = stages {
        // The raw line ends of the published files and the escaped ones are the same pattern.
        let escaped = |pattern: &str| pattern.replace('\r', r"\r").replace('\n', r"\n");
        let is = |pattern: &str, known: &str| escaped(pattern) == known;
        match splits {
            [Isolated(pattern) | MatchesOnly(pattern)] => {
                let known = WORDS.iter().find(|(known, _)| is(pattern, known));
                if let Some((_, words)) = known {
                    return Ok(Recipe::Words(*words));
                }
            }
            [Isolated(first), Isolated(second)] => {
                let (words, by) = match *second {
                    _ if is(first, NUMBERS) && is(second, MINICPM) => (Words::CL100K, Class::NUMBER),
                    _ if is(first, CJK_V3) && is(second, WORDS[2].0) => (Words::QWEN2, Class::CJK_V3),
                    _ => return unsupported(PART, unknown(stages)),
                };
                return Ok(Recipe::FencedWords { words, by });
            }
            [Isolated(numbers), Isolated(cjk), Isolated(pattern)]
                if is(numbers, NUMBERS) && is(cjk, CJK_V3) && is(pattern, DEEPSEEK_V3) =>
            {
                return Ok(Recipe::DeepSeekV3);
            }
            [Isolated(lines), Isolated(letters), Isolated(punctuation), Isolated(cjk), Digits { individual: true }]
                if is(lines, r"[\r\n]")
                    && is(letters, r"\s?\p{L}+")
                    && is(punctuation, r"\s?\p{P}+")
                    && is(cjk, CJK_CODER) =>
            {
                return Ok(Recipe::DeepSeekCoder);
            }
            [
                Isolated(lines),
                Isolated(letters),
                Isolated(punctuation),
                Isolated(spaces),
                Isolated(cjk),
                Digits { individual: true },
            ] if is(lines, r"[\r\n]")
                && is(letters, LETTERS_LLM)
                && is(punctuation, PUNCTUATION_LLM)
                && is(spaces, r"\s+$")
                && is(cjk, CJK_CODER) =>
            {
                return Ok(Recipe::DeepSeekLlm);
            }
            _ => {}
        }
    }
    match stages {
        [Digits { individual }, ByteLevel { gpt2: true }] => Ok(Recipe::DigitsGpt2 { individual: *individual }),
        [
            ContiguousPunctuation,
            ByteLevel { gpt2: true },
            Digits { individual: false },
            Isolated("[0-9][0-9][0-9]"),
        ] => Ok(Recipe::Falcon),
        _ => unsupported(PART, unknown(stages)),
    }
}

/// Why a sequence is not known: its first unknown pattern, if that is the reason.
fn unknown(stages: &[Stage]) -> String {
    match stages {
        [Stage::Isolated(pattern) | Stage::MatchesOnly(pattern), Stage::ByteLevel { gpt2: false }] => {
            format!("unknown split pattern {pattern}")
        }
        _ => format!("unknown sequence {stages:?}"),
    }
}

/// Reads one stage. A `ByteLevel` that is `alone` may add a prefix space: that is not done here.
fn stage(value: &Value, alone: bool) -> Result<Stage<'_>> {
    let flag = |name: &str, default: Option<bool>| match value.get(name) {
        None => default.ok_or_else(|| refusal(format!("{name} is missing"))),
        Some(value) => value.as_bool().ok_or_else(|| refusal(format!("{name} is not a boolean"))),
    };
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("");
    match kind {
        "ByteLevel" => {
            known_fields(value, &["type", "add_prefix_space", "trim_offsets", "use_regex"])?;
            if !alone && flag("add_prefix_space", None)? {
                return unsupported(PART, "ByteLevel with add_prefix_space in a Sequence");
            }
            let gpt2 = flag("use_regex", Some(true))?;
            Ok(Stage::ByteLevel { gpt2 })
        }
        "Digits" => {
            known_fields(value, &["type", "individual_digits"])?;
            let individual = flag("individual_digits", None)?;
            Ok(Stage::Digits { individual })
        }
        "Punctuation" => {
            known_fields(value, &["type", "behavior"])?;
            match value.get("behavior").and_then(Value::as_str) {
                Some("Contiguous") => Ok(Stage::ContiguousPunctuation),
                other => unsupported(PART, format!("unknown Punctuation behavior {other:?}")),
            }
        }
        "Split" => {
            known_fields(value, &["type", "pattern", "behavior", "invert"])?;
            let pattern = value.get("pattern").unwrap_or(&Value::Null);
            known_fields(pattern, &["Regex"])?;
            let regex = pattern.get("Regex").and_then(Value::as_str);
            let regex = regex.ok_or_else(|| refusal("Split without a Regex"))?;
            let behavior = value.get("behavior").and_then(Value::as_str);
            match (behavior, flag("invert", None)?) {
                (Some("Isolated"), false) => Ok(Stage::Isolated(regex)),
                (Some("Removed"), true) => Ok(Stage::MatchesOnly(regex)),
                (other, invert) => unsupported(PART, format!("unknown Split behavior {other:?} with invert {invert}")),
            }
        }
        other => unsupported(PART, format!("unknown type {other:?} in a Sequence")),
    }
}

/// Refuses fields whose meaning is not known.
fn known_fields(value: &Value, known: &[&str]) -> Result<()> {
    let fields = value.as_object().into_iter().flatten();
    match fields.map(|(name, _)| name).find(|name| !known.contains(&name.as_str())) {
        Some(name) => unsupported(PART, format!("unknown field {name:?}")),
        None => Ok(()),
    }
}

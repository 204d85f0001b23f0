//! Pre-tokenizers against the regular expressions they stand for, and the laws that make them
//! usable on text that grows and shrinks.

#[path = "common/patterns.rs"]
mod patterns;

use std::sync::OnceLock;

use fancy_regex::Regex;
use patterns::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use uag::split::{Resume, Scan, Splitter};

/// A pre-tokenizer, and the patterns that do the same one after the other.
struct Case {
    name: &'static str,
    splitter: Splitter,
    stages: Vec<Regex>,
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let list = known();
        let compile = |stage: &&str| Regex::new(stage).expect(stage);
        list.iter()
            .map(|(name, json, stages)| Case {
                name,
                splitter: Splitter::from_json(json).expect(name),
                stages: stages.iter().map(compile).collect(),
            })
            .collect()
    })
}

fn case(name: &str) -> &'static Case {
    cases().iter().find(|case| case.name == name).expect(name)
}

/// What `Isolated` splits do, one after the other.
fn reference(case: &Case, text: &str) -> Vec<usize> {
    let mut ends = vec![text.len()];
    for stage in &case.stages {
        let mut finer = Vec::new();
        let mut start = 0;
        for &end in &ends {
            for found in stage.find_iter(&text[start..end]) {
                let found = found.expect("no limit is reached");
                finer.extend([start + found.start(), start + found.end()]);
            }
            finer.push(end);
            start = end;
        }
        finer.dedup();
        finer.retain(|&end| end > 0);
        ends = finer;
    }
    ends
}

fn pieces(splitter: Splitter, text: &[u8]) -> Vec<Scan> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let scan = splitter.scan(text, start, Resume::START);
        assert!(start < scan.end && scan.end <= text.len(), "{scan:?}");
        let seen = scan.end..=text.len() + 1;
        assert!(seen.contains(&scan.examined), "{scan:?}");
        start = scan.end;
        found.push(scan);
    }
    found
}

fn ends(splitter: Splitter, text: &[u8]) -> Vec<usize> {
    pieces(splitter, text).iter().map(|scan| scan.end).collect()
}

/// The decision of a scan, without the state that led to it.
fn outcome(scan: Scan) -> (usize, usize) {
    (scan.end, scan.examined)
}

/// Characters that the patterns treat differently; none of recent Unicode versions, in which the
/// reference may differ from the library that the tables follow.
#[rustfmt::skip]
const ALPHABET: [&str; 68] = [
    "a", "b", "s", "t", "r", "e", "l", "v", "m", "d", "A", "S", "R", "E", "L", "'", "'", "'", " ",
    " ", " ", "\n", "\n", "\r", "\t", "\u{a0}", "\u{85}", "\u{3000}", "\u{2003}", "1", "2", "3",
    "٣", "½", "Ⅷ", "〇", "!", "/", ".", "+", "$", "—", "中", "文", "あ", "・", "한", "龥", "々",
    "é", "É", "ǅ", "ʰ", "\u{301}", "\u{3099}", "\u{200b}", "\u{17f}", "\u{212a}", "😀", "\u{2e80}",
    "Ḁ", "Ａ", "ℂ", "。", "”", "！", "\u{3000}", "\u{2003}",
];

fn text() -> impl Strategy<Value = String> {
    // Few different characters make the long runs and near misses that many would not.
    let choice = prop::collection::vec(0..ALPHABET.len(), 1..8);
    let picks = prop::collection::vec(0..8_usize, 0..40);
    (choice, picks).prop_map(|(choice, picks)| {
        let pick = |pick: &usize| ALPHABET[choice[pick % choice.len()]];
        picks.iter().map(pick).collect()
    })
}

/// Text with invalid bytes, which ends in a whole character.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let invalid = vec![&b""[..], b"\xFF", b"\x80", b"\xC2", b"\xE3\x81", b"\xBE"];
    let part = (text(), prop::sample::select(invalid));
    prop::collection::vec(part, 1..4).prop_map(|parts| {
        let mut bytes: Vec<u8> = Vec::new();
        for (text, invalid) in parts {
            bytes.extend_from_slice(invalid);
            bytes.extend_from_slice(text.as_bytes());
        }
        whole(&bytes, bytes.len()).to_vec()
    })
}

/// The first `len` bytes, less whatever is incomplete at the end then.
fn whole(bytes: &[u8], len: usize) -> &[u8] {
    for back in 1..=3.min(len) {
        let error = std::str::from_utf8(&bytes[len - back..len]).err();
        if error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none()) {
            return whole(bytes, len - back);
        }
    }
    &bytes[..len]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn splits_like_the_patterns(text in text()) {
        for case in cases() {
            // Falcon's numeric bytes inside of characters are beyond expressions over text.
            if case.name == "falcon" && !text.is_ascii() {
                continue;
            }
            let found = ends(case.splitter, text.as_bytes());
            prop_assert_eq!(found, reference(case, &text), "{}", case.name);
        }
    }

    /// A piece that was decided without the end of the text stays whatever is appended, and stays
    /// when what it was not decided by is cut off.
    #[test]
    fn final_pieces_stay(text in bytes(), more in bytes(), cut in 0..400_usize) {
        let longer = [&text[..], &more].concat();
        let shorter = whole(&text, cut.min(text.len()));
        for case in cases() {
            let mut start = 0;
            for scan in pieces(case.splitter, &text) {
                for other in [&longer, shorter] {
                    if scan.examined <= text.len().min(other.len()) {
                        let again = case.splitter.scan(other, start, Resume::START);
                        prop_assert_eq!(outcome(again), outcome(scan), "{}", case.name);
                    }
                }
                start = scan.end;
            }
        }
    }

    /// A scan resumed after any growing and shrinking gives what a fresh one gives.
    #[test]
    fn resumed_scans_are_fresh_scans(
        text in bytes(),
        steps in prop::collection::vec((0..=100_usize, bytes()), 1..6),
    ) {
        for case in cases() {
            let mut now = text.clone();
            let mut open = vec![(0, Resume::START)];
            open.extend(ends(case.splitter, &now).iter().map(|&end| (end, Resume::START)));
            for (percent, more) in &steps {
                for (start, resume) in open.iter_mut().filter(|open| open.0 < now.len()) {
                    let resumed = case.splitter.scan(&now, *start, *resume);
                    let fresh = case.splitter.scan(&now, *start, Resume::START);
                    prop_assert_eq!(outcome(resumed), outcome(fresh), "{} {:?}", case.name, resume);
                    *resume = resumed.resume;
                }
                let len = whole(&now, now.len() * percent / 100).len();
                now.truncate(len);
                open.retain(|&(start, _)| start <= len);
                for (_, resume) in &mut open {
                    *resume = resume.clip(len);
                }
                now.extend_from_slice(more);
            }
        }
    }

    /// No input makes it panic or stall, not even a state that belongs to something else.
    #[test]
    fn any_bytes_are_split(text in prop::collection::vec(any::<u8>(), 1..60), other in bytes()) {
        for case in cases() {
            pieces(case.splitter, &text);
            for scan in pieces(case.splitter, &other) {
                for start in 0..=text.len() {
                    let found = case.splitter.scan(&text, start, scan.resume);
                    prop_assert!(found.end > start || start == text.len());
                    prop_assert!(found.end <= text.len());
                }
            }
        }
    }
}

fn check(name: &str, expected: &[&str]) {
    let text = expected.concat();
    let mut start = 0;
    let mut found = Vec::new();
    for end in ends(case(name).splitter, text.as_bytes()) {
        found.push(&text[start..end]);
        start = end;
    }
    assert_eq!(found, expected, "{name}");
}

#[test]
fn examples() {
    check("gpt2", &["I", "'ll", " go", "  ", " to", "\n", "\n", "x"]);
    check("gpt2", &[" 123456", "!?", " '", "S"]);
    check("cl100k", &["It", "'S", " x", "'\u{17f}", " ", "123", "45"]);
    check("cl100k", &["!!\r\n", "  \n\n", " ", " hi", "  "]);
    check("qwen2", &["1", "2", ".", "3", "\thi"]);
    check("o200k", &["Hello", "World's", " A中", "ABC", "!/\n/", "."]);
    check("tekken", &["中", "A"]);
    check("tekken", &["中Aa"]);
    check("starcoder", &["a", " ", "1", "2", "b"]);
    check("v3", &["a", " ", "123", "4", ".abc", "é", "中文", "x", "\u{1}", "\u{1}y"]);
    check("coder", &["a", " = ", "1", "2", " b", "\n", " ", "中", "."]);
    check("llm", &["a", " =", " ", "1", "2", " b", "\n", " ", "中", " .", "\u{1}  \u{1}", "  "]);
    check("llm", &[" na", "ï", "ve", " don", "'", "t", "é", "Ａ", " ", "。\u{3000}、", "\u{3000}"]);
    check("llm", &["\u{1}", " ", "\u{2003}", " ", " !", "\u{1}  ", "\u{2003}", "\u{1}", "\u{3000}", "é"]);
    check("falcon", &["don", "'", "t", " ", "123", "45", ")."]);
}

#[test]
fn falcon_cuts_inside_characters() {
    let splitter = case("falcon").splitter;
    // Asked of the library: "ò1" is Ã ² 1, "1²3" is 1 Â ²3, "¼123456" is Â ¼ 123 456.
    assert_eq!(ends(splitter, "ò1".as_bytes()), [1, 2, 3]);
    assert_eq!(ends(splitter, "1²3".as_bytes()), [1, 2, 4]);
    assert_eq!(ends(splitter, "¼123456".as_bytes()), [1, 2, 5, 8]);
}

#[test]
fn equivalent_spellings_are_known() {
    let removed = json!({"type": "Split", "pattern": {"Regex": CL100K}, "behavior": "Removed", "invert": true});
    let removed = sequence(&[removed, byte_level(false)]);
    assert_eq!(Splitter::from_json(&removed), Ok(case("cl100k").splitter));
    let raw = DEEPSEEK_V3.replace(r"\r", "\r").replace(r"\n", "\n");
    let raw = Splitter::from_json(&splits(&[NUMBERS, CJK_V3, &raw]));
    assert_eq!(raw, Ok(case("v3").splitter));
    let raw = |stages: &[&str]| {
        let stages = stages.iter().map(|stage| split(&stage.replace(r"\r", "\r").replace(r"\n", "\n")));
        let stages: Vec<Value> = stages.chain([digits(true), byte_level(false)]).collect();
        Splitter::from_json(&sequence(&stages))
    };
    assert_eq!(raw(&CODER), Ok(case("coder").splitter));
    assert_eq!(raw(&LLM), Ok(case("llm").splitter));
    assert!(Splitter::from_json(&Value::Null).is_err());
    assert_eq!(Splitter::from_json(&byte_level(false)), Ok(Splitter::Whole));
}

#[test]
fn unknown_parts_are_refused() {
    let prefix_space = json!({"type": "ByteLevel", "add_prefix_space": true});
    for (json, part) in [
        (sequence(&[split(r"\w+"), byte_level(false)]), r"\w+"),
        (sequence(&[split(CL100K), byte_level(true)]), "sequence"),
        (sequence(&[split(CL100K)]), "sequence"),
        (sequence(&[digits(true), prefix_space]), "add_prefix_space"),
        (json!({"type": "BertPreTokenizer"}), "BertPreTokenizer"),
        (json!({"type": "ByteLevel", "colour": 1}), "colour"),
        (json!({"type": "ByteLevel", "use_regex": "yes"}), "use_regex"),
        (json!([]), "type"),
    ] {
        let error = Splitter::from_json(&json).expect_err(part).to_string();
        assert!(error.starts_with("pre_tokenizer: "), "{error}");
        assert!(error.contains(part), "{error}");
    }
}

/// Long runs that arrive in small parts are read once: with 100 KB of each, anything quadratic
/// would take minutes.
#[test]
fn long_runs_are_linear() {
    for unit in [
        "a",
        "A",
        "aB",
        "中",
        "1",
        "!",
        " ",
        "\n",
        "\u{1}",
        "é",
        "\u{301}",
        "٣",
        "☼",
        "\u{3000}",
        "\u{2003}",
        " \u{2003}",
        "。",
    ] {
        let part = unit.repeat(40 / unit.len());
        for case in cases() {
            // White space after something else may have to be known to its end.
            let mut text = vec![1];
            let (mut start, mut resume) = (0, Resume::START);
            while text.len() < 100_000 {
                text.extend_from_slice(part.as_bytes());
                while start < text.len() {
                    let scan = case.splitter.scan(&text, start, resume);
                    resume = scan.resume;
                    if scan.examined > text.len() {
                        break;
                    }
                    (start, resume) = (scan.end, Resume::START);
                }
                // Taking back the last character does not lose what is before.
                if start < text.len() - unit.len() {
                    text.truncate(text.len() - unit.len());
                    resume = resume.clip(text.len());
                }
            }
        }
    }
}

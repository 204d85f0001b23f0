"""Write src/split/class.rs and tables.rs: the character classes of the `tokenizers` library.

The classes are not taken from a Unicode data file but asked of the library itself, one
pre-tokenizer per class over all code points: what has to be matched is the library's Oniguruma
(regular expressions), its Rust `char::is_numeric` (Digits) and its own list of punctuation
(Punctuation), each of which follows its own Unicode version.

    pip install tokenizers==0.23.3
    python rust/uag/tools/gen_char_tables.py rust/uag/src/split
"""

import sys
from pathlib import Path

import tokenizers
from tokenizers import Regex, pre_tokenizers

BLOCK = 256
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# DeepSeek-LLM's letters and punctuation: the Latin letters are both.
LLM_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
    "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"
    "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
    "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102"
    "\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
    "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
)
LLM_PUNCTUATION = "!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002"

OTHER = Regex(r"[^\p{L}\p{M}\p{N}\p{P}\p{S}\s]")

# Bit name, description, what finds the members; `members` knows the others.
CLASSES: list[tuple[str, str, Regex | None]] = [
    ("UPPER", r"`\p{Lu}` or `\p{Lt}`", Regex(r"[\p{Lu}\p{Lt}]")),
    ("LOWER", r"`\p{Ll}`", Regex(r"\p{Ll}")),
    ("CASELESS", r"`\p{Lm}` or `\p{Lo}`", Regex(r"[\p{Lm}\p{Lo}]")),
    ("MARK", r"`\p{M}`", Regex(r"\p{M}")),
    ("NUMBER", r"`\p{N}`", Regex(r"\p{N}")),
    ("PUNCTUATION", r"`\p{P}`", Regex(r"\p{P}")),
    ("SYMBOL", r"`\p{S}`", Regex(r"\p{S}")),
    ("SPACE", r"`\s`", Regex(r"\s")),
    ("NEWLINE", r"`[\r\n]`", Regex(r"[\r\n]")),
    ("HAN", r"`\p{Han}`", Regex(r"\p{Han}")),
    ("ASCII_LETTER", "`[A-Za-z]`", Regex("[A-Za-z]")),
    (
        "ASCII_PUNCTUATION",
        "ASCII, neither letter, digit, space nor control",
        Regex("[!-/:-@\\[-`{-~]"),
    ),
    ("SLASH", "`/`", Regex("/")),
    ("DIGITS", "split off by `Digits` (`char::is_numeric`)", None),
    ("PUNCTUATIONS", "split off by `Punctuation`", None),
    (
        "CJK_V3",
        "DeepSeek-V3's `[一-龥\u3040-ゟ゠-ヿ]`",
        Regex("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]"),
    ),
    (
        "CJK_CODER",
        "DeepSeek-Coder's `[一-龥ࠀ-一가-\\u{d7ff}]`",
        Regex("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]"),
    ),
    ("LLM_LETTER", "letter of DeepSeek-LLM", Regex(f"[{LLM_LETTERS}&&[^{LLM_PUNCTUATION}]]")),
    (
        "LLM_LATIN",
        "both letter and punctuation of DeepSeek-LLM",
        Regex(f"[{LLM_LETTERS}&&[{LLM_PUNCTUATION}]]"),
    ),
    (
        "LLM_PUNCTUATION",
        "punctuation of DeepSeek-LLM",
        Regex(f"[{LLM_PUNCTUATION}&&[^{LLM_LETTERS}]]"),
    ),
    ("OTHER", r"none of `\p{L}\p{M}\p{N}\p{P}\p{S}\s`: control, format, unassigned", OTHER),
]
GENERAL = {
    "UPPER",
    "LOWER",
    "CASELESS",
    "MARK",
    "NUMBER",
    "PUNCTUATION",
    "SYMBOL",
    "SPACE",
    "OTHER",
}

# The letters of the table, in order of use; quote and backslash would need escapes.
LETTERS = [c for c in map(chr, range(33, 127)) if c not in "\"\\'"]
LETTERS = [c for c in LETTERS if c.isalnum()] + [c for c in LETTERS if not c.isalnum()]
# What the commonest classes are written as, to make the table readable.
PREFERRED = {
    ("OTHER",): ".",
    ("UPPER",): "U",
    ("LOWER",): "l",
    ("CASELESS",): "o",
    ("MARK",): "m",
    ("NUMBER", "DIGITS"): "n",
    ("PUNCTUATION", "PUNCTUATIONS"): "p",
    ("SYMBOL",): "s",
}


def removed_by(pre_tokenizer: pre_tokenizers.PreTokenizer) -> set[int]:
    """The code points that a pre-tokenizer with behaviour `removed` removes."""
    found: set[int] = set()
    for at in range(0, len(CODE_POINTS), 4096):
        part = CODE_POINTS[at : at + 4096]
        kept: set[int] = set()
        for _, (start, end) in pre_tokenizer.pre_tokenize_str("".join(map(chr, part))):
            kept.update(range(start, end))
        found.update(c for i, c in enumerate(part) if i not in kept)
    return found


def members(name: str, pattern: Regex | None) -> set[int]:
    """The code points of a class."""
    if pattern is not None:
        return removed_by(pre_tokenizers.Split(pattern, "removed"))
    if name == "DIGITS":  # Digits has no `removed`: a digit is what is cut from the letter before
        digits = pre_tokenizers.Digits(individual_digits=True)
        return {c for c in CODE_POINTS if len(digits.pre_tokenize_str("a" + chr(c))) == 2}
    if name == "PUNCTUATIONS":
        return removed_by(pre_tokenizers.Punctuation("removed"))
    raise AssertionError(name)


def written(path: Path, title: str, lines: list[str]) -> None:
    """Write a Rust file that says where it comes from."""
    by = "// @generated by `tools/gen_char_tables.py`: do not edit."
    path.write_text("\n".join([by, f"//! {title}", "", *lines, ""]), encoding="utf-8")


def main(folder: Path) -> None:
    """Write `class.rs` and `tables.rs` to the folder."""
    flags = [0] * 0x110000
    general = sum(1 << i for i, (name, _, _) in enumerate(CLASSES) if name in GENERAL)
    for bit, (name, _, pattern) in enumerate(CLASSES):
        for c in members(name, pattern):
            flags[c] |= 1 << bit

    for c in range(0xD800, 0xE000):  # never looked up; keeps the table regular
        flags[c] = flags[0x10FFFF]
    assert all((f & general).bit_count() == 1 for f in flags)

    preferred = {
        sum(1 << i for i, (name, _, _) in enumerate(CLASSES) if name in names): letter
        for names, letter in PREFERRED.items()
    }
    free = iter(c for c in LETTERS if c not in preferred.values())
    letter_of: dict[int, str] = {}
    for value in flags:
        if value not in letter_of:
            letter_of[value] = preferred.get(value) or next(free)

    last = max(c for c in CODE_POINTS if flags[c] != flags[0x10FFFF])
    blocks: dict[str, int] = {}
    pages: list[int] = []
    for at in range(0, last + 1, BLOCK):
        block = "".join(letter_of[f] for f in flags[at : at + BLOCK])
        pages.append(blocks.setdefault(block, len(blocks)))
    assert len(blocks) <= 256

    version = f"`tokenizers` {tokenizers.__version__}"
    out = [
        "/// A set of character classes: those of one character, or those a pattern asks for.",
        "///",
        "/// Every character is in exactly one of `UPPER`, `LOWER`, `CASELESS`, `MARK`, `NUMBER`,",
        "/// `PUNCTUATION`, `SYMBOL`, `SPACE` and `OTHER`; the other bits are properties that",
        "/// single patterns need. So the complement of a set of general classes is again one,",
        "/// and one mask test decides any of them.",
        "#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]",
        "pub(super) struct Class(pub(super) u32);",
        "",
        "impl Class {",
    ]
    for bit, (name, text, _) in enumerate(CLASSES):
        out += [f"    /// {text}", f"    pub(super) const {name}: Class = Class(1 << {bit});"]
    title = f"The character classes that the patterns of {version} tell apart."
    written(folder / "class.rs", title, [*out, "}"])

    out = ["use super::class::Class;", ""]
    out += ["/// What the letters of [`BLOCKS`] stand for, by their ASCII code."]
    out += ["#[rustfmt::skip]", "pub(super) static LETTERS: [Class; 128] = {"]
    out += ["    let mut of = [Class(0); 128];"]
    for value, letter in letter_of.items():
        names = [name for bit, (name, _, _) in enumerate(CLASSES) if value >> bit & 1]
        out.append(f"    of[b'{letter}' as usize] = Class({value:#_x}); // {' '.join(names)}")
    out += ["    of", "};", ""]
    out += [f"/// The block of every {BLOCK} code points; those past the end are [`Class::OTHER`]."]
    out += ["#[rustfmt::skip]", f"pub(super) static PAGES: [u8; {len(pages)}] = ["]
    for at in range(0, len(pages), 32):
        out.append("    " + ",".join(map(str, pages[at : at + 32])) + ",")
    out += ["];", "", f"/// The classes of {BLOCK} code points each, one letter per code point."]
    out += ["#[rustfmt::skip]", f"pub(super) static BLOCKS: [[u8; {BLOCK}]; {len(blocks)}] = ["]
    for block in blocks:
        rows = [block[at : at + 64] for at in range(0, BLOCK, 64)]
        out.append('    *b"' + "\\\n       ".join(rows) + '",')
    title = f"The character classes of {version} over all code points."
    written(folder / "tables.rs", title, [*out, "];"])
    print(len(letter_of), "letters", len(blocks), "blocks", len(pages), "pages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

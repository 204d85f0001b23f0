//! Bytes of the fuzzer as choices.

/// What texts are made of: what tokenizers treat differently.
#[rustfmt::skip]
const UNITS: [&str; 96] = [
    "a", "b", "c", "ab", "aab", "abc", "e", "s", "t", "r", "l", "v", "m", "d", "A", "S", "HT", "L", "'", "'s",
    " ", "  ", "\n", "\r\n", "\t", "\u{a0}", "\u{85}", "\u{3000}", "\u{2003}", "1", "2", "123", "٣", "½", "Ⅷ", "〇",
    "!", "/", ".", "+", "$", "—", "=", "==", "中", "文", "日", "本", "あ", "・", "한", "々", "é", "É", "ǅ", "ʰ",
    "\u{301}", "\u{3099}", "\u{323}", "e\u{301}", "\u{200b}", "\u{200d}", "\u{17f}", "\u{212a}", "😀", "🏳️", "Ḁ", "Ａ", "ℂ",
    "。", "”", "！", "ﬁ", "\u{fffd}", "▁", "_", "▁a", "Ġ", "<t>", "<", "t>", "<end>", "<en", "<w>", "<l>", "<r>",
    "<n>", "<0x41>", "##", "</w>", " the", "the", "ing", " a", "\u{0}", "0",
];

/// Choices, in the order in which they are made; all 0 where the bytes are used up.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// A number below `limit`, which is below 65,536.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let high = if limit > 256 { usize::from(self.byte()) << 8 } else { 0 };
        (high | usize::from(self.byte())) % limit.max(1)
    }

    /// Up to 31 units of text or, from 96 on, bytes that may be no text; a few times over.
    pub(crate) fn text(&mut self) -> Vec<u8> {
        let shape = self.byte();
        let mut text = Vec::new();
        for _ in 0..shape & 31 {
            if self.is_empty() {
                break;
            }
            match self.byte() {
                unit @ 0..96 => text.extend_from_slice(UNITS[usize::from(unit)].as_bytes()),
                byte => text.push(byte),
            }
        }
        text.repeat(match shape >> 5 {
            7 => 40,
            6 => 7,
            _ => 1,
        })
    }
}

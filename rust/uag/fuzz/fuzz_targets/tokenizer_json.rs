#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| uag_fuzz::tokenizer_json(data));

// Bytes that are changed at random are mostly no JSON any more: half of the time the tree is
// changed, or what follows it.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut draw = Draw(u64::from(seed) | 1 << 40);
    let json = data[..size].iter().position(|&byte| byte == 0).unwrap_or(size);
    let tail = data[json..size].to_vec();
    match (draw.below(8), serde_json::from_slice::<Value>(&data[..json])) {
        (0..5, Ok(mut tree)) => {
            for _ in 0..=draw.below(3) {
                let other = draw.pick(&mut tree.clone()).clone();
                change(draw.pick(&mut tree), other, &mut draw);
            }
            let new = [tree.to_string().as_bytes(), &tail].concat();
            if new.len() <= max_size {
                data[..new.len()].copy_from_slice(&new);
                return new.len();
            }
            fuzzer_mutate(data, size, max_size)
        }
        (5 | 6, Ok(_)) if json + 1 < max_size => {
            data[json] = 0;
            let from = json + 1;
            from + fuzzer_mutate(&mut data[from..], size.saturating_sub(from), max_size - from)
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});

/// Random choices, by Marsaglia's xorshift.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit.max(1)
    }

    /// A node of the tree: at each level one of the children, or the node itself.
    fn pick<'t>(&mut self, tree: &'t mut Value) -> &'t mut Value {
        let children = match tree {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        if children == 0 || self.below(6) == 0 {
            return tree;
        }
        let next = self.below(children);
        match tree {
            Value::Array(items) => self.pick(&mut items[next]),
            Value::Object(fields) => self.pick(fields.values_mut().nth(next).expect("one of them")),
            _ => unreachable!("it has children"),
        }
    }

    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 40] = [
            "a",
            "b",
            "ab",
            "aa",
            "",
            " ",
            "▁",
            "▁a",
            "Ġ",
            "Ġa",
            "<unk>",
            "<0x41>",
            "<0x4",
            "##a",
            "</w>",
            "<t>",
            "<end>",
            "日",
            "é",
            "e\u{301}",
            "BPE",
            "Unigram",
            "WordPiece",
            "WordLevel",
            "ByteLevel",
            "Metaspace",
            "Sequence",
            "Split",
            "Digits",
            "NFC",
            "Prepend",
            "Replace",
            "Precompiled",
            "first",
            "always",
            "never",
            "Isolated",
            "\0",
            "\u{ffff}",
            "WhitespaceSplit",
        ];
        WORDS[self.below(WORDS.len())]
    }

    fn scalar(&mut self) -> Value {
        match self.below(14) {
            0 => Value::Null,
            1 => true.into(),
            2 => false.into(),
            3 => (-1).into(),
            4 => u32::MAX.into(),
            5 => u64::MAX.into(),
            6 => (1 << 24).into(),
            7 => json!(1e308),
            8 => json!(-0.5),
            9 => json!([]),
            10 => json!({}),
            11 => (self.below(300)).into(),
            _ => self.word().into(),
        }
    }
}

/// Changes a node: by itself, or with one from elsewhere.
fn change(node: &mut Value, other: Value, draw: &mut Draw) {
    const FLAGS: [&str; 8] =
        ["special", "normalized", "lstrip", "rstrip", "single_word", "byte_fallback", "fuse_unk", "ignore_merges"];
    match (draw.below(5), node) {
        (0, node) => *node = other,
        (1, node) => *node = draw.scalar(),
        (_, Value::Array(items)) => {
            let at = draw.below(items.len() + 1);
            match draw.below(4) {
                0 if at < items.len() => _ = items.remove(at),
                1 if at < items.len() => items.push(items[at].clone()),
                2 => items.insert(at, other),
                _ if at < items.len() => items.rotate_left(at),
                _ => items.push(draw.word().into()),
            }
        }
        (_, Value::Object(fields)) => {
            let key = fields.keys().nth(draw.below(fields.len())).cloned().unwrap_or_default();
            match draw.below(4) {
                0 => _ = fields.remove(&key),
                1 => _ = fields.insert(key + draw.word(), other),
                2 => _ = fields.insert(draw.word().to_owned(), draw.below(300).into()),
                _ => _ = fields.insert(FLAGS[draw.below(FLAGS.len())].to_owned(), (draw.below(2) == 0).into()),
            }
        }
        (_, Value::String(text)) => match draw.below(4) {
            0 => *text = text.repeat(1 + draw.below(6)),
            1 => text.push_str(draw.word()),
            2 => text.insert_str(0, draw.word()),
            _ => _ = text.pop(),
        },
        (_, node @ Value::Number(_)) => {
            let number = node.as_i64().unwrap_or(0);
            *node = [number.wrapping_sub(1), number.wrapping_add(1), number.wrapping_neg(), number / 2][draw.below(4)]
                .into();
        }
        (_, node) => *node = draw.scalar(),
    }
}

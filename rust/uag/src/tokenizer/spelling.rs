//! How a vocabulary spells its tokens, as its decoder tells.

use serde_json::Value;

use crate::bytes;
use crate::error::{Result, unsupported};
use crate::json::{list, name};

/// How the strings of a vocabulary spell bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    ByteLevel,
    Metaspace,
    /// `##` (or another prefix) continues a word; anything else begins one.
    WordPiece(String),
    /// `</w>` (or another suffix) ends a word.
    Suffix(String),
}

impl Spelling {
    pub(super) fn from_json(decoder: &Value) -> Result<Self> {
        match decoder["type"].as_str() {
            Some("ByteLevel") => Ok(Self::ByteLevel),
            Some("Metaspace") if decoder["replacement"] == "▁" => Ok(Self::Metaspace),
            Some("WordPiece") => Ok(Self::WordPiece(decoder["prefix"].as_str().unwrap_or("##").to_owned())),
            Some("BPEDecoder") => Ok(Self::Suffix(decoder["suffix"].as_str().unwrap_or("</w>").to_owned())),
            Some("Sequence") => {
                let mut metaspace = false;
                for part in list(&decoder["decoders"]) {
                    match part["type"].as_str() {
                        Some("Replace") if part["pattern"]["String"] == "▁" && part["content"] == " " => {
                            metaspace = true;
                        }
                        Some("Metaspace") if part["replacement"] == "▁" => metaspace = true,
                        Some("ByteFallback" | "Fuse") => {}
                        Some("Strip") if part["content"] == " " && part["stop"] == 0 => {}
                        Some("ByteLevel") => return Ok(Self::ByteLevel),
                        _ => return unsupported("decoder", name(part)),
                    }
                }
                if metaspace { Ok(Self::Metaspace) } else { unsupported("decoder", "a sequence without ▁") }
            }
            _ => unsupported("decoder", name(decoder)),
        }
    }

    /// Whether decoding drops a space at the start of a sequence.
    pub(super) fn strips_start(&self, decoder: &Value) -> bool {
        match self {
            Self::ByteLevel | Self::Suffix(_) => false,
            Self::WordPiece(_) => true,
            Self::Metaspace => {
                decoder["type"] == "Metaspace" || list(&decoder["decoders"]).iter().any(|part| part["type"] == "Strip")
            }
        }
    }

    /// An added token is its own text: only a SentencePiece-style one writes spaces as `▁`.
    pub(super) fn push_added(&self, content: &str, out: &mut Vec<u8>) {
        match self {
            Self::Metaspace => bytes::push_metaspace(content, out),
            _ => out.extend_from_slice(content.as_bytes()),
        }
    }

    pub(super) fn push(&self, token: &str, out: &mut Vec<u8>) {
        match self {
            Self::ByteLevel => bytes::push_byte_level(token, out),
            Self::Metaspace => match bytes::fallback_byte(token) {
                Some(byte) => out.push(byte),
                None => bytes::push_metaspace(token, out),
            },
            Self::WordPiece(prefix) => match token.strip_prefix(prefix.as_str()) {
                Some(rest) => out.extend_from_slice(rest.as_bytes()),
                None => {
                    out.push(b' ');
                    out.extend_from_slice(token.as_bytes());
                }
            },
            Self::Suffix(suffix) => match token.strip_suffix(suffix.as_str()) {
                Some(word) => {
                    out.extend_from_slice(word.as_bytes());
                    out.push(b' ');
                }
                None => out.extend_from_slice(token.as_bytes()),
            },
        }
    }
}

"use strict";
// Tokens are byte strings, given as a character for each byte; text is what whole characters of it
// spell. Nothing here becomes markup: all of it goes into the document as text.

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
// Within a text a joiner belongs to its neighbours; what turns the direction of others does not.
const HARMFUL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/g;

function bytesOf(data) {
  return Uint8Array.from(data, (character) => character.charCodeAt(0));
}

// The characters that bytes spell, or null if they do not.
function spelled(data) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytesOf(data));
  } catch {
    return null;
  }
}

function hexadecimal(data) {
  return Array.from(bytesOf(data), (byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(" ");
}

function pictured(character) {
  const code = character.charCodeAt(0);
  if (character === "\n") return "\u21b5";
  if (character === "\t") return "\u21e5";
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return "\u27e8U+" + code.toString(16).toUpperCase().padStart(4, "0") + "\u27e9";
}

// A token as it is shown in a cell: its spaces and controls can be seen.
function visible(text) {
  return text.replace(HIDDEN, pictured).replace(/ /g, "\u00b7");
}

// A piece of running text: its spaces and lines are kept.
function readable(text) {
  return text.replace(HARMFUL, pictured);
}

// How a token is shown: [text, whether it is raw bytes, its length in bytes, whether it is special].
function shown(voice, id) {
  const data = voice.tokens[id];
  if (data === undefined) {
    return { text: readable(voice.specials[id] ?? "id " + id), bytes: 0, special: true, raw: false };
  }
  const text = spelled(data);
  return text === null
    ? { text: hexadecimal(data), bytes: data.length, special: false, raw: true }
    : { text: visible(text), bytes: data.length, special: false, raw: false };
}

// How many columns a token takes where each byte has one.
function widthOf(token) {
  return token.special ? Math.max(3, token.text.length) : token.bytes;
}

// Reads ids one after the other; a character is given out with the token that completes it.
class Reader {
  constructor(voice) {
    this.voice = voice;
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this.lead = voice.lead;
  }

  // [{text, special}] that these ids add.
  read(ids) {
    const pieces = [];
    for (const id of ids) {
      const data = this.voice.tokens[id];
      if (data === undefined) {
        pieces.push({ text: readable(this.voice.specials[id] ?? "id " + id), special: true });
        continue;
      }
      const text = this.decoder.decode(bytesOf(data.slice(this.lead)), { stream: true });
      this.lead = 0;
      const last = pieces[pieces.length - 1];
      if (last && !last.special) last.text += text;
      else pieces.push({ text, special: false });
    }
    return pieces;
  }

  end() {
    return this.decoder.decode();
  }
}

// The text of a few ids by themselves.
function wording(voice, ids) {
  const data = ids.map((id) => voice.tokens[id] ?? "").join("");
  return readable(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(data)));
}

function lengthOf(voice, ids) {
  return ids.reduce((sum, id) => sum + (voice.tokens[id] ?? "").length, 0);
}

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

"use strict";

const at = (id) => document.getElementById(id);
let messages = [];
let model = null;
let running = null; // the AbortController of the reply under way

function headers() {
  const key = at("key").value;
  return { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
}

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

// The answer, or an Error with the server's own words.
async function ask(path, options) {
  const answer = await fetch(path, options);
  at("locked").hidden = answer.status !== 401;
  if (answer.ok) return answer;
  if (answer.status === 401) at("key").focus();
  let text = `the server answered ${answer.status}`;
  try {
    text = (await answer.json()).error.message;
  } catch {
    // no JSON: from something between the server and this page
  }
  throw new Error(text);
}

async function load() {
  const list = await (await ask("/v1/models", { headers: headers() })).json();
  model = list.data[0];
  at("name").textContent = model.id;
  document.title = model.id;
  at("hint").textContent = model.chat
    ? "Enter sends, Shift+Enter begins a line."
    : "This model knows no chats: it continues what you write.";
}

function bubble(kind) {
  const article = document.createElement("article");
  article.className = kind;
  article.append(document.createElement("p"));
  at("talk").append(article);
  return article;
}

// Each event of a stream as an object.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ") || part === "data: [DONE]") continue;
      yield JSON.parse(part.slice(6));
    }
  }
}

function request(text) {
  const body = {
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
    uag_parts: true,
  };
  const temperature = at("temperature").value;
  if (temperature !== "") body.temperature = Number(temperature);
  if (model.chat) return ["/v1/chat/completions", { ...body, messages }];
  return ["/v1/completions", { ...body, prompt: text }];
}

function show(article, choice) {
  for (const [text, drafted] of choice.uag_parts ?? []) {
    const span = document.createElement("span");
    span.className = drafted ? "drafted" : "own";
    span.textContent = text;
    article.firstChild.append(span);
  }
}

function rate(usage, begun) {
  const seconds = (performance.now() - begun) / 1000;
  const drafted = usage.completion_tokens_details.accepted_prediction_tokens;
  const share = usage.completion_tokens ? Math.round((100 * drafted) / usage.completion_tokens) : 0;
  const speed = seconds > 0 ? (usage.completion_tokens / seconds).toFixed(1) : "-";
  return `${usage.completion_tokens} tokens, ${speed} tokens/s, ${share}% drafted by the assistant`;
}

async function reply(text) {
  const [path, body] = request(text);
  running = new AbortController();
  const begun = performance.now();
  const article = bubble("assistant");
  const line = document.createElement("small");
  article.append(line);
  let said = "";
  try {
    const answer = await ask(path, {
      method: "POST",
      headers: headers(),
      body: JSON.stringify(body),
      signal: running.signal,
    });
    for await (const event of events(answer.body)) {
      if (event.error) throw new Error(event.error.message);
      for (const choice of event.choices) {
        said += choice.text ?? choice.delta?.content ?? "";
        show(article, choice);
      }
      if (event.usage) line.textContent = rate(event.usage, begun);
      scrollTo({ top: document.body.scrollHeight });
    }
  } finally {
    if (said) messages.push({ role: "assistant", content: said });
    else if (!article.textContent) article.remove();
    running = null;
  }
}

function busy(now) {
  at("send").hidden = now;
  at("stop").hidden = !now;
}

async function send() {
  const text = at("text").value;
  if (!text.trim() || running) return;
  trouble("");
  busy(true);
  try {
    if (model === null) await load();
    messages.push({ role: "user", content: text });
    const own = bubble("user");
    own.firstChild.textContent = text;
    try {
      await reply(text);
      at("text").value = "";
    } catch (error) {
      if (error.name !== "AbortError") {
        // As if it had not been sent, so that it can be sent again.
        if (messages.at(-1)?.role === "user") {
          messages.pop();
          own.remove();
        }
        throw error;
      }
      at("text").value = "";
    }
  } catch (error) {
    trouble(error.message);
  } finally {
    busy(false);
    at("text").focus();
  }
}

at("send").addEventListener("click", send);
at("stop").addEventListener("click", () => running?.abort());
at("again").addEventListener("click", () => {
  running?.abort();
  messages = [];
  at("talk").replaceChildren();
  trouble("");
  at("text").focus();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
at("locked").addEventListener("submit", (event) => {
  event.preventDefault();
  unlock();
});

function unlock() {
  load().then(() => trouble(""), (error) => trouble(error.message));
}

unlock();
at("text").focus();

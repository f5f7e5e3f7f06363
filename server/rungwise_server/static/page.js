// A small page over the public API: ask, read the sources, rate, correct. Everything that a model or a document wrote
// goes in as text, never as markup.
const $ = (id) => document.getElementById(id);
const key = new URLSearchParams(location.hash.slice(1)).get("key");
const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
const conversation = [];
let running = null;

const call = async (path, body, signal) => {
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  if (!response.ok) throw new Error((await response.json()).error.message);
  return response;
};

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines)
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
  }
}

const link = (citation, text) => {
  const a = document.createElement("a");
  a.href = new URL(citation.url).pathname;
  a.target = "_blank";
  a.title = citation.title;
  a.textContent = text;
  return a;
};

const show = (said, list, text, citations) => {
  // Offsets count characters (code points), as Python does.
  const characters = Array.from(text);
  const numbers = new Map();
  said.replaceChildren();
  list.replaceChildren();
  let at = 0;
  for (const c of [...citations].sort((a, b) => a.end_index - b.end_index)) {
    if (!numbers.has(c.url)) {
      numbers.set(c.url, numbers.size + 1);
      const li = document.createElement("li");
      li.append(link(c, c.title));
      list.append(li);
    }
    const marker = characters.slice(c.start_index, c.end_index).join("").match(/\s*[[【][\d,;、\s]+[\]】]$/)?.[0] ?? "";
    const until = c.end_index - Array.from(marker).length;
    if (until > at) said.append(characters.slice(at, until).join(""));
    said.append(link(c, `[${numbers.get(c.url)}]`));
    at = Math.max(at, c.end_index);
  }
  said.append(characters.slice(at).join(""));
};

const rate = (turn, id, said) => {
  const thanks = turn.querySelector(".thanks");
  const tell = async (body) => {
    try {
      await call("/v1/feedback", { inference_id: id, ...body });
      thanks.textContent = "Thank you, it is kept.";
      return true;
    } catch (error) {
      thanks.textContent = error.message;
      return false;
    }
  };
  for (const [name, value] of [["good", 1], ["bad", -1]])
    turn.querySelector(`.${name}`).onclick = async (event) => {
      const button = event.currentTarget;
      if (await tell({ kind: "rating", value })) button.setAttribute("aria-pressed", "true");
    };
  const form = turn.querySelector(".correction");
  turn.querySelector(".correct").onclick = () => {
    form.hidden = !form.hidden;
    const text = form.querySelector("textarea");
    text.value ||= said.replace(/\s*[[【][\d,;、\s]+[\]】]/g, "");
    text.focus();
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    const text = form.querySelector("textarea").value.trim();
    if (text && (await tell({ kind: "correction", text }))) form.hidden = true;
  };
};

$("ask").onsubmit = async (event) => {
  event.preventDefault();
  if (running) return running.abort();
  const question = $("question").value.trim();
  if (!question) return;
  const turn = $("turn").content.firstElementChild.cloneNode(true);
  const said = turn.querySelector(".said");
  const list = turn.querySelector(".sources");
  turn.querySelector(".asked").textContent = question;
  $("talk").append(turn);
  $("question").value = "";
  $("send").textContent = "Stop";
  turn.scrollIntoView({ block: "end" });
  running = new AbortController();
  let text = "";
  const citations = [];
  conversation.push({ role: "user", content: question });
  try {
    const body = { model: $("model").value, messages: conversation, stream: true };
    const response = await call("/v1/chat/completions", body, running.signal);
    let id = response.headers.get("x-request-id");
    const route = decodeURIComponent(response.headers.get("x-rungwise-route") ?? "");
    turn.querySelector(".why").textContent = `${response.headers.get("x-rungwise-candidate")}: ${route}`;
    for await (const chunk of events(response)) {
      if (chunk.error) throw new Error(chunk.error.message);
      id = chunk.id ?? id;
      const delta = chunk.choices[0]?.delta ?? {};
      text += delta.content ?? "";
      for (const annotation of delta.annotations ?? []) citations.push(annotation.url_citation);
      show(said, list, text, citations);
    }
    turn.querySelector("footer").hidden = false;
    rate(turn, id, text);
  } catch (error) {
    const told = document.createElement("p");
    told.className = "error";
    told.textContent = error.name === "AbortError" ? "Stopped." : error.message;
    said.after(told);
  } finally {
    if (text) conversation.push({ role: "assistant", content: text });
    else conversation.pop();
    running = null;
    $("send").textContent = "Ask";
    $("question").focus();
  }
};

$("question").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
};

try {
  for (const model of (await (await call("/v1/models")).json()).data) $("model").append(new Option(model.id));
} catch (error) {
  $("hint").textContent = `${error.message} Open this page with #key=YOUR_KEY at the end of its address.`;
}

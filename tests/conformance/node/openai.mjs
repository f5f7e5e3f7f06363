// openai-node against a server: BASE is its URL with /v1, KEY a key.
import assert from "node:assert/strict";
import OpenAI, { APIError, NotFoundError, toFile } from "openai";
import { BASE, KEY, QUESTION, WEATHER, collect, rejects, run } from "./cases.mjs";

const client = new OpenAI({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const messages = [{ role: "user", content: QUESTION }];
const weather = [{ role: "user", content: "What is the weather in Paris?" }];
const tools = [{ type: "function", function: WEATHER }];

await run({
  "models: list": async () => {
    const names = (await collect(client.models.list())).map((model) => model.id);
    assert.ok(names.includes("docs") && names.includes("assistant"));
  },
  "models: retrieve": async () => assert.equal((await client.models.retrieve("docs")).id, "docs"),
  "chat: an answer with its sources": async () => {
    const answer = await client.chat.completions.create({ model: "docs", messages });
    const [choice] = answer.choices;
    assert.match(choice.message.content, /28 days/);
    assert.match(choice.message.annotations[0].url_citation.url, /\/v1\/sources\//);
    assert.equal(choice.message.refusal, null);
  },
  "chat: a stream with usage": async () => {
    const chunks = await collect(
      await client.chat.completions.create({
        model: "docs",
        messages,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    assert.match(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), /28 days/);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  },
  "chat: the SDK's own stream helper": async () => {
    const stream = client.chat.completions.stream({ model: "assistant", messages });
    const final = await stream.finalChatCompletion();
    assert.match(final.choices[0].message.content, /annual leave/);
  },
  "chat: a round trip with a tool": async () => {
    const asked = await client.chat.completions.create({ model: "assistant", messages: weather, tools });
    const [call] = asked.choices[0].message.tool_calls;
    assert.equal(asked.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Paris" });
    const answered = await client.chat.completions.create({
      model: "assistant",
      messages: [...weather, asked.choices[0].message, { role: "tool", tool_call_id: call.id, content: "22 degrees" }],
      tools,
    });
    assert.match(answered.choices[0].message.content, /22 degrees/);
  },
  "chat: JSON by a schema": async () => {
    const format = {
      type: "json_schema",
      json_schema: { name: "said", strict: true, schema: { type: "object", properties: { echo: { type: "string" } } } },
    };
    const parsed = await client.chat.completions.parse({ model: "assistant", messages, response_format: format });
    assert.equal(JSON.parse(parsed.choices[0].message.content).echo.includes("annual leave"), true);
  },
  "chat: an unknown model is a NotFoundError": async () => {
    const error = await rejects(client.chat.completions.create({ model: "no-such", messages }));
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.ok(error.requestID);
  },
  "chat: a bad field is named": async () => {
    const error = await rejects(client.chat.completions.create({ model: "docs", messages, temperature: 9 }));
    assert.ok(error instanceof APIError);
    assert.deepEqual([error.status, error.param], [400, "temperature"]);
  },
  "errors: a wrong key": async () => {
    const other = new OpenAI({ baseURL: BASE, apiKey: "rw-wrong", maxRetries: 0 });
    assert.equal((await rejects(other.models.list())).status, 401);
  },
  "completions: an answer and a stream": async () => {
    const answer = await client.completions.create({ model: "assistant", prompt: "Say this" });
    assert.match(answer.choices[0].text, /Say this/);
    const pieces = await collect(await client.completions.create({ model: "assistant", prompt: "Say this", stream: true }));
    assert.match(pieces.map((piece) => piece.choices[0]?.text ?? "").join(""), /Say this/);
  },
  "embeddings: base64 by default": async () => {
    const { data } = await client.embeddings.create({ model: "default", input: ["a house", "a home"] });
    assert.equal(data.length, 2);
    const norm = Math.hypot(...data[0].embedding);
    assert.ok(Math.abs(norm - 1) < 1e-3, `norm ${norm}`);
  },
  "responses: an answer with its sources": async () => {
    const response = await client.responses.create({ model: "docs", input: QUESTION });
    assert.equal(response.status, "completed");
    assert.match(response.output_text, /28 days/);
    const message = response.output.find((item) => item.type === "message");
    assert.equal(message.content[0].annotations[0].type, "url_citation");
  },
  "responses: a stream, event by event": async () => {
    const events = await collect(await client.responses.create({ model: "docs", input: QUESTION, stream: true }));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    events.forEach((event, number) => assert.equal(event.sequence_number, number));
    const said = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    assert.match(said.join(""), /28 days/);
  },
  "responses: the SDK's own stream helper": async () => {
    const final = await client.responses.stream({ model: "assistant", input: "Say this" }).finalResponse();
    assert.match(final.output_text, /Say this/);
  },
  "responses: a conversation that goes on": async () => {
    const first = await client.responses.create({ model: "assistant", input: "My name is Alice." });
    const second = await client.responses.create({
      model: "assistant",
      input: "Recall what I said.",
      previous_response_id: first.id,
    });
    assert.equal(second.previous_response_id, first.id);
    const items = await collect(client.responses.inputItems.list(second.id));
    assert.ok(JSON.stringify(items).includes("Recall"));
    assert.equal((await client.responses.retrieve(first.id)).id, first.id);
    await client.responses.delete(first.id);
    assert.equal((await rejects(client.responses.retrieve(first.id))).status, 404);
  },
  "responses: a round trip with a function": async () => {
    const functions = [{ type: "function", strict: true, ...WEATHER }];
    const asked = await client.responses.create({ model: "assistant", input: weather, tools: functions });
    const call = asked.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Paris" });
    const answered = await client.responses.create({
      model: "assistant",
      input: [{ type: "function_call_output", call_id: call.call_id, output: "22 degrees" }],
      previous_response_id: asked.id,
      tools: functions,
    });
    assert.match(answered.output_text, /22 degrees/);
  },
  "responses: in the background": async () => {
    let response = await client.responses.create({ model: "assistant", input: "Say this", background: true });
    const until = Date.now() + 20_000;
    while (["queued", "in_progress"].includes(response.status) && Date.now() < until) {
      await new Promise((done) => setTimeout(done, 50));
      response = await client.responses.retrieve(response.id);
    }
    assert.equal(response.status, "completed");
    assert.match(response.output_text, /Say this/);
  },
  "files: upload, list, read, delete": async () => {
    const file = await client.files.create({
      file: await toFile(Buffer.from("hello"), "hello.txt"),
      purpose: "assistants",
    });
    assert.deepEqual([file.bytes, file.filename], [5, "hello.txt"]);
    assert.ok((await collect(client.files.list())).some((each) => each.id === file.id));
    assert.equal(await (await client.files.content(file.id)).text(), "hello");
    assert.equal((await client.files.delete(file.id)).deleted, true);
  },
  "vector stores: fill, search with a filter, ask": async () => {
    const store = await client.vectorStores.create({ name: "trips" });
    for (const [city, year] of [["Lisbon", 2024], ["Oslo", 2025]]) {
      const text = `# Trip\n\nThe team met in ${city} and stayed at the harbour hotel.\n`;
      const file = await client.files.create({
        file: await toFile(Buffer.from(text), `${city}.md`),
        purpose: "assistants",
      });
      const added = await client.vectorStores.files.createAndPoll(
        store.id,
        { file_id: file.id, attributes: { year } },
        { pollIntervalMs: 200 },
      );
      assert.equal(added.status, "completed", JSON.stringify(added.last_error));
    }
    const filter = { type: "gte", key: "year", value: 2025 };
    const found = await collect(client.vectorStores.search(store.id, { query: "Where did the team meet?", filters: filter }));
    assert.deepEqual(found.map((hit) => hit.filename), ["Oslo.md"]);
    const response = await client.responses.create({
      model: "docs",
      input: "At which hotel in Oslo did the team stay?",
      tools: [{ type: "file_search", vector_store_ids: [store.id], filters: filter }],
      include: ["file_search_call.results"],
    });
    const call = response.output.find((item) => item.type === "file_search_call");
    assert.equal(call.results[0].filename, "Oslo.md");
    const message = response.output.find((item) => item.type === "message");
    assert.equal(message.content[0].annotations[0]?.type, "file_citation", message.content[0].text);
    assert.equal((await client.vectorStores.delete(store.id)).deleted, true);
  },
  "batches: from lines to lines": async () => {
    const lines = [1, 2, 3].map((number) =>
      JSON.stringify({
        custom_id: `line-${number}`,
        method: "POST",
        url: "/v1/chat/completions",
        body: { model: "assistant", messages: [{ role: "user", content: `Number ${number}` }] },
      }),
    );
    const file = await client.files.create({
      file: await toFile(Buffer.from(lines.join("\n")), "in.jsonl"),
      purpose: "batch",
    });
    let batch = await client.batches.create({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
    const until = Date.now() + 60_000;
    while (!["completed", "failed", "expired", "cancelled"].includes(batch.status) && Date.now() < until) {
      await new Promise((done) => setTimeout(done, 200));
      batch = await client.batches.retrieve(batch.id);
    }
    assert.equal(batch.status, "completed", JSON.stringify(batch.errors));
    const out = (await (await client.files.content(batch.output_file_id)).text()).trim().split("\n").map(JSON.parse);
    assert.deepEqual(out.map((line) => line.custom_id).sort(), ["line-1", "line-2", "line-3"]);
  },
});

// Anthropic's SDK for JavaScript, for the clients that speak only Messages.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { BASE, KEY, QUESTION, WEATHER, rejects, run } from "./cases.mjs";

const client = new Anthropic({ baseURL: BASE.replace(/\/v1$/, ""), apiKey: KEY, maxRetries: 0 });
const asks = (content) => [{ role: "user", content }];
const tools = [{ name: WEATHER.name, description: WEATHER.description, input_schema: WEATHER.parameters }];

await run({
  "messages: an answer": async () => {
    const message = await client.messages.create({ model: "docs", max_tokens: 200, messages: asks(QUESTION) });
    assert.match(message.content.map((block) => block.text ?? "").join(""), /28 days/);
    assert.equal(message.stop_reason, "end_turn");
  },
  "messages: a stream by the SDK's helper": async () => {
    const stream = client.messages.stream({ model: "docs", max_tokens: 200, messages: asks(QUESTION) });
    assert.match(await stream.finalText(), /28 days/);
  },
  "messages: a round trip with a tool": async () => {
    const weather = asks("What is the weather in Paris?");
    const asked = await client.messages.create({ model: "assistant", max_tokens: 200, messages: weather, tools });
    const use = asked.content.find((block) => block.type === "tool_use");
    assert.equal(asked.stop_reason, "tool_use");
    assert.deepEqual(use.input, { city: "Paris" });
    const result = { type: "tool_result", tool_use_id: use.id, content: "22 degrees" };
    const answered = await client.messages.create({
      model: "assistant",
      max_tokens: 200,
      tools,
      messages: [...weather, { role: "assistant", content: asked.content }, { role: "user", content: [result] }],
    });
    assert.match(answered.content[0].text, /22 degrees/);
  },
  "messages: a streamed tool call": async () => {
    const stream = client.messages.stream({
      model: "assistant",
      max_tokens: 200,
      messages: asks("What is the weather in Paris?"),
      tools,
    });
    const use = (await stream.finalMessage()).content.find((block) => block.type === "tool_use");
    assert.deepEqual(use.input, { city: "Paris" });
  },
  "messages: errors in Anthropic's shape": async () => {
    const error = await rejects(client.messages.create({ model: "no-such", max_tokens: 9, messages: asks("hi") }));
    assert.ok(error instanceof Anthropic.NotFoundError);
    assert.equal(error.error.error.type, "not_found_error");
  },
});

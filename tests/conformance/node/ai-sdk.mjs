// Vercel's AI SDK, with its `openai` provider: Responses by default, chat by name.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { BASE, KEY, QUESTION, WEATHER, collect, run } from "./cases.mjs";

const openai = createOpenAI({ baseURL: BASE, apiKey: KEY });
const models = { responses: openai.responses, chat: openai.chat };
const get_weather = tool({
  description: WEATHER.description,
  inputSchema: jsonSchema(WEATHER.parameters),
  execute: async ({ city }) => `22 degrees in ${city}`,
});

const cases = {};
for (const [surface, model] of Object.entries(models)) {
  cases[`${surface}: generateText with sources`] = async () => {
    const { text, sources } = await generateText({ model: model("docs"), prompt: QUESTION });
    assert.match(text, /28 days/);
    assert.match(sources[0].url, /\/v1\/sources\//);
  };
  cases[`${surface}: streamText`] = async () => {
    const result = streamText({ model: model("docs"), prompt: QUESTION });
    const parts = await collect(result.fullStream);
    assert.deepEqual(parts.filter((part) => part.type === "error"), []);
    assert.match(await result.text, /28 days/);
    assert.equal(await result.finishReason, "stop");
  };
  cases[`${surface}: a tool, called and answered`] = async () => {
    const { text, steps } = await generateText({
      model: model("assistant"),
      prompt: "What is the weather in Paris?",
      tools: { get_weather },
      stopWhen: stepCountIs(3),
    });
    assert.equal(steps[0].toolCalls[0].toolName, "get_weather");
    assert.match(text, /22 degrees/);
  };
  cases[`${surface}: a streamed tool call`] = async () => {
    const result = streamText({
      model: model("assistant"),
      prompt: "What is the weather in Paris?",
      tools: { get_weather },
      stopWhen: stepCountIs(3),
    });
    assert.match(await result.text, /22 degrees/);
  };
  cases[`${surface}: generateObject`] = async () => {
    const schema = jsonSchema({
      type: "object",
      properties: { echo: { type: "string" } },
      required: ["echo"],
      additionalProperties: false,
    });
    const { object } = await generateObject({ model: model("assistant"), schema, prompt: QUESTION });
    assert.match(object.echo, /annual leave/);
  };
}
cases["embeddings: embedMany"] = async () => {
  const { embeddings } = await embedMany({ model: openai.embedding("default"), values: ["a house", "a home"] });
  assert.equal(embeddings.length, 2);
};
await run(cases);

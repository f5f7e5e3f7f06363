// Runs named cases one by one and tells each outcome as a line of JSON: {"case", "error"?}.
export async function run(cases) {
  for (const [name, body] of Object.entries(cases)) {
    const line = { case: name };
    try {
      await body();
    } catch (error) {
      line.error = String(error?.stack ?? error);
    }
    console.log(JSON.stringify(line));
  }
}

export async function collect(stream) {
  const all = [];
  for await (const piece of stream) all.push(piece);
  return all;
}

export async function rejects(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

export const { BASE, KEY } = process.env;
export const QUESTION = "How many days of annual leave do I have?";
export const WEATHER = {
  name: "get_weather",
  description: "The weather in a city",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};

// The official OpenAI SDK for Node, through the fleet that run.py started.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import OpenAI, { NotFoundError } from "openai";

const fleet = JSON.parse(readFileSync(process.env.GEARSHIFT_E2E, "utf8"));
const model = "smollm2-135m";
const messages = [{ role: "user", content: "What is the capital of France?" }];
const paris = "The capital of France is Paris.";
const greedy = { model, temperature: 0 };

const base = fleet.gearshift?.url ?? fleet.engines.find((engine) => engine.model === model).url;
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 0 });

async function gather(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

test("chat", async () => {
  const answer = await client.chat.completions.create({ ...greedy, messages, max_tokens: 24 });
  assert.equal(answer.choices[0].message.content, paris);
});

test("chat, streamed", async () => {
  const stream = await client.chat.completions.create({ ...greedy, messages, max_tokens: 24, stream: true });
  const chunks = await gather(stream);
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), paris);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

test("completion", async () => {
  const prompt = "The capital of France is";
  const answer = await client.completions.create({ ...greedy, prompt, max_tokens: 8 });
  assert.match(answer.choices[0].text, /Paris/);
});

test("response, streamed", async () => {
  const input = messages[0].content;
  const stream = await client.responses.create({ ...greedy, input, max_output_tokens: 24, stream: true });
  const events = await gather(stream);
  assert.equal(events.at(-1).type, "response.completed");
  assert.equal(events.at(-1).response.output_text ?? events.at(-1).response.output[0].content[0].text, paris);
});

test("models", async () => {
  const models = await gather(await client.models.list());
  assert.ok(models.some(({ id }) => id === model));
});

test("unknown model", async () => {
  const request = client.chat.completions.create({ model: "no-such-model", messages });
  await assert.rejects(request, (error) => error instanceof NotFoundError && /no-such-model/.test(error.message));
});

test("16 streams at once", async () => {
  const request = { ...greedy, messages, max_tokens: 24, stream: true };
  const one = async () => gather(await client.chat.completions.create(request));
  const streams = await Promise.all(Array.from({ length: 16 }, one));
  for (const chunks of streams) {
    assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), paris);
  }
});

test("aborted stream", async () => {
  const request = { ...greedy, messages, max_tokens: 1500, ignore_eos: true, stream: true };
  const stream = await client.chat.completions.create(request);
  let seen = 0;
  for await (const _ of stream) {
    seen += 1;
    if (seen === 3) stream.controller.abort();
  }
  assert.ok(seen < 100);
});

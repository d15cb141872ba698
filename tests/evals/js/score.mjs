// Scores the cases on standard input with the original, and prints their scores as one JSON object.
import * as prebuilt from '@mastra/evals/scorers/prebuilt';

const read = async () => {
  const parts = [];
  for await (const part of process.stdin) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
};

// A judge that says what the case tells it to, one answer a call.
const judge = answers => {
  const left = [...answers];
  const next = () => {
    if (left.length === 0) throw new Error('the judge was asked once too often');
    const answer = left.shift();
    return typeof answer === 'string' ? answer : JSON.stringify(answer);
  };
  const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
  return {
    specificationVersion: 'v2',
    provider: 'scripted',
    modelId: 'judge',
    supportedUrls: {},
    doGenerate: async () => ({
      content: [{ type: 'text', text: next() }], finishReason: 'stop', usage, warnings: [],
    }),
    doStream: async () => ({
      stream: new ReadableStream({
        start(controller) {
          controller.enqueue({ type: 'stream-start', warnings: [] });
          controller.enqueue({ type: 'text-start', id: '1' });
          controller.enqueue({ type: 'text-delta', id: '1', delta: next() });
          controller.enqueue({ type: 'text-end', id: '1' });
          controller.enqueue({ type: 'finish', finishReason: 'stop', usage });
          controller.close();
        },
      }),
    }),
  };
};

const make = one => {
  const factory = prebuilt[one.scorer];
  if (one.positional) return factory(...one.positional);
  if (one.answers === null) return factory(one.args ?? undefined);
  return factory({ model: judge(one.answers), ...one.args });
};

const scores = {};
for (const one of await read()) {
  try {
    scores[one.name] = (await make(one).run(one.run)).score;
  } catch (error) {
    scores[one.name] = 'error';
    console.error(one.name, error.message);
  }
}
console.log(JSON.stringify(scores));
process.exit(0);

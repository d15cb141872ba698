// Mastra's own client of Inngest begins workflows that a Python worker serves. Prints one line of
// JSON for each thing it did.
import { build } from './definitions.mjs';

const { mastra } = build(process.argv[2], 'typescript-caller');
const say = (name, value) => console.log(JSON.stringify({ name, value }));
const end = result => ({ status: result.status, result: result.result, error: result.error?.message });

const chain = await mastra.getWorkflow('chain').createRun();
say('start', end(await chain.start({ inputData: { value: 1 } })));

const failing = await mastra.getWorkflow('failing').createRun();
say('fail', end(await failing.start({ inputData: { value: 1 } })));

const streamed = await mastra.getWorkflow('chain').createRun();
const output = streamed.stream({ inputData: { value: 5 } });
const chunks = [];
for await (const chunk of output.fullStream) chunks.push([chunk.type, chunk.payload?.id ?? null]);
say('stream', chunks);
say('stream-result', end(await output.result));

const asking = await mastra.getWorkflow('asking').createRun();
say('suspend', end(await asking.start({ inputData: { value: 1 } })));
say('resume', end(await asking.resume({ step: 'ask', resumeData: { add: 10 } })));

const napping = await mastra.getWorkflow('napping').createRun();
const sleeping = napping.start({ inputData: { value: 1 } });
await new Promise(resolve => {
  const stop = napping.watch(event => {
    if (event.type === 'workflow-step-waiting') resolve(stop());
  });
});
await napping.cancel();
say('cancel', { ...end(await sleeping), runId: napping.runId });
process.exit(0);

// Many runs at once, of the original, on the Inngest server at the first argument: app and caller in
// one process. For each line on stdin it prints one of JSON:
//   at-once N   N runs of ten steps of 20 ms: seconds, and seconds of the processor
//   nap N       N more runs that sleep: bytes of memory before and after, all of them waited for
import http from 'node:http';
import readline from 'node:readline';
import { InMemoryStore } from '@mastra/core/storage';
import { Mastra } from '@mastra/core';
import { createServe, init } from '@mastra/inngest';
import { Inngest } from 'inngest';
import { serve } from 'inngest/node';
import { z } from 'zod';

const inngest = new Inngest({ id: 'many-original', isDev: true, baseUrl: process.argv[2] });
const { createWorkflow, createStep } = init(inngest);
const value = z.object({ value: z.number() });
const pause = ms => new Promise(done => setTimeout(done, ms));
const step = (id, ms) =>
  createStep({
    id,
    inputSchema: value,
    outputSchema: value,
    execute: async ({ inputData }) => {
      if (ms) await pause(ms);
      return { value: inputData.value + 1 };
    },
  });

const many = createWorkflow({ id: 'many-original', inputSchema: value, outputSchema: value });
for (let number = 0; number < 10; number++) many.then(step(`s${number}`, 20));
many.commit();
const nap = createWorkflow({ id: 'nap-original', inputSchema: value, outputSchema: value })
  .then(step('a', 0))
  .sleep(3_600_000)
  .then(step('b', 0))
  .commit();
const mastra = new Mastra({ workflows: { many, nap }, storage: new InMemoryStore(), logger: false });

const atOnce = async count => {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const results = await Promise.all(
    Array.from({ length: count }, async () => {
      const run = await mastra.getWorkflow('many').createRun();
      return run.start({ inputData: { value: 0 } });
    }),
  );
  const wall = (performance.now() - begun) / 1000;
  const bad = results.filter(result => result.status !== 'success' || result.result.value !== 10).length;
  await pause(500);
  const used = process.cpuUsage(cpu);
  return { wall, cpu: (used.user + used.system) / 1e6, bad };
};

let asleep = 0;
const sleepMore = async count => {
  const before = process.memoryUsage().rss;
  for (let number = 0; number < count; number++) {
    const run = await mastra.getWorkflow('nap').createRun();
    run.start({ inputData: { value: 0 } }).catch(() => {});
    asleep++;
    if (asleep % 25 === 0) await pause(250);
  }
  await pause(5000);
  globalThis.gc?.();
  return { before, after: process.memoryUsage().rss };
};

const say = told => console.log(JSON.stringify(told));
http.createServer(createServe(serve)({ mastra, inngest })).listen(0, '127.0.0.1', async function () {
  const url = `http://127.0.0.1:${this.address().port}/api/inngest`;
  const synced = await fetch(url, { method: 'PUT' });
  say({ status: synced.status });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [what, count] = line.split(' ');
    say(await (what === 'nap' ? sleepMore : atOnce)(Number(count)));
  }
  process.exit(0);
});

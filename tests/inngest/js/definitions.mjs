// The workflows that both sides have, under the same ids.
import { InMemoryStore } from '@mastra/core/storage';
import { Mastra } from '@mastra/core';
import { init } from '@mastra/inngest';
import { Inngest } from 'inngest';
import { z } from 'zod';

export const build = (url, app) => {
  const inngest = new Inngest({ id: app, isDev: true, baseUrl: url });
  const { createWorkflow, createStep } = init(inngest);
  const value = z.object({ value: z.number() });

  const step = (id, execute, more = {}) =>
    createStep({ id, inputSchema: value, outputSchema: value, execute, ...more });
  const workflow = id => createWorkflow({ id, inputSchema: value, outputSchema: value });
  const add = id => step(id, async ({ inputData }) => ({ value: inputData.value + 1 }));
  const ask = step(
    'ask',
    async ({ inputData, resumeData, suspend }) =>
      resumeData ? { value: inputData.value + resumeData.add } : await suspend({ asked: inputData.value }),
    { resumeSchema: z.object({ add: z.number() }), suspendSchema: z.object({ asked: z.number() }) },
  );
  const fail = step('fail', async () => {
    throw new Error('no luck');
  });

  const workflows = {
    chain: workflow('chain').then(add('a')).then(add('b')).commit(),
    asking: workflow('asking').then(add('a')).then(ask).then(add('b')).commit(),
    failing: workflow('failing').then(add('a')).then(fail).commit(),
    looping: workflow('looping').dountil(add('a'), async ({ inputData }) => inputData.value >= 3).commit(),
    outer: workflow('outer').then(add('a')).then(workflow('inner').then(ask).then(add('c')).commit()).then(add('b')).commit(),
    napping: workflow('napping').then(add('a')).sleep(60_000).then(add('b')).commit(),
  };
  return { inngest, mastra: new Mastra({ workflows, storage: new InMemoryStore(), logger: false }) };
};

// Records what the original's adapter sends, into original.json: for one run of an agent with a tool, one
// that waits for approval, and one of a workflow with an agent in a step. It needs @mastra/ai-sdk 1.10.4 and
// @mastra/core 1.71.0 beside it, which the tests do not.
import { Mastra } from '@mastra/core';
import { Agent } from '@mastra/core/agent';
import { createTool } from '@mastra/core/tools';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import { InMemoryStore } from '@mastra/core/storage';
import { handleChatStream, handleWorkflowStream } from '@mastra/ai-sdk';
import { z } from 'zod';
import { writeFileSync } from 'node:fs';

const usage = { inputTokens: 10, outputTokens: 5, totalTokens: 15 };
const finish = reason => ({ type: 'finish', finishReason: reason, usage });
const words = (id, ...texts) => [{ type: 'text-start', id },
  ...texts.map(delta => ({ type: 'text-delta', id, delta })), { type: 'text-end', id }];
const call = (id, name, args) => {
  const text = JSON.stringify(args);
  return [{ type: 'tool-input-start', id, toolName: name },
    { type: 'tool-input-delta', id, delta: text }, { type: 'tool-input-end', id },
    { type: 'tool-call', toolCallId: id, toolName: name, input: text }];
};
const turns = prompt => {
  const last = prompt.at(-1);
  if (last.role === 'tool') return [...words('t2', 'It is ', 'cold.'), finish('stop')];
  const text = last.content.map?.(part => part.text).join('') ?? last.content;
  if (text.includes('pay')) return [...words('t1', 'I will. '), ...call('call_1', 'pay', { to: 'ann' }), finish('tool-calls')];
  if (text.includes('plain')) return [...words('t1', 'A ', 'plan.'), finish('stop')];
  return [...words('t1', 'Let me see. '), ...call('call_1', 'weather', { city: 'Oslo' }), finish('tool-calls')];
};
const model = {
  specificationVersion: 'v2', provider: 'mock', modelId: 'mock', supportedUrls: {},
  doGenerate: async () => { throw new Error('not here'); },
  doStream: async ({ prompt }) => ({
    stream: new ReadableStream({ start(controller) {
      for (const part of [{ type: 'stream-start', warnings: [] }, ...turns(prompt)]) controller.enqueue(part);
      controller.close();
    } }),
  }),
};
const weather = createTool({ id: 'weather', description: 'Weather', inputSchema: z.object({ city: z.string() }),
  execute: async (input, context) => {
    await context.writer?.custom({ type: 'data-progress', id: 'p', data: { done: 1 } });
    await context.writer?.custom({ type: 'data-progress', id: 'p', data: { done: 2 } });
    return { city: input.city, degrees: 4 };
  } });
const pay = createTool({ id: 'pay', description: 'Pay', inputSchema: z.object({ to: z.string() }), requireApproval: true,
  execute: async input => `paid ${input.to}` });
const agent = new Agent({ id: 'a', name: 'a', instructions: 'Be brief.', model, tools: { weather, pay } });
const any = z.object({ city: z.string() });
const look = createStep({ id: 'look', inputSchema: any, outputSchema: any, execute: async ({ inputData, writer }) => {
  await writer.custom({ type: 'data-found', data: { n: 1 } });
  return inputData;
} });
const plan = createStep({ id: 'plan', inputSchema: any, outputSchema: z.object({ text: z.string() }),
  execute: async ({ mastra, writer }) => {
    const stream = await mastra.getAgent('a').stream('plain');
    await stream.fullStream.pipeTo(writer);
    return { text: await stream.text };
  } });
const trip = createWorkflow({ id: 'trip', inputSchema: any, outputSchema: z.object({ text: z.string() }) }).then(look).then(plan).commit();
const mastra = new Mastra({ agents: { a: agent }, workflows: { trip }, storage: new InMemoryStore(), logger: false });

async function all(stream) { const out = []; for await (const chunk of stream) out.push(chunk); return out; }
const user = text => ({ id: 'u1', role: 'user', parts: [{ type: 'text', text }] });
const recorded = {};
recorded.tool = await all(await handleChatStream({ mastra, agentId: 'a', version: 'v6', params: { messages: [user('weather')] } }));
recorded.approval = await all(await handleChatStream({ mastra, agentId: 'a', version: 'v6', params: { messages: [user('pay')] } }));
recorded.workflow = await all(await handleWorkflowStream({ mastra, workflowId: 'trip', version: 'v6', params: { inputData: { city: 'Oslo' } } }));
writeFileSync('original.json', JSON.stringify(recorded));
process.exit(0);

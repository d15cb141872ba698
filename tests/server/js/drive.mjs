// Mastra's own client against our server. Prints one line of JSON for each thing it did.
import { MastraClient } from '@mastra/client-js';

const client = new MastraClient({ baseUrl: process.argv[2], retries: 0 });
const say = (name, value) => console.log(JSON.stringify({ name, value }));

const collect = async stream => {
  const found = [];
  for await (const chunk of stream) found.push(chunk);
  return found;
};

const agents = await client.listAgents();
say('agents', Object.keys(agents));

const agent = client.getAgent('planningAgent');
say('details', (await agent.details()).name);
say('generate', (await agent.generate('hello')).text);

const answer = await agent.stream('hello');
const chunks = [];
await answer.processDataStream({ onChunk: async chunk => void chunks.push(chunk) });
say('stream', chunks.map(chunk => chunk.type));
say('text', chunks.filter(c => c.type === 'text-delta').map(c => c.payload.text).join(''));

const used = await agent.stream('please use tool');
const calls = [];
await used.processDataStream({ onChunk: async chunk => void calls.push(chunk.type) });
say('tool-stream', [...new Set(calls)]);

const object = await agent.generate('hello', {
  structuredOutput: {
    schema: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false },
  },
});
say('object', object.object);

say('agent-tool', await agent.executeTool('get-weather', { data: { city: 'Oslo' } }));
say('tools', Object.keys(await client.listTools()));
say('tool', await client.getTool('get-weather').execute({ data: { city: 'Oslo' } }));

const workflows = await client.listWorkflows();
say('workflows', Object.keys(workflows));
const planner = client.getWorkflow('activityPlanningWorkflow');
say('graph', (await planner.details()).stepGraph.map(node => node.type));

const run = await planner.createRun();
say('start-async', (await run.startAsync({ inputData: { city: 'Rainytown' } })).status);
say('run', (await planner.runById(run.runId)).status);
say('runs', (await planner.runs()).total);

const streamed = await planner.createRun();
const events = await collect(await streamed.stream({ inputData: { city: 'New York' } }));
say('events', events.map(event => event.type));
const observed = await collect(await streamed.observe());
say('observed', observed.map(event => event.type));
const tail = await collect(await streamed.observe({ offset: events.length - 1 }));
say('observed-tail', tail.map(event => event.type));

const approval = client.getWorkflow('approvalWorkflow');
const waiting = await approval.createRun();
const suspended = await waiting.startAsync({ inputData: { value: 1 } });
say('suspended', [suspended.status, suspended.suspended]);
const resumed = await waiting.resumeAsync({ step: 'approve', resumeData: { add: 5 } });
say('resumed', [resumed.status, resumed.result]);

const again = await approval.createRun();
await collect(await again.stream({ inputData: { value: 1 } }));
const rest = await collect(await again.resumeStream({ step: ['approve'], resumeData: { add: 5 } }));
say('resume-stream', rest.at(-1).payload.finalWorkflowResult);

const slow = client.getWorkflow('slowWorkflow');
const doomed = await slow.createRun();
await doomed.start({ inputData: { value: 1 } });
say('cancel', await doomed.cancel());
say('canceled', (await slow.runById(doomed.runId)).status);

try {
  await client.getWorkflow('nope').details();
} catch (error) {
  say('unknown', error.status ?? String(error));
}

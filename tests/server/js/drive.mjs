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

// Memory: threads, what they hold, notes, and an agent that remembers.
const agentId = 'planningAgent';
const thread = await client.createMemoryThread({
  agentId, threadId: 'thread-1', resourceId: 'ada', title: 'A trip', metadata: { colour: 'red' },
});
say('thread', [thread.id, thread.resourceId, thread.title, thread.metadata]);
await client.createMemoryThread({ agentId, resourceId: 'bob', title: 'Another' });
const threads = await client.listMemoryThreads({ resourceId: 'ada', agentId });
say('threads', [threads.total, threads.threads.map(found => found.id)]);
const held = client.getMemoryThread({ threadId: 'thread-1', agentId });
say('thread-get', (await held.get()).title);
say('thread-update', (await held.update({ title: 'A walk', resourceId: 'ada', metadata: { colour: 'blue' } })).title);

await agent.generate('remember me', { memory: { thread: 'thread-1', resource: 'ada' } });
const said = await held.listMessages();
say('messages', said.messages.map(message => message.role));
const saved = await client.saveMessageToMemory({
  agentId,
  messages: [{
    id: 'message-1', role: 'user', threadId: 'thread-1', resourceId: 'ada', type: 'text', createdAt: new Date(),
    content: { format: 2, parts: [{ type: 'text', text: 'by hand' }] },
  }],
});
say('saved', saved.messages.map(message => message.id));
say('messages-by-id', (await client.listThreadMessages('thread-1', { agentId })).messages.length);
say('messages-paged', (await held.listMessages({ perPage: 1, page: 0 })).messages.length);
const ordered = { orderBy: { field: 'createdAt', direction: 'ASC' } };
say('messages-asked-for', (await held.listMessages({ ...ordered, perPage: 1, filter: { roles: ['assistant'] } })).messages.map(message => message.role));
say('threads-asked-for', [
  (await client.listMemoryThreads({ agentId, resourceId: 'ada', metadata: { colour: 'blue' }, ...ordered })).total,
  (await client.listMemoryThreads({ agentId, resourceId: 'ada', metadata: { colour: 'red' } })).total,
]);
const gone = await held.deleteMessages(['message-1'], { agentId });
say('messages-delete', [gone.success, (await held.listMessages()).messages.length]);
say('search', (await client.searchMemory({ agentId, resourceId: 'ada', searchQuery: 'remember' })).count > 0);
const clone = await held.clone({
  agentId, title: 'Another walk', metadata: { why: 'to try' }, options: { messageLimit: 1, messageFilter: { startDate: new Date(0) } },
});
const copied = clone.clonedMessages.map(message => [message.role, message.threadId === clone.thread.id]);
say('thread-clone', [clone.thread.title, clone.thread.metadata.clone.sourceThreadId, clone.thread.metadata.why, copied]);
const second = client.getMemoryThread({ threadId: clone.thread.id, agentId });
say('clone-messages', (await second.listMessages()).messages.map(message => message.role));
await second.delete();
say('memory-status', (await client.getMemoryStatus(agentId)).result);
say('memory-config', typeof (await client.getMemoryConfig({ agentId })).config.lastMessages);
say('thread-delete', (await held.delete({ agentId })).result ?? true);
say('threads-left', (await client.listMemoryThreads({ resourceId: 'ada', agentId })).total);
try {
  await held.get();
} catch (error) {
  say('thread-gone', error.status ?? String(error));
}

// Approval of a tool call.
const mail = client.getAgent('mailAgent');
const asked = [];
await (await mail.stream('please use tool')).processDataStream({ onChunk: async chunk => void asked.push(chunk) });
const waits = asked.at(-1);
say('approval', waits.type);
const pending = await mail.listSuspendedRuns();
say('suspended-runs', pending.runs.map(found => found.runId === waits.runId));
say('suspended-later', (await mail.listSuspendedRuns({ fromDate: new Date(Date.now() + 60_000) })).total);
const approved = await mail.approveToolCallGenerate({ runId: waits.runId, toolCallId: waits.payload.toolCallId });
say('approved', approved.text);

// What Studio shows.
const traces = await client.listTraces({ pagination: { page: 0, perPage: 5 } });
say('traces', traces.spans.length);
say('trace', (await client.getTrace(traces.spans[0].traceId)).spans.length > 0);
const fail = await client.getWorkflow('failWorkflow').createRun();
say('failed', (await fail.startAsync({ inputData: { value: 1 } })).status);
const transport = (await client.listLogTransports()).transports[0];
say('logs', (await client.getLogForRun({ runId: fail.runId, transportId: transport })).logs.map(log => log.level));

try {
  await client.getWorkflow('nope').details();
} catch (error) {
  say('unknown', error.status ?? String(error));
}

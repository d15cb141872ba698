// Mastra's own client: schedules of workflows and agents. One line of JSON each.
import { MastraClient } from '@mastra/client-js';

const client = new MastraClient({ baseUrl: process.argv[2], retries: 0 });
const say = (name, value) => console.log(JSON.stringify({ name, value }));
const until = async check => {
  for (let tries = 0; tries < 600; tries++) {
    const found = await check();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  throw new Error('it took too long');
};

const declared = await client.listSchedules({ workflowId: 'flow' });
say('declared', declared.schedules.map(row => [row.id, row.workflowId, row.cron, row.status, row.inputData]));

const made = await client.createSchedule({
  workflowId: 'flow', id: 'nightly', cron: '0 3 * * *', timezone: 'Europe/Berlin',
  inputData: { n: 7 }, resourceId: 'ada', metadata: { a: 1 },
});
say('made', [made.id, made.timezone, made.status, made.resourceId, made.metadata, made.nextFireAt > Date.now()]);
say('got', (await client.getSchedule(made.id)).inputData);
say('updated', (await client.updateSchedule(made.id, { cron: '0 4 * * *' })).cron);
say('paused', (await client.pauseSchedule(made.id)).status);
say('paused-listed', (await client.listSchedules({ status: 'paused' })).schedules.map(row => row.id));
say('resumed', (await client.resumeSchedule(made.id)).status);

const run = await client.runSchedule(made.id);
say('run', [run.scheduleId, typeof run.claimId, typeof run.scheduledFireAt]);
const fired = await until(async () => {
  const { triggers } = await client.listScheduleTriggers(made.id, { limit: 5 });
  return triggers.length && triggers[0].run?.status === 'success' && triggers;
});
say('fired', fired.map(row => [row.runId === run.claimId, row.outcome, row.triggerKind, row.run.status]));
const of = await client.getWorkflow('flow').runById(run.claimId);
say('result', [of.result, of.resourceId]);
say('none-later', (await client.listScheduleTriggers(made.id, { fromActualFireAt: Date.now() + 60000 })).triggers);

const secondly = await client.createSchedule({ workflowId: 'flow', cron: '* * * * * *' });
const ticked = await until(async () => {
  const found = await client.getSchedule(secondly.id);
  return found.lastRun?.status === 'success' && found;
});
say('ticked', [ticked.id.startsWith('schedule_'), ticked.lastRunId.startsWith(`sched_${secondly.id}_`), typeof ticked.lastRun.durationMs]);

const asked = await client.createSchedule({ agentId: 'echo', id: 'morning', cron: '0 8 * * *', prompt: 'News?', name: 'News' });
say('asked', [asked.id, asked.agentId, asked.prompt, asked.name]);
await client.runSchedule(asked.id);
const answered = await until(async () => {
  const { triggers } = await client.listScheduleTriggers(asked.id);
  return triggers.length && triggers;
});
say('answered', answered.map(row => [row.outcome, row.triggerKind]));
say('by-agent', (await client.listSchedules({ agentId: 'echo' })).schedules.map(row => row.id));
say('by-name', (await client.listSchedules({ name: 'News' })).schedules.map(row => row.id));

const refused = async (...calls) => Promise.all(calls.map(call => call.then(() => 200, error => error.status)));
say('refused', await refused(
  client.createSchedule({ workflowId: 'flow', cron: 'nonsense' }),
  client.createSchedule({ workflowId: 'flow', cron: '@daily', id: 'nightly' }),
  client.createSchedule({ workflowId: 'nothing', cron: '@daily' }),
  client.createSchedule({ workflowId: 'flow', agentId: 'echo', cron: '@daily' }),
  client.createSchedule({ workflowId: 'flow', cron: '@daily', timezone: 'Europe/Atlantis' }),
  client.createSchedule({ workflowId: 'flow', cron: '@daily', inputData: 5 }),
  client.createSchedule({ agentId: 'echo', cron: '@daily' }),
  client.createSchedule({ agentId: 'echo', cron: '@daily', prompt: '?', tagName: 'x' }),
  client.updateSchedule(made.id, { prompt: '?' }),
  client.getSchedule('nothing'),
));
say('deleted', (await client.deleteSchedule(made.id)).message);
say('gone', await refused(client.getSchedule(made.id), client.deleteSchedule(made.id)));

// Opens Mastra Studio in a headless browser and goes through what a user would do.
// Called by studio_check.py: node studio_check.mjs STUDIO_URL SERVER_URL OUT_FOLDER BROWSER PACKAGES PARTS
// A line a fact: `value` is true or what is wrong, `seen` is what the page shows and the server's storage has to agree with.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [studio, server, out, browserPath, packages, parts] = process.argv.slice(2);
const wants = part => parts.split(',').includes(part);
const { chromium } = createRequire(join(packages, 'package.json'))('playwright-core');

const browser = await chromium.launch({
  executablePath: browserPath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
const problems = [];
// What is asked before it is there: a thread that the first message makes, the memory of an agent that has none.
const expected = [/404 .*\/memory\/threads\/[0-9a-f-]{36}\?/, /400 .*\/memory\/threads\/[0-9a-f-]{36}.*agentId=mailAgent/];
page.on('response', answer => {
  const what = `${answer.status()} ${answer.url()}`;
  if (!answer.url().startsWith(server) || answer.status() < 400 || expected.some(known => known.test(what))) return;
  problems.push(what);
});
page.on('console', message => {
  const text = message.text();
  // Studio's own: its event stream for reloads, the memory of an agent without, and the stream after an approval,
  // which begins at the tool's result. And what is counted above.
  const known = /EventSource|Failed to load resource|Memory is not initialized|tool_result must be preceded/;
  if (message.type() === 'error' && !known.test(text)) problems.push(`console: ${text.slice(0, 300)}`);
});
page.on('pageerror', error => problems.push(`page error: ${error.message}`));

const shot = name => page.screenshot({ path: join(out, `${name}.png`) });
const say = (name, value) => console.log(JSON.stringify({ name, value }));
// What is shown is compared at once: the script goes on when that is done.
const show = (name, seen) => new Promise(done => {
  process.stdin.once('data', done);
  console.log(JSON.stringify({ name, seen }));
});
const open = async path => {
  await page.goto(studio + path, { waitUntil: 'domcontentloaded' });
  await page.waitForLoadState('networkidle', { timeout: 8000 }).catch(() => {});
};
const seen = word => page.waitForFunction(w => document.body.innerText.includes(w), word, { timeout: 30000 });
const has = async (name, ...words) => {
  const missing = [];
  for (const word of words) await seen(word).catch(() => missing.push(word));
  say(name, missing.length ? { missing } : true);
};

// What a graph shows of a run: its id, its state, and the state of each step.
const ID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
const graph = async (name, workflow) => {
  await page.waitForTimeout(500);
  const steps = await page.locator('[data-workflow-step-key]').evaluateAll(nodes => nodes.map(node =>
    [node.getAttribute('data-workflow-step-key'), node.getAttribute('data-workflow-step-status'), node.innerText]));
  const text = await page.innerText('body');
  const states = ['Success', 'Failed', 'Suspended', 'Running', 'Canceled'].filter(state => text.split('\n').includes(state));
  await show(name, { workflow, run: text.match(ID)?.[0] ?? null, states, steps });
};

// What the last and innermost part of a page says.
const main = async () => {
  const parts = await page.locator('main').all();
  return parts.length ? parts[parts.length - 1].innerText() : page.innerText('body');
};
const thread = async (name, id) => {
  await page.waitForTimeout(500);
  await show(name, { thread: id, said: await main() });
};
const experiments = async name => {
  const listed = [...(await main()).matchAll(/(Check experiment[^\n]*)\n[^\n]*\nCheck questions\n([^\n]+)\nRun ([^\n]+)\n(\d+)\n\d+\n\d+\n([^\n]+)/g)];
  await show(name, { experiments: listed.map(([, title, target, state, items, review]) =>
    [title, target, state, items, review.replace('—', '-').replace(/ .*/, '')].join(' ')) });
};
const results = async (name, experiment) => {
  const listed = [...(await main()).matchAll(/^([0-9a-f]{8})\n((?:.+\n)+?)(\d\.\d{3})$/gm)];
  await show(name, { experiment, results: listed.map(([, id, facts, score]) =>
    [id, /needs.review/i.test(facts) ? 'Needs review' : '-', facts.match(/^question \d+$/m)?.[0], score].join(' ')) });
};

if (wants('agents')) {
await open('/agents');
await has('agents listed', 'planningAgent', 'Mail agent');
await shot('1-agents');
}

if (wants('workflows')) {
await open('/workflows');
await has('workflows listed', 'activity-planning-workflow', 'approval-workflow');
await shot('2-workflows');

await open('/workflows/activityPlanningWorkflow/graph');
await has('planner graph drawn', 'fetch-weather', 'plan-indoor-activities', 'plan-activities');
await shot('3-graph');

const field = page.locator('form input, form textarea').first();
await field.fill('Rainytown');
await page.getByRole('button', { name: /^run$/i }).first().click();
await has('planner ran', 'Success', 'Completed', 'Not started');
await graph('the planner as it is stored', 'activityPlanningWorkflow');
await shot('4-run');

await open('/workflows/approvalWorkflow/graph');
await page.locator('form input').first().fill('3');
await page.getByRole('button', { name: /^run$/i }).first().click();
await page.getByRole('button', { name: /resume/i }).first().waitFor({ timeout: 15000 }).catch(() => {});
await has('run suspended', 'Suspended');
await graph('the run that waits as it is stored', 'approvalWorkflow');
await shot('5-suspended');
await page.locator('form input').last().fill('5');
await page.getByRole('button', { name: /resume/i }).first().click();
await has('run resumed from its form', 'Success');
await graph('the resumed run as it is stored', 'approvalWorkflow');
await shot('6-resumed');
}

if (wants('agents')) {
await open('/agents/planningAgent/chat/new');
const box = page.locator('textarea').first();
await box.fill('hello from the check');
await box.press('Enter');
await has('agent streams', 'tok0');
say('it is not done yet', !(await page.innerText('body')).includes('tok2'));
await has('agent answered', 'tok0 tok1 tok2');
await box.fill('please use tool');
await box.press('Enter');
await has('agent used its tool', 'WeatherTool');
await page.waitForTimeout(1500);
await shot('7-chat');
await page.reload({ waitUntil: 'domcontentloaded' });
await has('thread remembered', 'hello from the check', 'please use tool', 'tok0 tok1 tok2');
say('each message is there once', (await page.getByText('hello from the check').count()) === 1);
await thread('the thread as it is stored', page.url().match(ID)?.[0]);
await shot('7-thread');

await open('/agents/mailAgent/chat/new');
const mail = page.locator('textarea').first();
await mail.fill('please use tool');
await mail.press('Enter');
await has('approval asked for', 'Approval required');
await shot('7-approval');
await page.locator('button', { hasText: /^\s*Approve\s*$/ }).first().click();
await has('approved', 'tok0 tok1 tok2');
await shot('7-approved');
}

if (wants('workflows')) {
await open('/workflows/kitchenWorkflow/graph');
await page.locator('form input').first().fill('3');
await page.getByRole('button', { name: /^run$/i }).first().click();
await has('every kind of node ran', 'Success');
await shot('8-kitchen');

await open('/workflows/failWorkflow/graph');
await page.locator('form input').first().fill('3');
await page.getByRole('button', { name: /^run$/i }).first().click();
await has('failure shown', 'boom');
await graph('the run that failed as it is stored', 'failWorkflow');
await shot('8-failed');
}

if (wants('agents')) {
await open('/tools/get-weather');
await page.getByLabel(/city name/i).fill('Oslo');
await page.getByRole('button', { name: /submit/i }).first().click();
await has('tool ran', 'fine in Oslo');
await shot('8-tool');
}

if (wants('workflows')) {
await open('/workflows/approvalWorkflow/graph');
await has('runs listed', 'Recent runs');
await page.waitForFunction(id => new RegExp(id).test(document.body.innerText), ID.source, { timeout: 30000 }).catch(() => {});
const listed = [...(await page.innerText('body')).matchAll(new RegExp(ID, 'g'))].map(found => found[0]);
await show('the runs as they are stored', { workflow: 'approvalWorkflow', listed });
await shot('8-runs');

await open('/observability');
await has('traces listed', 'approval-workflow', 'activity-planning-workflow');
await shot('9-traces');
await page.getByText('approval-workflow').first().click();
await has('trace opened', 'workflow step');
await page.waitForTimeout(500);
const opened = await page.innerText('body');
const spans = [...opened.matchAll(/workflow (?:run|step): '[^']+'/g)].map(found => found[0]);
const trace = opened.match(/\b[0-9a-f]{12,32}(?=…|\.\.\.|\n)/)?.[0] ?? null;
await show('the trace as it is stored', { trace, spans });
await shot('10-trace');

await open('/logs');
await has('logs listed', "Step 'boom'");
await shot('11-logs');
}

if (wants('agents')) {
await open('/metrics');
await has('metrics counted', 'Total Agent Runs', 'planningAgent');
await shot('12-metrics');
}

if (wants('evals')) {
await open('/scorers');
await has('scorers listed', 'short-answer');
await shot('12-scorers');
await open('/scorers/short-answer');
await has('scores listed', 'question 1');
const scores = [...(await main()).matchAll(/^(\d+(?:\.\d+)?)\n[0-9a-f-]{36}\n"([^"]+)"$/gm)].map(([, score, input]) => `${score} ${input}`);
await show('the scores as they are stored', { scorer: 'short-answer', scores });
await page.getByText('question 1').first().click();
await has('score opened', 'It has fewer than 100 letters.');
await shot('12-scores');
await open('/datasets');
await has('datasets listed', 'Check questions');
await shot('12-datasets');
await open('/datasets/check-questions');
await has('items listed', 'question 1');
await shot('12-items');
await open('/experiments');
await has('experiments listed', 'Check experiment');
await experiments('the experiment as it is stored');
await shot('12-experiments');
await page.getByText('Check experiment').first().click();
await has('results listed', 'question 1', '1.000');
await results('the results as they are stored', 'check-experiment');
say('its tokens are counted', /\nTokens\n45\n/.test(await page.innerText('body')) || (await page.innerText('body')).slice(-200));
await page.getByText('question 1').first().click();
await has('result opened', 'answer 1');
await shot('12-results');

await open('/experiments/check-experiment');
await seen('question 1');
await page.locator('[role=checkbox]').first().click();
await page.getByRole('button', { name: /flag 1 to review/i }).click();
await page.waitForTimeout(1000);
await results('the flagged result as it is stored', 'check-experiment');
await shot('12-flagged');
await open('/experiments');
await seen('Check experiment');
await page.waitForTimeout(500);
await experiments('the result to review as it is counted');
await open('/inbox');
await page.getByText('Dataset items').click();
await has('to review', 'question 2');
await shot('12-inbox');

await open('/experiments/check-experiment');
await seen('question 1');
await page.getByRole('button', { name: /^rerun$/i }).click();
await page.getByRole('dialog').locator('input').first().fill('Check experiment again');
await page.getByRole('button', { name: /^run/i }).last().click();
// Studio looks for it in a list that it has from before.
await page.waitForURL(/experiments\/[0-9a-f-]{36}/, { timeout: 30000 });
await page.reload({ waitUntil: 'domcontentloaded' });
await has('rerun done', 'Check experiment again', 'question 1', '1.000');
await shot('12-again');
await open('/experiments');
await has('rerun listed', 'Check experiment again');
await experiments('both experiments as they are stored');
await shot('12-rerun');
await open('/evaluation');
await has('scores counted', 'vs previous 1');
await shot('12-overview');
}

// The other pages: each has its own heading, and what there is not is said without an error.
const pages = { '/tools': 'get-weather', '/processors': 'Processors', '/mcps': 'MCP', '/workspaces': 'Workspaces', '/prompts': 'Prompts',
  '/scorers': 'short-answer', '/datasets': 'Check questions', '/experiments': 'Check experiment', '/evaluation': 'Evaluation',
  '/inbox': 'Inbox', '/settings': 'Settings', '/resources': 'Resources', '/request-context': 'Request Context' };
for (const [path, word] of wants('pages') ? Object.entries(pages) : []) {
  await open(path);
  // Not the words of the bar beside it, which are on every page.
  const text = await page.waitForFunction(wanted => {
    const main = [...document.querySelectorAll('main')].pop();
    return main?.innerText.includes(wanted) ? main.innerText : null;
  }, word, { timeout: 30000 }).then(found => found.jsonValue()).catch(() => null);
  const wrong = /failed to|something went wrong|unexpected application error|HTTP error/i.test(text ?? '');
  say(`page ${path}`, text !== null && !wrong ? true : { wanted: word, text: text ?? (await page.innerText('body')).slice(-300) });
  await shot(`13-${path.slice(1)}`);
}

say('problems', problems);
await browser.close();
process.stdin.unref();

// Opens Mastra Studio in a headless browser and goes through what a user would do.
// Called by studio_check.py: node studio_check.mjs STUDIO_URL SERVER_URL OUT_FOLDER BROWSER
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [studio, server, out, browserPath, packages] = process.argv.slice(2);
const { chromium } = createRequire(join(packages, 'package.json'))('playwright-core');

const browser = await chromium.launch({
  executablePath: browserPath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
const problems = [];
page.on('response', answer => {
  if (answer.url().startsWith(server) && answer.status() >= 500) problems.push(`${answer.status()} ${answer.url()}`);
});
page.on('pageerror', error => problems.push(`page error: ${error.message}`));

const shot = name => page.screenshot({ path: join(out, `${name}.png`) });
const say = (name, value) => console.log(JSON.stringify({ name, value }));
const open = async path => {
  await page.goto(studio + path, { waitUntil: 'domcontentloaded' });
  await page.waitForLoadState('networkidle', { timeout: 8000 }).catch(() => {});
};
const seen = word => page.waitForFunction(w => document.body.innerText.includes(w), word, { timeout: 15000 });
const has = async (name, ...words) => {
  const missing = [];
  for (const word of words) await seen(word).catch(() => missing.push(word));
  say(name, missing.length ? { missing } : true);
};

await open('/agents');
await has('agents listed', 'planningAgent', 'Mail agent');
await shot('1-agents');

await open('/workflows');
await has('workflows listed', 'activity-planning-workflow', 'approval-workflow');
await shot('2-workflows');

await open('/workflows/activityPlanningWorkflow/graph');
await has('planner graph drawn', 'fetch-weather', 'plan-indoor-activities', 'plan-activities');
await shot('3-graph');

const field = page.locator('form input, form textarea').first();
await field.fill('Rainytown');
await page.getByRole('button', { name: /^run$/i }).first().click();
await has('planner ran with step states', 'Success', 'Completed', 'Not started');
await shot('4-run');

await open('/workflows/approvalWorkflow/graph');
await page.locator('form input').first().fill('3');
await page.getByRole('button', { name: /^run$/i }).first().click();
await page.getByRole('button', { name: /resume/i }).first().waitFor({ timeout: 15000 }).catch(() => {});
await has('run suspended', 'Suspended');
await shot('5-suspended');
await page.locator('form input').last().fill('5');
await page.getByRole('button', { name: /resume/i }).first().click();
await has('run resumed from its form', 'Success');
await shot('6-resumed');

await open('/agents/planningAgent/chat/new');
const box = page.locator('textarea').first();
await box.fill('hello from the check');
await box.press('Enter');
await has('agent answered', 'tok0 tok1 tok2');
await shot('7-chat');

await open('/workflows/approvalWorkflow/graph');
await has('runs listed', 'Recent runs');
await shot('8-runs');

await open('/observability');
await has('traces listed', 'approval-workflow', 'planningAgent');
await shot('9-traces');
await page.getByText('approval-workflow').first().click();
await has('trace opened', 'workflow step');
await shot('10-trace');

say('problems', problems);
await browser.close();

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
const text = async () => page.evaluate(() => document.body.innerText);
const has = async (name, ...words) => {
  const shown = await text();
  const missing = words.filter(word => !shown.includes(word));
  say(name, missing.length ? { missing } : true);
};
const seen = word => page.waitForFunction(w => document.body.innerText.includes(w), word, { timeout: 15000 });

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
await seen('success').catch(() => {});
await page.waitForTimeout(1500);
await shot('4-run');
await has('planner ran with step states', 'success');

await open('/workflows/approvalWorkflow/graph');
await page.locator('form input').first().fill('3');
await page.getByRole('button', { name: /^run$/i }).first().click();
await page.getByRole('button', { name: /resume/i }).first().waitFor({ timeout: 15000 }).catch(() => {});
await shot('5-suspended');
await has('run suspended', 'suspended');
await page.locator('form input').last().fill('5');
await page.getByRole('button', { name: /resume/i }).first().click();
await page.waitForTimeout(2500);
await shot('6-resumed');
await has('run resumed from its form', 'success');

await open('/agents/planningAgent/chat/new');
const box = page.locator('textarea').first();
await box.fill('hello from the check');
await box.press('Enter');
await seen('tok2').catch(() => {});
await page.waitForTimeout(1000);
await shot('7-chat');
await has('agent answered', 'tok0 tok1 tok2');

await open('/workflows/approvalWorkflow/graph');
await page.waitForTimeout(1000);
await shot('8-runs');

await open('/observability');
await page.waitForTimeout(2000);
await shot('9-traces');
await has('traces listed', 'workflow run', 'agent run');
const row = page.getByText(/workflow run/).first();
if (await row.count()) {
  await row.click();
  await page.waitForTimeout(2000);
  await shot('10-trace');
  await has('trace opened', 'workflow step');
}

say('problems', problems);
await browser.close();

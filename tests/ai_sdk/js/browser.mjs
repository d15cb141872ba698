// Drives the page in a headless browser and tells what it saw, one JSON object a line.
import { chromium } from 'playwright-core';

const [url, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext();
const tell = (name, value) => console.log(JSON.stringify({ name, value }));

async function open(agent, id, resume = 'no') {
  const page = await context.newPage();
  page.on('pageerror', error => tell('page-error', String(error)));
  await page.goto(`${url}/page?agent=${agent}&id=${encodeURIComponent(id)}&resume=${resume}`);
  await page.waitForFunction(() => window.chat !== undefined);
  return page;
}
const send = (page, text) => page.evaluate(text => { window.chat.sendMessage({ text }); }, text);
const idle = page => page.waitForFunction(() => ['ready', 'error'].includes(window.chat.status)
  && window.seen.some(one => one.status === 'submitted'));
const shown = page => page.evaluate(() => window.chat.messages);
const partsOf = page => page.evaluate(() => window.chat.messages.at(-1)?.parts ?? []);
const text = parts => parts.filter(part => part.type === 'text').map(part => part.text).join('');
const states = page => page.evaluate(() => {
  const found = {};
  for (const one of window.seen) for (const message of one.messages) for (const part of message.parts) {
    if (part.toolCallId === undefined) continue;
    const list = found[part.toolCallId] ??= [];
    if (list.at(-1) !== part.state) list.push(part.state);
  }
  return found;
});

let page = await open('plain', 'grows');
await send(page, 'long');
await idle(page);
tell('growing', await page.evaluate(() => window.seen
  .map(one => [one.at, one.messages.at(-1)?.parts.find(part => part.type === 'text')?.text?.length])
  .filter(([, length]) => length !== undefined)));

page = await open('plain', 'tool');
await send(page, 'weather slowly');
await idle(page);
tell('tool-states', await states(page));
tell('tool-parts', await partsOf(page));
tell('heard', await page.evaluate(() => window.heard));
tell('metadata', (await shown(page)).at(-1).metadata);

for (const agent of ['plain', 'durable']) {
  page = await open(agent, `approval ${agent}`);
  await send(page, 'mixed');
  await idle(page);
  for (let turn = 0; turn < 3; turn++) {
    const asked = (await partsOf(page)).filter(part => part.state === 'approval-requested');
    if (asked.length === 0) break;
    for (const part of asked) {
      await page.evaluate(id => { window.chat.addToolApprovalResponse({ id, approved: true }); }, part.approval.id);
    }
    await page.waitForFunction(ids => ['ready', 'error'].includes(window.chat.status)
      && ids.every(id => window.chat.messages.at(-1).parts.every(part =>
        part.approval?.id !== id || part.state !== 'approval-requested'))
      && (window.chat.messages.at(-1).parts.some(part => part.state === 'approval-requested')
        || window.chat.messages.at(-1).parts.filter(part => part.type === 'text').length > 1),
      asked.map(part => part.approval.id), { timeout: 20000 });
  }
  tell(`approved-${agent}`, [(await shown(page)).length, await partsOf(page), await states(page)]);
}

page = await open('plain', 'declined');
await send(page, 'pay');
await idle(page);
for (const [place, part] of (await partsOf(page)).filter(part => part.approval).entries()) {
  await page.evaluate(([id, approved]) => {
    window.chat.addToolApprovalResponse({ id, approved, reason: approved ? undefined : 'too dear' });
  }, [part.approval.id, place === 0]);
}
await page.waitForFunction(() => window.chat.status === 'ready'
  && window.chat.messages.at(-1).parts.filter(part => part.type === 'text').length > 1);
tell('declined', await partsOf(page));

page = await open('plain', 'client');
await send(page, 'locate');
await page.waitForFunction(() => window.chat.status === 'ready'
  && window.chat.messages.at(-1).parts.some(part => part.type === 'text'));
tell('client-tool', [(await shown(page)).length, await partsOf(page)]);

page = await open('plain', 'stopped');
await send(page, 'long slowly');
await page.waitForFunction(() => window.chat.messages.at(-1).parts.some(part => part.text?.length > 20));
await page.evaluate(() => { window.chat.stop(); });
await idle(page);
const before = text(await partsOf(page)).length;
await send(page, 'hello');
await page.waitForFunction(() => window.chat.status === 'ready' && window.chat.messages.length === 4);
tell('after-stop', [before, text(await partsOf(page))]);

page = await open('durable', 'reload');
await send(page, 'long slowly');
await page.waitForFunction(() => window.chat.messages.at(-1).parts.some(part => part.text?.length > 20));
const id = (await shown(page)).at(-1).id;
await page.close();
page = await open('durable', 'reload', 'yes');
await page.waitForFunction(() => window.chat.status === 'ready'
  && window.chat.messages.at(-1).parts.some(part => part.text?.includes('word23')), null, { timeout: 20000 });
const after = await shown(page);
tell('reloaded', [after.length, after.at(-1).id === id, text(await partsOf(page))]);
await page.close();
page = await open('durable', 'reload', 'yes');
await page.waitForTimeout(200);
tell('nothing-to-resume', await page.evaluate(() => [window.chat.status, window.chat.messages.length]));

page = await open('durable', 'stop by route');
await send(page, 'long slowly');
await page.waitForFunction(() => window.chat.messages.at(-1).parts.some(part => part.text?.length > 20));
tell('stop-route', await page.evaluate(async () =>
  (await fetch(`/chat/durable/${encodeURIComponent('stop by route')}/stop`, { method: 'POST' })).json()));
await idle(page);
tell('stopped-text', [await page.evaluate(() => window.chat.status), text(await partsOf(page))]);

page = await open('plain', 'fails');
await send(page, 'fail');
await idle(page);
tell('failed', [await page.evaluate(() => window.chat.error?.message), await partsOf(page)]);

page = await open('remembering', 'remembers');
await send(page, 'hello');
await idle(page);
await page.evaluate(() => { window.chat.regenerate(); });
await page.waitForFunction(() => window.seen.filter((one, i) => one.status === 'ready'
  && window.seen[i - 1]?.status !== 'ready').length > 2);
tell('regenerated', await shown(page));
await browser.close();

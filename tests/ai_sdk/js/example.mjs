// Uses the page of examples/web as a person does.
import { chromium } from 'playwright-core';

const [url, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage();
const tell = (name, value) => console.log(JSON.stringify({ name, value }));
page.on('pageerror', error => tell('page-error', String(error)));
const steps = () => page.$$eval('[data-step]', found => found.map(one => [one.dataset.step, one.dataset.status]));

await page.goto(`${url}/page`);
await page.fill('#city', 'Oslo');
await page.click('#ask');
await page.waitForSelector('#agree');
tell('asked', [await steps(), await page.textContent('form >> nth=1 >> p')]);
await page.fill('input[placeholder="A wish"]', 'Ducks.');
await page.click('#agree');
const lengths = [];
await page.waitForSelector('.plan[data-role=assistant]');
while ((await page.$$('#ask[disabled]')).length) {
  lengths.push((await page.textContent('.plan[data-role=assistant]')).length);
  await page.waitForTimeout(20);
}
tell('planned', [await steps(), await page.textContent('.plan[data-role=assistant]'), new Set(lengths).size]);
await browser.close();

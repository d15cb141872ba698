// Serves the workflows to the Inngest server at the first argument, until stdin ends. Prints a line
// of JSON once the server knows them.
import http from 'node:http';
import { createServe } from '@mastra/inngest';
import { serve } from 'inngest/node';
import { build } from './definitions.mjs';

const { inngest, mastra } = build(process.argv[2], 'typescript-worker');
const server = http.createServer(createServe(serve)({ mastra, inngest }));
server.listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}/api/inngest`;
  const synced = await fetch(url, { method: 'PUT' });
  console.log(JSON.stringify({ name: 'served', value: { status: synced.status, text: await synced.text() } }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

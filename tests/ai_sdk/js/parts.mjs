// Reads streams by name from a file and tells the message that the SDK makes of each: with its transport's
// checks of every chunk, and `readUIMessageStream`.
import * as seven from 'ai';
import * as six from 'ai-6';
import { readFileSync } from 'node:fs';

const [file, version] = process.argv.slice(2);
const sdk = version === 'v6' ? six : seven;
const sse = chunks => chunks.map(chunk => `data: ${JSON.stringify(chunk)}\n\n`).join('') + 'data: [DONE]\n\n';

for (const [name, chunks] of Object.entries(JSON.parse(readFileSync(file, 'utf8')))) {
  const transport = new sdk.DefaultChatTransport({
    fetch: async () => new Response(sse(chunks), { headers: { 'content-type': 'text/event-stream' } }),
  });
  const stream = await transport.sendMessages({ chatId: 'chat', messages: [], trigger: 'submit-message' });
  const errors = [];
  let message;
  try {
    for await (message of sdk.readUIMessageStream({ stream, onError: error => errors.push(String(error)) }));
  } catch (error) {
    errors.push(String(error));
  }
  console.log(JSON.stringify({ name, value: { message, errors } }));
}

// Mastra's own client reads a durable agent's run again, from a chunk on. Prints one line of JSON.
import { MastraClient } from '@mastra/client-js';

const agent = new MastraClient({ baseUrl: process.argv[2], retries: 0 }).getAgent('walker');
const read = async stream => {
  const seen = [];
  await stream.processDataStream({ onChunk: async chunk => void seen.push(chunk) });
  return seen;
};

const told = await read(await agent.stream('Where to?'));
const { runId } = told[0];
const all = await read(await agent.observe({ runId }));
const rest = await read(await agent.observe({ runId, offset: 3 }));
const gone = await agent.observe({ runId: 'nobody' }).catch(error => error.status);
console.log(JSON.stringify({ told, all, rest, gone }));

// Talks to the server as a page does, by AG-UI's own client, which fails a run whose events are not in order.
import { HttpAgent } from '@ag-ui/client'

const [url] = process.argv.slice(2)

function page(path, threadId, more = {}) {
  const agent = new HttpAgent({ url: `${url}/ag-ui/${path}`, threadId, ...more })
  agent.say = (content) => agent.addMessage({ id: crypto.randomUUID(), role: 'user', content })
  return agent
}

// Runs once; gives the types of events, what the run ended with, and what the page has by then.
async function run(agent, parameters = {}, watch = {}) {
  const seen = { kinds: [], failed: null, ended: null, warned: [] }
  const warn = console.warn
  console.warn = (...words) => seen.warned.push(words.join(' '))
  const subscriber = {
    onEvent({ event }) {
      seen.kinds.push(event.type)
      if (event.type === 'RUN_FINISHED' || event.type === 'RUN_ERROR') seen.ended = event
    },
    ...watch,
  }
  try {
    await agent.runAgent(parameters, subscriber)
  } catch (error) {
    seen.failed = String(error)
  }
  console.warn = warn
  const messages = agent.messages.map(({ role, content, toolCalls, toolCallId }) =>
    ({ role, content, toolCalls, toolCallId }))
  return { ...seen, messages, state: agent.state, waits: agent.pendingInterrupts ?? null }
}

const tell = (name, value) => console.log(JSON.stringify({ name, value }))
const yes = (ended, payload) => ended.outcome.interrupts.map(({ id }) =>
  ({ interruptId: id, status: 'resolved', payload }))

for (const name of ['plain', 'remembering', 'durable']) {
  const chat = page(name, `chat-${name}`)
  chat.say('hello')
  await run(chat)
  chat.say('weather')
  tell(`tools ${name}`, await run(chat))

  const pay = page(name, `pay-${name}`)
  pay.say('pay')
  const asked = await run(pay)
  tell(`asked ${name}`, asked)
  tell(`left out ${name}`, await run(pay))
  let ended = asked
  while (ended.ended?.outcome?.type === 'interrupt') {
    ended = await run(pay, { resume: yes(ended.ended, { approved: true }) })
  }
  tell(`approved ${name}`, ended)

  const broken = page(name, `fail-${name}`)
  broken.say('fail')
  tell(`error ${name}`, await run(broken))
}

const client = page('plain', 'client')
client.say('locate')
const tools = [{ name: 'blink', description: 'Blink', parameters: { type: 'object' } }]
tell('called', await run(client, { tools }))
client.addMessage({ id: crypto.randomUUID(), role: 'tool', toolCallId: 'call_1', content: 'home' })
tell('answered', await run(client, { tools }))

const noting = page('noting', 'notes')
noting.say('I am Ann')
tell('noted', await run(noting))
noting.state = { ...noting.state, likes: ['tea'] }
noting.say('hello')
tell('shared', await run(noting))

const boss = page('boss', 'boss')
boss.say('weather')
tell('sub-agent', await run(boss))

const think = page('plain', 'think')
think.say('think')
tell('thought', await run(think))

for (const name of ['strict', 'muddled']) {
  const asked = page(name, name)
  asked.say('go')
  // What the page has of the conversation just before it is sent all of it.
  let most = 0
  const counted = { onMessagesChanged() { most = Math.max(most, asked.messages.length) } }
  tell(name, { ...await run(asked, {}, counted), most })
}

const asking = page('plain', 'ask')
asking.say('ask')
const question = await run(asking)
tell('question', question)
tell('told', await run(asking, { resume: yes(question.ended, { answer: 'this' }) }))

for (const path of ['plain', 'durable']) {
  const long = page(path, `abort-${path}`)
  long.say('long')
  let pieces = 0
  tell(`aborted ${path}`, await run(long, {}, {
    onTextMessageContentEvent() {
      pieces += 1
      if (pieces === 3) long.abortRun()
    },
  }))
}

const trip = page('workflows/trip', 'trip')
const started = await run(trip, { forwardedProps: { inputData: { city: 'Oslo' } } })
tell('trip', started)
tell('trip resumed', await run(trip, { resume: yes(started.ended, { sure: true }) }))

const both = page('workflows/both', 'both')
const two = await run(both, { forwardedProps: { inputData: { city: 'Oslo' } } })
tell('both', await run(both, { resume: yes(two.ended, { sure: 1 }) }))

const telling = page('workflows/telling', 'telling')
telling.say('{"city": "Oslo"}')
tell('telling', await run(telling))

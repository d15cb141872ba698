// The page: steps of a run update in place, and the run waits for an answer in the middle.
import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';
import { useState } from 'react';
import { createRoot } from 'react-dom/client';

const transport = new DefaultChatTransport({ api: '/workflow/days' });
const MARKS = { running: '…', success: '✓', suspended: '?', failed: '✗' };

function Steps({ run }) {
  return (
    <ul>
      {Object.values(run.steps).map(step => (
        <li key={step.name} data-step={step.name} data-status={step.status}>
          {MARKS[step.status] ?? '·'} {step.name.replaceAll('_', ' ')}
        </li>
      ))}
    </ul>
  );
}

function Question({ payload, answer }) {
  const [wish, setWish] = useState('');
  return (
    <form onSubmit={event => { event.preventDefault(); answer({ agreed: true, wish }); }}>
      <p>{payload.question}</p>
      <input value={wish} onChange={event => setWish(event.target.value)} placeholder="A wish" />
      <button id="agree">Plan it</button>
      <button id="decline" type="button" onClick={() => answer({ agreed: false })}>No</button>
    </form>
  );
}

function Page() {
  const [city, setCity] = useState('');
  const { messages, sendMessage, status, error, id, stop } = useChat({ transport });
  const isIdle = status === 'ready' || status === 'error';
  const ask = event => {
    event.preventDefault();
    sendMessage({ text: city }, { body: { inputData: { city } } });
  };
  // Without a message of its own the answer goes on with the one that asked.
  const answer = resumeData => sendMessage(undefined, { body: { resumeData, step: 'agree' } });
  const stopRun = () => {
    stop();
    fetch(`/workflow/days/${encodeURIComponent(id)}/stop`, { method: 'POST' });
  };
  const waiting = messages.at(-1)?.parts.find(part => part.type === 'data-workflow-step' && part.data.step.status === 'suspended');
  return (
    <>
      <form onSubmit={ask}>
        <input id="city" value={city} onChange={event => setCity(event.target.value)} placeholder="A city" />
        <button id="ask" disabled={!isIdle}>Ask</button>
        {!isIdle && <button type="button" onClick={stopRun}>Stop</button>}
      </form>
      {messages.map(message => message.parts.map((part, place) => {
        const key = `${message.id}-${place}`;
        if (part.type === 'data-workflow') return <Steps key={key} run={part.data} />;
        if (part.type === 'text') return <p key={key} className="plan" data-role={message.role}>{part.text}</p>;
        return null;
      }))}
      {isIdle && waiting && <Question payload={waiting.data.step.suspendPayload} answer={answer} />}
      {error && <p className="error">{error.message}</p>}
    </>
  );
}

createRoot(document.getElementById('root')).render(<Page />);

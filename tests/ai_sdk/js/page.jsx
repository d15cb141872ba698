// A page as anybody writes it: what it shows is noted each time that it is drawn.
import { useChat } from '@ai-sdk/react';
import {
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} from 'ai';
import { createRoot } from 'react-dom/client';

const settings = Object.fromEntries(new URLSearchParams(location.search));
const kept = JSON.parse(localStorage.getItem(settings.id) ?? '[]');
window.seen = [];
window.heard = [];

function Page() {
  const chat = useChat({
    id: settings.id,
    messages: kept,
    resume: settings.resume === 'yes',
    transport: new DefaultChatTransport({ api: `/chat/${settings.agent}` }),
    sendAutomaticallyWhen: chat =>
      lastAssistantMessageIsCompleteWithApprovalResponses(chat) ||
      lastAssistantMessageIsCompleteWithToolCalls(chat),
    onData: part => window.heard.push(part),
    onToolCall: ({ toolCall }) => {
      if (toolCall.toolName === 'locate') {
        // Not awaited: the SDK says that it would wait for itself.
        chat.addToolOutput({ tool: 'locate', toolCallId: toolCall.toolCallId, output: 'Oslo' });
      }
    },
  });
  window.chat = chat;
  window.seen.push({
    at: performance.now(),
    status: chat.status,
    error: chat.error?.message,
    messages: JSON.parse(JSON.stringify(chat.messages)),
  });
  localStorage.setItem(settings.id, JSON.stringify(chat.messages));
  return <pre>{JSON.stringify(chat.messages, null, 1)}</pre>;
}

createRoot(document.getElementById('root')).render(<Page />);

// A thread that listens as soon as it runs, and reports 'ok' or the code of the error. At a message, it unsubscribes.
import { parentPort, workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
const { listen } = await import('../../../../../src/index.ts');

const server = listen({ path: workerData }, { mode: 0o640 });
server.listening.subscribe(() => parentPort.postMessage('ok'));
const serving = server.subscribe({
  next: (connection) => connection.destroy(),
  error: (error) => parentPort.postMessage(error.code),
});
parentPort.once('message', () => {
  serving.unsubscribe();
  parentPort.postMessage('stopped');
});

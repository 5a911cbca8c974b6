// A process that listens on request. The tests of socket files start several such processes, and stop or kill them.
import { listen, type ListenOptions, type Server, type SocketError } from 'rxjs-sockets';
import type { Subscription } from 'rxjs';

/** The commands of the parent. Each command gets one answer. */
export type Order =
  | { readonly do: 'listen'; readonly path: string; readonly options: ListenOptions }
  | { readonly do: 'stop' }
  | { readonly do: 'chdir'; readonly folder: string }
  | { readonly do: 'umask'; readonly mask: number }
  | { readonly do: 'become'; readonly user: number };

let server: Server | undefined;
let serving: Subscription | undefined;

/** Answers a command with `'ok'` or the code of the error. */
const answer = (text: string): void => {
  process.send?.(text);
};

process.on('message', (order: Order) => {
  switch (order.do) {
    case 'listen': {
      server = listen({ path: order.path }, order.options);
      server.listening.subscribe(() => answer('ok'));
      serving = server.subscribe({
        next: ({ data }) => {
          data.next(String(process.pid));
          data.complete();
        },
        error: (error: unknown) => answer((error as SocketError).code),
      });
      return;
    }
    case 'stop':
      serving?.unsubscribe();
      break;
    case 'chdir':
      process.chdir(order.folder);
      break;
    case 'umask':
      process.umask(order.mask);
      break;
    case 'become':
      process.setgid?.(order.user);
      process.setgroups?.([]);
      process.setuid?.(order.user);
      break;
  }
  answer('ok');
});
// SIGTERM is the signal that stops a service.
process.on('SIGTERM', () => {
  void server?.shutdown().then(() => process.disconnect());
});
process.on('disconnect', () => {
  process.exit();
});
answer('ready');

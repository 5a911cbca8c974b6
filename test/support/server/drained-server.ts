import { firstValueFrom } from 'rxjs';
import {
  type Address,
  type Closed,
  listen,
  type ListenOptions,
  serve,
  type Server,
  type SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { onTestFinished } from 'vitest';
import type { Place } from '../transport/places.js';
import { type Recording, record } from '../recording/record.js';

export type Handler = Parameters<typeof serve<string, string>>[0];

interface Serving {
  readonly server: Server<string, string>;
  readonly address: Address;
  readonly outcomes: Recording<Closed>;
  readonly incidents: Recording<SocketError>;
}

/** A server of lines. Until the end of the test, `handler` serves its connections. */
export async function serving(
  place: Place,
  handler: Handler,
  options: ListenOptions<string, string> = {},
): Promise<Serving> {
  const server = listen<string, string>(await place.address(), { codec: lines(), ...place.options, ...options });
  const incidents = record(server.incidents);
  const outcomes = record(server.pipe(serve(handler)));
  onTestFinished(() => {
    outcomes.subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  return { server, outcomes, incidents, address: await firstValueFrom(server.listening) };
}

/** A gate that delays each answer until the test opens it. */
export class Gate {
  /** How many answers have begun. */
  begun = 0;
  private open: () => void = () => undefined;
  private readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });

  readonly answer = async (question: string): Promise<string> => {
    this.begun++;
    await this.opened;
    return `answer to ${question}`;
  };

  release(): void {
    this.open();
  }
}

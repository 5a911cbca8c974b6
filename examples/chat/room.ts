import { setTimeout } from 'node:timers/promises';
import { type Channel, type Connection, SocketError } from 'rxjs-sockets';

const longest = 1_000; // characters
const pause = 1; // ms

/** Those who are in the chat, however they are connected. */
export class Room {
  private readonly members = new Map<string, Channel<string>>();

  /** Looks after one connection, from the question for a name to its end. */
  async welcome({ data }: Connection<string, string>): Promise<void> {
    let name: string | undefined;
    let end = '';
    try {
      data.next('What is your name?');
      for await (const received of data) {
        const line = received.trim();
        if (line.length > longest) data.next(`That was too long: ${longest} characters at most.`);
        else if (name !== undefined) this.tell(`${name}: ${line}`);
        else if (!/^\w{1,20}$/.test(line) || this.members.has(line)) data.next('Not that one. What is your name?');
        else {
          name = line;
          this.members.set(name, data);
          this.tell(`* ${name} has joined`);
        }
        await setTimeout(pause);
      }
      data.complete();
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      end = ` (${error.code})`;
    }
    if (name === undefined) return;
    this.members.delete(name);
    this.tell(`* ${name} has left${end}`);
  }

  /** Sends to all at once: one who is slow only makes its own buffer grow, to `maxBuffered` and no further. */
  private tell(line: string): void {
    for (const data of this.members.values()) data.next(line);
  }
}

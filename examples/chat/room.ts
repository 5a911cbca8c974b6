import { setTimeout } from 'node:timers/promises';
import { Broadcast, type Connection, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const longest = 1_000; // characters
const pause = 1; // ms

export class Room {
  private readonly names = new Set<string>();
  private readonly everybody = new Broadcast(lines());

  async welcome(connection: Connection<string, string>): Promise<void> {
    const { data } = connection;
    let name: string | undefined;
    let end = '';
    try {
      data.next('What is your name?');
      for await (const received of data) {
        const line = received.trim();
        if (line.length > longest) data.next(`That was too long: ${longest} characters at most.`);
        else if (name !== undefined) this.everybody.next(`${name}: ${line}`);
        else if (!/^\w{1,20}$/.test(line) || this.names.has(line)) data.next('Not that one. What is your name?');
        else {
          name = line;
          this.names.add(name);
          this.everybody.join(connection);
          this.everybody.next(`* ${name} has joined`);
        }
        await setTimeout(pause);
      }
      data.complete();
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      end = ` (${error.code})`;
    }
    if (name === undefined) return;
    this.names.delete(name);
    this.everybody.next(`* ${name} has left${end}`);
  }
}

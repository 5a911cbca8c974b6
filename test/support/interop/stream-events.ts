import type { Duplex } from 'node:stream';

export function eventsOf(stream: Duplex): string[] {
  const events: string[] = [];
  for (const event of ['connect', 'ready', 'end', 'finish', 'timeout']) stream.on(event, () => events.push(event));
  stream.on('error', (error: NodeJS.ErrnoException) => events.push(`error ${error.code}`));
  stream.on('close', (hadError: boolean) => events.push(`close ${hadError}`));
  return events;
}

export async function contents(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

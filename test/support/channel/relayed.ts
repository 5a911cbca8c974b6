import { createHash } from 'node:crypto';
import { firstValueFrom, type Subscription } from 'rxjs';
import type { Connection } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';

export const outcome = async (connection: Connection<any, any>) => (await firstValueFrom(connection.closed)).reason;

export const digest = (bytes: Buffer): string => createHash('sha1').update(bytes).digest('hex');

export function setImmediateLoop(work: () => void): Pick<Subscription, 'unsubscribe'> {
  let stopped = false;
  const loop = (): void => {
    if (stopped) return;
    work();
    setImmediate(loop);
  };
  loop();
  const unsubscribe = (): void => {
    stopped = true;
  };
  onTestFinished(unsubscribe);
  return { unsubscribe };
}

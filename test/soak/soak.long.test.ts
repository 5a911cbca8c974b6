import { beforeAll, describe, expect, it } from 'vitest';
import { compiled } from '../support/package/compile-library.js';
import { churn, idle, soak, type Verdict } from './trials.js';

/** Short runs of the trials of `npm run soak`, with generous bounds. */
describe('a server in a separate process', () => {
  let library: string;
  const log: string[] = [];
  const write = (line: string): void => {
    log.push(line);
  };
  const expectWell = ({ ok, text }: Verdict): void => {
    expect(ok, [...log.splice(0), text].join('\n')).toBe(true);
    console.log(text);
  };

  beforeAll(async () => {
    library = await compiled('soak-test');
  }, 60_000);

  it('S18: holds 1,000 idle connections in at most twice the memory that node:net takes', async () => {
    expectWell(await idle(library, 1_000, 2, write));
  }, 60_000);

  it('S18: keeps no descriptor and no memory of 5,000 closed connections', async () => {
    expectWell(await churn(library, 5_000, 'tcp', write));
    expectWell(await churn(library, 5_000, 'unix', write));
  }, 60_000);

  it('S18: keeps idle connections in constant memory while other connections open and close', async () => {
    expectWell(await soak(library, 3, 200, write));
  }, 60_000);
});

import { beforeAll, describe, expect, it } from 'vitest';
import { compiled } from '../support/package/compile-library.js';
import { churn, idle, soak, type Verdict } from './trials.js';

/** Short runs of what `npm run soak` does at length, with generous bounds. */
describe('a server in a process of its own', () => {
  let library: string;
  const told: string[] = [];
  const tell = (line: string): void => {
    told.push(line);
  };
  const expectWell = ({ ok, text }: Verdict): void => {
    expect(ok, [...told.splice(0), text].join('\n')).toBe(true);
    console.log(text);
  };

  beforeAll(async () => {
    library = await compiled('soak-test');
  }, 60_000);

  it('S18: holds 1,000 idle connections in no more than twice the memory that node:net takes', async () => {
    expectWell(await idle(library, 1_000, 2, tell));
  }, 60_000);

  it('S18: has no descriptor and no memory left of 5,000 connections that have come and gone', async () => {
    expectWell(await churn(library, 5_000, 'tcp', tell));
    expectWell(await churn(library, 5_000, 'unix', tell));
  }, 60_000);

  it('S18: keeps idle connections while others come and go, and needs no more for it as time goes by', async () => {
    expectWell(await soak(library, 3, 200, tell));
  }, 60_000);
});

// Long trials of a server in a separate process, with plain clients in other processes. Exits with 1 if a trial fails:
//   npm run soak -- [SECONDS]        many idle connections, while other connections come and go; 60 s by default
//   npm run soak -- idle [COUNT]     memory of idle connections, compared with plain node:net; 10,000 by default
//   npm run soak -- churn [COUNT]    connections that come and go; 100,000 by default
import { compiled } from '../support/package/compile-library.js';
import { churn, idle, soak, type Verdict } from './trials.js';

const print = (line: string): void => {
  console.log(line);
};
const [what = '60', amount] = process.argv.slice(2);
const library = await compiled('soak');

async function trials(): Promise<readonly Verdict[]> {
  switch (what) {
    case 'idle':
      return [await idle(library, Number(amount ?? 10_000), 2, print)];
    case 'churn': {
      const count = Number(amount ?? 100_000);
      return [await churn(library, count, 'tcp', print), await churn(library, count, 'unix', print)];
    }
    default:
      return [await soak(library, Number(what), 1_000, print)];
  }
}

for (const { ok, text } of await trials()) {
  print(text);
  if (!ok) process.exitCode = 1;
}

import { describe, expect, it, test } from 'vitest';
import { newsClaims } from '../../examples/tour/broadcast.js';
import { Checks, type Claim } from '../../examples/tour/checks.js';
import { restartClaims } from '../../examples/tour/restart.js';
import { Screen } from '../../examples/tour/screen.js';
import { consumptionClaims } from '../../examples/tour/slow-consumer.js';
import { echoClaims } from '../../examples/tour/two-transports.js';
import manifest from '../../package.json' with { type: 'json' };
import { program } from './program.js';

/** The output of `npm start` before and after the tour, and the next prompt of the shell. */
const around = ['', '> rxjs-sockets@0.1.0 start', '> tsx ...', '', '$ '];
const rows = 30;
const columns = 80;

/** Makes the tour believe that it writes to a terminal, and keeps the tour's event loop busy half of the time. */
const busyTerminal = `
Object.assign(process.stdout, { isTTY: true, columns: ${columns} });
setInterval(() => {
  for (const end = performance.now() + 30; performance.now() < end;);
}, 60).unref();
`;

/** The lines on a terminal after `text` was written to it, without colours and without erased text. */
function shownBy(text: string): string[] {
  const written = text.split('\n').slice(0, -1);
  // eslint-disable-next-line no-control-regex -- a terminal acts on these characters
  return written.map((line) => line.replace(/^[^]*\r\x1b\[K/, '').replace(/\x1b\[[\d;]*m/g, ''));
}

interface Row {
  readonly label: string;
  readonly taken: number;
  readonly rate: number;
  readonly buffered: string;
  readonly ahead: string;
}

/** The rows of the table: what the consumer did, how many messages it took, how fast, and how much was queued. */
function rowsIn(text: string): Row[] {
  const row = /^ {3}(\w.*?) +([\d,]+) +([\d,.]+) MiB\/s +([\d.]+ KiB) +([\d.]+ MiB)$/gm;
  return Array.from(text.matchAll(row), ([, label = '', taken, rate, buffered = '', ahead = '']) => {
    return { label, taken: figure(taken), rate: figure(rate), buffered, ahead };
  });
}

const figure = (text = ''): number => Number(text.replaceAll(',', ''));

describe.each(['written to a file', 'on a busy terminal'])('the tour %s', (where) => {
  let written = '';
  let lines: string[] = [];
  let text = '';

  it('checks its claims, and ends', async () => {
    const [command, ...args] = manifest.scripts.start.split(' ');
    expect(command).toBe('tsx');
    const terminal = `data:text/javascript,${encodeURIComponent(busyTerminal)}`;
    const preload = where.includes('terminal') ? ['--import', terminal] : [];
    const tour = program([...preload, ...args.filter((arg) => !arg.startsWith('--conditions'))], { TERM: 'xterm' });
    expect(await tour.ended, tour.output + tour.errors).toBe(0);
    expect(tour.errors).toBe('');
    written = tour.output;
    lines = shownBy(written);
    text = lines.join('\n');
    expect(lines.filter((line) => line.startsWith('   ok  '))).toHaveLength(8);
    expect(text).not.toContain('FAILED');
  }, 120_000);

  it('fits into 30 rows of 80 columns, with the output of npm and the prompt', () => {
    expect(lines.length + around.length).toBeLessThanOrEqual(rows);
    expect(lines.filter((line) => line.length >= columns)).toEqual([]);
    // eslint-disable-next-line no-control-regex -- other control characters could move the text
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
  });

  it('is animated if it writes to a terminal, and otherwise writes plain lines', () => {
    if (where.includes('terminal')) expect(written).toContain('█');
    // eslint-disable-next-line no-control-regex -- no control character should be there
    else expect(written).not.toMatch(/[\x00-\x09\x0b-\x1f█]/);
  });

  it('explains its terms', () => {
    const explained = [
      /Each line with "ok" was just checked/,
      /Echo: .*unix socket \(a file, for this machine only\)/,
      /Backpressure: a producer can send only as fast as its consumer takes/,
      /taken: messages of 32 KiB\./,
      /buffered: the most that waited in the producer's\s+channel\./,
      /ahead: the most that was sent and not taken, also in the kernel\./,
      /holds, and takes none/,
      /Reconnect: a server stops, and its client tries to connect until it is back/,
      /Broadcast: one message to 50 clients/,
      /of servers and clients together/,
    ];
    for (const explanation of explained) expect(text).toMatch(explanation);
    for (const [code] of text.matchAll(/\bE[A-Z_]{3,}\b/g)) expect(text).toMatch(new RegExp(`\\(${code}: [a-z ]+\\)`));
  });

  it('shows the figures that it checks', () => {
    const table = rowsIn(text);
    expect(table.map(({ label }) => label)).toEqual([
      'takes each at once',
      'needs 5 ms for each',
      'holds, and takes none',
      'takes at once again',
    ]);
    const [, slow, held] = table as [Row, Row, Row, Row];
    const sent = table.reduce((sum, { taken }) => sum + taken, 0);
    expect(text).toContain(`ok  ${sent.toLocaleString('en')} messages (`);
    const most = table.map(({ buffered }) => Number.parseFloat(buffered)).sort((a, b) => b - a)[0];
    expect(text).toContain(`ok  never more than ${most?.toFixed(1)} KiB were buffered`);
    expect(held).toMatchObject({ taken: 0, rate: 0 });
    expect(text).toContain(`the producer stopped, ${held.ahead} ahead`);
    // 32 KiB in 5 ms are 6.25 MiB/s on every machine, and a timer of Node can fire almost a millisecond early.
    expect(slow.rate).toBeLessThan(8);
    const [, lines, answers, news] =
      /([\d,]+) numbered lines[^]*?([\d,]+) answers came[^]*?([\d,]+) messages reached all 50/.exec(text) ?? [];
    const total = figure(lines) + sent + figure(answers) + 50 * figure(news);
    expect(text).toMatch(new RegExp(`^messages sent +${total.toLocaleString('en')}$`, 'm'));
  });

  it('ends with the summary', () => {
    const [result, sent, received, memory] = lines.slice(-4).map((line) => line.split(/ {2,}|: /));
    expect(result).toEqual(['Summary of the checks', 'all 8 hold']);
    expect(sent).toEqual(['messages sent', expect.stringMatching(/^[\d,]+$/)]);
    expect(received).toEqual(['received in order', sent?.[1]]);
    expect(memory).toEqual(['peak memory', expect.stringMatching(/^[\d.]+ MiB, of servers and clients together$/)]);
  });
});

test('the tour draws on a terminal, unless NO_COLOR asks for plain lines', () => {
  const shown = (isTTY: boolean, environment: Record<string, string>): string => {
    let text = '';
    const screen = new Screen({ isTTY, columns: 20, write: (more) => (text += more) }, environment);
    screen.heading('Heading');
    screen.status(`${screen.bar(0.5, 4)} first`);
    screen.status(`${screen.bar(1, 4)} second, and longer than the line`);
    screen.line(screen.good('ok'));
    screen.line('done');
    return text;
  };
  const plain = 'Heading\nok\ndone\n';
  expect(shown(false, {})).toBe(plain);
  expect(shown(true, { NO_COLOR: '1' })).toBe(plain);
  expect(shown(true, { TERM: 'dumb' })).toBe(plain);
  expect(shown(true, { NO_COLOR: '' })).toBe(
    '\x1b[1mHeading\x1b[0m\n\r\x1b[K██░░ first\r\x1b[K████ second, and lo\r\x1b[K\x1b[32mok\x1b[0m\ndone\n',
  );
});

test('the tour says which claim fails', () => {
  let text = '';
  const checks = new Checks(new Screen({ write: (more) => (text += more) }, {}));
  checks.that(['this holds', true]);
  expect(checks.passed).toBe(true);
  checks.that(['this does not', false], ['this does', true]);
  expect(checks.passed).toBe(false);
  checks.summarize();
  expect(text).toContain('   ok  this holds\n   FAILED  this does not\n   ok  this does\n');
  expect(text).toContain('Summary of the checks: 1 of 3 FAILED\n');
});

describe('the checks of the tour', () => {
  /** Expects that all claims hold for `facts`, and that with `changes` exactly the claim containing `text` fails. */
  function fails<Facts extends object>(
    claimsOf: (facts: Facts) => Claim[],
    facts: Facts,
    text: string,
    changes: Partial<Facts>[],
  ) {
    expect(claimsOf(facts).filter(([, holds]) => !holds)).toEqual([]);
    for (const change of changes) {
      const failed = claimsOf({ ...facts, ...change }).filter(([, holds]) => !holds);
      expect(failed, JSON.stringify(change)).toEqual([[expect.stringContaining(text), false]]);
    }
  }

  it('notice a wrong fact about lines that come back', () => {
    const echoes = { clients: 6, sent: 30_000, received: 30_000, inOrder: 30_000 };
    const changes = [{ sent: 29_999 }, { received: 29_999 }, { received: 30_001 }, { inOrder: 29_998 }];
    fails(echoClaims, echoes, 'came back', changes);
  });

  it('notice a wrong fact about messages to a slow consumer', () => {
    const phase = { label: '', taken: 20_000, milliseconds: 1, buffered: 98_308, ahead: 1 };
    const held = { ...phase, taken: 0 };
    const all = { sent: 40_200, received: 40_200, inOrder: 40_200 };
    const consumption = { ...all, phases: [phase, held], held, waited: true, growth: 128 * 1_048_576 };
    fails(consumptionClaims, consumption, 'once and in order', [
      { sent: 1 },
      { received: 40_199 },
      { received: 40_201 },
      { inOrder: 40_198 },
    ]);
    fails(consumptionClaims, consumption, 'were buffered', [
      { phases: [phase, { ...phase, buffered: 98_309 }] },
      { phases: [{ ...phase, buffered: 0 }] },
    ]);
    fails(consumptionClaims, consumption, 'the producer stopped', [{ waited: false }, { held: phase }]);
    fails(consumptionClaims, consumption, 'grew by', [{ growth: 128 * 1_048_576 + 1 }]);
  });

  it('notice a wrong fact about answers across a restart', () => {
    const restart = { asked: 3_001, answered: 3_000, connections: 2, failures: ['ENOENT', 'ENOENT', 'ENOENT'] };
    const changes = [
      { answered: 2_999 },
      { asked: 3_000 },
      { connections: 1 },
      { connections: 3 },
      { failures: ['ENOENT'] },
    ];
    fails(restartClaims, restart, 'answers came in order', changes);
  });

  it('notice a wrong fact about one message for many clients', () => {
    const each = (count: number): number[] => new Array<number>(50).fill(count);
    const finished = new Array<string>(50).fill('finished');
    const news = {
      sent: 2_000,
      encoded: 2_000,
      received: each(2_000),
      inOrder: each(2_000),
      cutOff: ['ERR_OVERFLOW'],
      finished,
    };
    fails(newsClaims, news, 'reached all 50', [
      { encoded: 100_000 },
      { received: [...each(2_000).slice(1), 1_999] },
      { inOrder: [...each(2_000).slice(1), 1_999] },
      { received: each(2_000).slice(1) },
    ]);
    fails(newsClaims, news, 'was cut off', [
      { cutOff: [] },
      { cutOff: ['finished'] },
      { cutOff: ['ERR_OVERFLOW', 'ERR_OVERFLOW'] },
      { finished: [...finished.slice(1), 'ECONNRESET'] },
    ]);
  });
});

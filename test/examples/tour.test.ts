import { expect, test } from 'vitest';
import { Checks } from '../../examples/tour/checks.js';
import { Screen } from '../../examples/tour/screen.js';
import manifest from '../../package.json' with { type: 'json' };
import { program } from './program.js';

test('`npm start` is the tour: it checks what it claims, in plain lines where there is no terminal, and ends', async () => {
  const [command, ...args] = manifest.scripts.start.split(' ');
  expect(command).toBe('tsx');
  const tour = program(args.filter((arg) => !arg.startsWith('--conditions')));
  expect(await tour.ended, tour.output + tour.errors).toBe(0);
  expect(tour.errors).toBe('');
  // eslint-disable-next-line no-control-regex -- there should be none of them
  expect(tour.output).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
  expect(tour.output).not.toContain('FAILED');
  expect(tour.lines.filter((line) => line.startsWith('  ok  '))).toHaveLength(8);
  const [sent, received] = tour.lines.slice(-3).map((line) => line.split(/ {2,}/)[1]);
  expect(received).toBe(sent);
}, 120_000);

test('the tour draws where there is a terminal, unless NO_COLOR asks for plain lines', () => {
  const shown = (isTTY: boolean, environment: Record<string, string>): string => {
    let text = '';
    const screen = new Screen({ isTTY, columns: 20, write: (more) => (text += more) }, environment);
    screen.heading('Heading');
    screen.status(`${screen.bar(0.5, 4)}first`);
    screen.status(`${screen.bar(1, 4)}second, and longer than the line`);
    screen.keep();
    screen.status('third');
    screen.line(screen.good('ok'));
    return text;
  };
  const plain = '\nHeading\nfirst\nsecond, and longer than the line\nthird\nok\n';
  expect(shown(false, {})).toBe(plain);
  expect(shown(true, { NO_COLOR: '1' })).toBe(plain);
  expect(shown(true, { TERM: 'dumb' })).toBe(plain);
  expect(shown(true, { NO_COLOR: '' })).toBe(
    '\n\x1b[1mHeading\x1b[0m\n\r\x1b[K██░░ first\r\x1b[K████ second, and lo\n\r\x1b[Kthird\n\x1b[32mok\x1b[0m\n',
  );
});

test('the tour says which claim does not hold', () => {
  let text = '';
  const checks = new Checks();
  checks.that('this holds', true);
  expect(checks.passed).toBe(true);
  checks.that('this does not', false);
  expect(checks.passed).toBe(false);
  checks.show(new Screen({ write: (more) => (text += more) }, {}));
  expect(text).toContain('  ok    this holds\nFAILED  this does not\n');
});

import { describe, expect, it } from 'vitest';
import { typeErrors } from '../support/docs/code-blocks.js';

const prologue = `
import { map } from 'rxjs';
import { connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
const server = listen('tcp://localhost:7000', { codec: lines() });
const client = connect('tcp://localhost:7000', { codec: lines() });
const bytes = connect('tcp://localhost:7000');
`;

/** Wrong programs of one line each, and the compiler's message about each program. */
const wrong: readonly [what: string, line: string, message: RegExp][] = [
  [
    'a function for messages that the channel does not emit',
    'client.data.subscribe((count: number) => console.log(count));',
    /^Argument of type '\(count: number\) => void' .* 'Partial<Observer<string>> \| \(\(value: string\) => void\)/,
  ],
  [
    'an observer of messages that the channel does not emit',
    'client.data.subscribe({ next: (count: number) => console.log(count) });',
    /^Type '\(count: number\) => void' is not assignable to type '\(value: string\) => void'\.\n/,
  ],
  [
    'a member that is misspelt',
    'client.data.subscribe({ nxt: (line: string) => console.log(line) });',
    /^Object literal may only specify known properties, .*'nxt'.* 'Partial<Observer<string>>/,
  ],
  [
    'a channel that does not send the emitted messages',
    'bytes.data.subscribe(client.data);',
    /^Argument of type 'Channel<string, string>' .*\n.* 'Partial<Observer<Buffer<.*>>>'\.\n +Types of property 'next'/,
  ],
  [
    'a client in place of its data',
    'client.data.subscribe(client);',
    /^Argument of type 'Client<string, string>' .* 'Partial<Observer<string>>/,
  ],
  [
    'a channel that does not send what an operator emits',
    'client.data.pipe(map((line) => line.length)).subscribe(client.data);',
    /^Argument of type 'Channel<string, string>' .*\n.* 'Partial<Observer<number>>'/,
  ],
  [
    'an observer of states that are not those of a client',
    'client.subscribe({ next: (status: string) => console.log(status) });',
    /^Type '\(status: string\) => void' is not assignable to type '\(\w+: ConnectionState<string, string>\) => void'/,
  ],
  [
    'a handler of connections that are not those of a server',
    'server.subscribe((socket: number) => console.log(socket));',
    /^Argument of type '\(socket: number\) => void' .* 'Partial<Observer<Connection<string, string>>>/,
  ],
];

// A compilation takes seconds, so one compilation serves all tests.
const errors = typeErrors(new Map(wrong.map(([, line], index) => [`wrong-${index}.ts`, `${prologue}${line}\n`])));

describe("the compiler's message about a wrong subscriber", () => {
  it.each(wrong.map((one, index) => [...one, index] as const))('F7: names what is wrong with %s', (...one) => {
    const [, , expected, index] = one;
    const mine = errors.filter((error) => error.includes(`wrong-${index}.ts: `));
    expect(mine).toHaveLength(1);
    const message = mine[0]?.replace(/^.*?\.ts: /, '');
    expect(message).toMatch(expected);
    // A message about overloads would describe all overloads of `subscribe`, or a deprecated overload.
    expect(message).not.toMatch(/overload/i);
  });

  it("F7: there is no message about correct code, even for the deprecated forms of RxJS's `subscribe`", () => {
    const right = [
      'client.data.subscribe();',
      'client.data.subscribe(console.log);',
      'client.data.subscribe({ error: (error: unknown) => console.log(error) });',
      'client.data.subscribe(client.data);',
      'client.data.subscribe(null, (error) => console.log(error));',
      'client.data.subscribe((line) => console.log(line.length), undefined, () => console.log("over"));',
      'client.subscribe(({ status }) => console.log(status));',
      'client.subscribe((state) => console.log(state.attempt), null, () => console.log("over"));',
      'server.subscribe(({ data }) => data.subscribe(data));',
    ];
    expect(typeErrors(new Map([['right.ts', `${prologue}${right.join('\n')}\nexport { map, bytes };\n`]]))).toEqual([]);
  });
});

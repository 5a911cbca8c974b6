import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { connectSettings, listenSettings } from '../../src/options/settings.js';

const statements = ['connection', 'listen', 'connect'].flatMap((kind) => {
  const file = new URL(`../../src/options/${kind}-options.ts`, import.meta.url);
  return ts.createSourceFile(file.pathname, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true).statements;
});
const listening: Readonly<Record<string, unknown>> = { ...listenSettings({}) };
const connecting: Readonly<Record<string, unknown>> = { ...connectSettings({}) };

interface Documented {
  readonly name: string;
  readonly text: string;
  readonly unit: string | undefined;
}

/** The documented default of each option of an interface. */
function documented(name: string): Documented[] {
  const found = statements.find((node) => ts.isInterfaceDeclaration(node) && node.name.text === name);
  if (found === undefined || !ts.isInterfaceDeclaration(found)) throw new Error(`no interface ${name}`);
  return found.members.flatMap((member) => {
    const tagged = (tag: string): string | undefined => {
      const comment = ts.getJSDocTags(member).find(({ tagName }) => tagName.text === tag)?.comment;
      return comment === undefined ? undefined : ts.getTextOfJSDocComment(comment);
    };
    const text = tagged('defaultValue');
    return text === undefined ? [] : [{ name: member.name?.getText() ?? '', text, unit: tagged('unit') }];
  });
}

/** The value at the beginning of a text: a literal, alone or in backticks. */
function valueOf(text: string): unknown {
  const [, literal = text] = /^`([^`]+)`/.exec(text) ?? [];
  if (literal === 'undefined') return undefined;
  if (literal === 'true' || literal === 'false') return literal === 'true';
  const quoted = /^'(.*)'$/.exec(literal)?.[1];
  return quoted ?? Number(literal.replaceAll('_', ''));
}

const both = documented('ConnectionOptions');
const cases = [
  ...both.map((one) => ['listen', one, listening] as const),
  ...documented('ListenOptions').map((one) => ['listen', one, listening] as const),
  ...both.map((one) => ['connect', one, connecting] as const),
  ...documented('ConnectOptions').map((one) => ['connect', one, connecting] as const),
].map(([role, { name, text, unit }, settings]) => [role, name, text, unit, settings] as const);

describe('the documented default', () => {
  it('exists for most options', () => {
    expect(cases.length).toBeGreaterThan(30);
  });

  it.each(cases)('is right for %s and its option %s: %s', (role, name, text, unit, settings) => {
    // If the documented default is a value, the settings have this value.
    if (name === 'codec' || name === 'transport') expect(valueOf(text)).toBeUndefined();
    else if (name === 'halfOpen') expect(text).toContain(`\`${String(settings[name])}\` for \`${role}\``);
    else expect(valueOf(text)).toBe(settings[name]);
    expect(unit ?? 'ms').toMatch(/^(?:ms|bytes|clients|connections)$/);
    if (/Timeout$/.test(name)) expect(unit).toBe('ms');
  });
});

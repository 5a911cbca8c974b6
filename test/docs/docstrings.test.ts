import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const entries = ['src/index.ts', 'src/codecs/index.ts', 'src/ix.ts', 'src/testing/index.ts'];

/** What every item says, in this order. */
const always = ['emits', 'throws', 'backpressure', 'teardown', 'example', 'see'];

interface Item {
  readonly name: string;
  /** The tags of its comment, in order; a parameter's with its name. */
  readonly tags: readonly string[];
  readonly wanted: readonly string[];
  readonly text: string;
}

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile) as { config: unknown };
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const program = ts.createProgram(
  entries.map((entry) => join(root, entry)),
  options,
);
const checker = program.getTypeChecker();

/** The comment right before a declaration: `undefined` where there is none. */
function commentOf(node: ts.Node): string | undefined {
  const text = node.getSourceFile().text;
  const comments = ts.getLeadingCommentRanges(text, node.pos) ?? [];
  const last = comments.map(({ pos, end }) => text.slice(pos, end)).findLast((comment) => comment.startsWith('/**'));
  return last?.replace(/^\/\*\*|\*\/$/g, '').replace(/^ *\* ?/gm, '');
}

function item(name: string, node: ts.Node, comment: string, wanted: readonly string[]): Item {
  const prose = comment.replace(/^```.*?^```$/gms, '');
  const tags = Array.from(prose.matchAll(/^@(\w+)(?: (\w+))?/gm), ([, tag = '', word = '']) =>
    tag === 'param' ? `param ${word}` : tag,
  );
  return {
    name: `${name} (${node.getSourceFile().fileName.slice(root.length)})`,
    tags: tags.filter((tag) => tag !== 'typeParam'),
    wanted,
    text: (/^(.*?)(?=\n@|$(?![^]))/s.exec(prose)?.[1] ?? '').trim(),
  };
}

/** The items that one declaration stands for: itself, and its public members. */
function itemsOf(name: string, node: ts.Declaration): Item[] {
  const comment = commentOf(ts.isVariableDeclaration(node) ? node.parent.parent : node) ?? '';
  if (/@internal|@deprecated/.test(comment) || isHidden(node)) return [];
  if (ts.isFunctionLike(node)) {
    const parameters = node.parameters.map((parameter) => `param ${parameter.name.getText()}`);
    return [item(name, node, comment, [...parameters, 'returns', ...always])];
  }
  if (ts.isPropertyDeclaration(node) || ts.isPropertySignature(node)) {
    return [item(name, node, comment, comment.includes('@') && /^ *@\w+/m.test(comment) ? always : [])];
  }
  const members = ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node) ? node.members : [];
  const seen = new Set<string>();
  const inner = members.flatMap((member) => {
    const own = member.name?.getText() ?? 'constructor';
    // Of overloads the first one speaks for all.
    if (seen.has(own)) return [];
    seen.add(own);
    return itemsOf(`${name}.${own}`, member);
  });
  return [item(name, node, comment, always), ...inner];
}

function isHidden(node: ts.Declaration): boolean {
  const flags = ts.getCombinedModifierFlags(node);
  return (flags & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !== 0;
}

const items = entries.flatMap((entry) => {
  const file = program.getSourceFile(join(root, entry));
  const module = file === undefined ? undefined : checker.getSymbolAtLocation(file);
  return (module === undefined ? [] : checker.getExportsOfModule(module)).flatMap((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return (target.declarations ?? []).slice(0, 1).flatMap((node) => itemsOf(symbol.name, node));
  });
});

describe('the comment of each public item', () => {
  it('is looked at', () => {
    expect(items.length).toBeGreaterThan(100);
  });

  it.each(items)('$name follows the template', ({ tags, wanted, text }) => {
    expect(text).toMatch(/^[A-Z`].*\.$|^[A-Z`].*:$/s);
    expect(tags).toEqual(wanted);
  });
});

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const entries = ['src/index.ts', 'src/codecs/index.ts', 'src/interop/index.ts', 'src/ix.ts', 'src/testing/index.ts'];

interface Item {
  readonly name: string;
  readonly tags: readonly string[];
  /** The parameters that the comment documents, and the parameters of the declaration. */
  readonly documented: readonly string[];
  readonly parameters: readonly string[];
}

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile) as { config: unknown };
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const program = ts.createProgram(
  entries.map((entry) => join(root, entry)),
  options,
);
const checker = program.getTypeChecker();

function commentOf(node: ts.Node): string | undefined {
  const text = node.getSourceFile().text;
  const comments = ts.getLeadingCommentRanges(text, node.pos) ?? [];
  const last = comments.map(({ pos, end }) => text.slice(pos, end)).findLast((comment) => comment.startsWith('/**'));
  return last?.replace(/^\/\*\*|\*\/$/g, '').replace(/^ *\* ?/gm, '');
}

function item(name: string, node: ts.Node, comment: string, parameters: readonly string[] = []): Item {
  const prose = comment.replace(/^```.*?^```$/gms, '');
  const tags = Array.from(prose.matchAll(/^@\w+.*?(?=\n@|$(?![^]))/gms), ([tag]) => tag.trim());
  return {
    name: `${name} (${node.getSourceFile().fileName.slice(root.length)})`,
    tags,
    documented: tags.flatMap((tag) => /^@param (\w+)/.exec(tag)?.[1] ?? []),
    parameters,
  };
}

function itemsOf(name: string, node: ts.Declaration): Item[] {
  const comment = commentOf(ts.isVariableDeclaration(node) ? node.parent.parent : node) ?? '';
  if (/@internal|@deprecated/.test(comment) || isHidden(node)) return [];
  if (ts.isFunctionLike(node)) {
    const parameters = node.parameters.map((parameter) => parameter.name.getText());
    return [item(name, node, comment, parameters)];
  }
  if (ts.isPropertyDeclaration(node) || ts.isPropertySignature(node)) return [item(name, node, comment)];
  const members = ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node) ? node.members : [];
  const seen = new Set<string>();
  const inner = members.flatMap((member) => {
    const own = member.name?.getText() ?? 'constructor';
    // An overloaded function is documented at its first overload that is not deprecated.
    if (seen.has(own)) return [];
    const documented = itemsOf(`${name}.${own}`, member);
    if (documented.length > 0) seen.add(own);
    return documented;
  });
  return [item(name, node, comment), ...inner];
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
  it('exists for more than 100 items', () => {
    expect(items.length).toBeGreaterThan(100);
  });

  it.each(items)('$name has no empty tag', ({ tags }) => {
    for (const tag of tags) expect(tag).not.toMatch(/^@\w+ none\b/);
  });

  it.each(items.filter(({ documented }) => documented.length > 0))('$name documents its parameters', (one) => {
    expect(one.documented).toEqual(one.parameters);
  });
});

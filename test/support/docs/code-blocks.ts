import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { freshFolder } from '../transport/places.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The ```ts blocks of a page, unchanged. */
export async function blocksOf(page: string): Promise<string[]> {
  const text = await readFile(join(root, page), 'utf8');
  return Array.from(text.matchAll(/^```ts\n(.*?)^```$/gms), ([, block]) => block ?? '');
}

/** Names each block by its first line, `// name.ts`. */
export function named(blocks: readonly string[]): Map<string, string> {
  return new Map(
    blocks.map((block) => {
      const [, name, body] = /^\/\/ (\S+\.ts)\n(.*)$/s.exec(block) ?? [];
      if (name === undefined || body === undefined) throw new Error(`a block without a name:\n${block}`);
      return [name, body];
    }),
  );
}

/** Compiles programs as strictly as this project, and returns the messages. The programs can import each other. */
export function typeErrors(programs: ReadonlyMap<string, string>): string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile) as { config: unknown };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const files = new Map(Array.from(programs, ([name, text]) => [join(root, 'docs', name), text]));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile: read, getSourceFile } = host;
  host.fileExists = (file) => files.has(file) || fileExists(file);
  host.readFile = (file) => files.get(file) ?? read(file);
  host.getSourceFile = (file, version, ...rest) => {
    const text = files.get(file);
    return text === undefined ? getSourceFile(file, version, ...rest) : ts.createSourceFile(file, text, version, true);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  return Array.from(files.keys(), (file) => program.getSourceFile(file))
    .flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
    .map(({ file, messageText }) => `${file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
}

/** Writes programs to a fresh folder in which this package is installed. */
export async function install(programs: ReadonlyMap<string, string>): Promise<string> {
  const folder = await freshFolder();
  await mkdir(join(folder, 'node_modules'));
  await symlink(root, join(folder, 'node_modules', 'rxjs-sockets'));
  await symlink(join(root, 'node_modules', 'rxjs'), join(folder, 'node_modules', 'rxjs'));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  for (const [name, text] of programs) await writeFile(join(folder, name), text);
  return folder;
}

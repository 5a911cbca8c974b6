// Runs an example from the sources: `npm run example -- FILE ARGS`. FILE is a path, or a name within examples/ or
// examples/services/.
import { existsSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const [name = '', ...args] = process.argv.slice(2);
const places = ['../', '../examples/', '../examples/services/'].map((folder) => new URL(folder, import.meta.url));
const file = places.map((folder) => new URL(name, folder)).find((url) => name.endsWith('.ts') && existsSync(url));

if (file === undefined) {
  console.error(`usage: npm run example -- FILE ARGS\nThere is no example ${name || 'without a name'}; see examples/.`);
  process.exit(2);
}
// Gives the example the arguments that it would get without this script.
process.argv = [process.execPath, fileURLToPath(file), ...args];
await import(file.href);

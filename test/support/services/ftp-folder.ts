import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freshFolder } from '../transport/places.js';

/** A folder `files` to serve, with a text file in it, and a secret file outside it. */
export async function planted(): Promise<{ beside: string; files: string }> {
  const beside = await freshFolder();
  const files = join(beside, 'files');
  await mkdir(join(files, 'sub'), { recursive: true });
  await mkdir(join(beside, 'private'));
  await writeFile(join(beside, 'private', 'secret.txt'), 'secret');
  await writeFile(join(files, 'hello.txt'), 'hello\nworld\n');
  return { beside, files };
}

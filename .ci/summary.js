// Prints 'N passed, N failed': the sum of the JSON reports of vitest in a folder (second argument), after a run that has ended
// with a status (first argument).
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const [status = '0', folder = ''] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const name of readdirSync(folder)) {
  const text = readFileSync(join(folder, name), 'utf8');
  // A run that was ended in the middle of its report has failed, and says so by its status.
  if (!text.endsWith('}')) continue;
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(text);
  // A file that can't be loaded, or whose hook throws, has failed though none of its tests says so.
  const files = testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  passed += numPassedTests;
  failed += numFailedTests + files.length;
}

// An uncaught error, a run that wrote no report, and a step that is no test have failed though no file says so.
console.log(`${passed} passed, ${failed === 0 && status !== '0' ? 1 : failed} failed`);

// Prints 'N passed, N failed': the sum of vitest's JSON reports in a folder. Arguments: the status of the run, the
// folder.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const [status = '0', folder = ''] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const name of readdirSync(folder)) {
  const text = readFileSync(join(folder, name), 'utf8');
  // A report is incomplete if the run was ended meanwhile. The status then shows the failure.
  if (!text.endsWith('}')) continue;
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(text);
  // If a file cannot be loaded, or a hook throws, the file has failed although none of its tests has.
  const files = testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  passed += numPassedTests;
  failed += numFailedTests + files.length;
}

// No report shows an uncaught error, a run that wrote no report, or a failed step that is no test: each counts as one.
console.log(`${passed} passed, ${failed === 0 && status !== '0' ? 1 : failed} failed`);

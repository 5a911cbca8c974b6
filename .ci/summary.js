// Prints 'N passed, N failed' from the JSON report of vitest (first argument) and its exit status (second).
import { existsSync, readFileSync } from 'node:fs';
import process from 'node:process';

const [report = '', status = '0'] = process.argv.slice(2);
const text = existsSync(report) ? readFileSync(report, 'utf8') : '';
const results = text === '' ? { numPassedTests: 0, numFailedTests: 0, testResults: [] } : JSON.parse(text);

// A file that can't be loaded, or whose hook throws, has failed though none of its tests says so.
const files = results.testResults.filter(
  (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
);
const failed = results.numFailedTests + files.length;

// An uncaught error, or a run that wrote no report, has failed though none of its files says so.
console.log(`${results.numPassedTests} passed, ${failed === 0 && status !== '0' ? 1 : failed} failed`);

import { builtinModules } from 'node:module';
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import rxjsX from 'eslint-plugin-rxjs-x';
import tseslint from 'typescript-eslint';

const bareBuiltins = builtinModules
  .filter((name) => !name.startsWith('_') && !name.startsWith('node:'))
  .map((name) => ({ name, message: `Import 'node:${name}'.` }));

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'docs/api/', '.cache/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' } },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: 'error',
      'no-restricted-imports': ['error', { paths: bareBuiltins }],
      'object-shorthand': 'error',
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, rxjsX.configs.recommended, rxjsX.configs.strict],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],

      // Emitting may call back into the emitter and change its properties. TypeScript does not see that, so the rule
      // would report a second check of a property as unnecessary.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // With noUncheckedIndexedAccess, the `!` of an index that was just checked costs nothing at run time.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // A Channel is contravariant in the type that it sends, so only `any` as a type argument takes every channel. The
      // rules no-unsafe-* still check the use of an `any`.
      '@typescript-eslint/no-explicit-any': 'off',
      // A handler of type 'ObservableInput<T> | void' may return nothing.
      '@typescript-eslint/no-invalid-void-type': 'off',

      // A Flow is an Observable, so that every RxJS operator takes it.
      'rxjs-x/no-subclass': 'off',
      // A program subscribes to a connection within the subscription to the server.
      'rxjs-x/no-nested-subscribe': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    // The only file that uses RxJS's internals ('lift', 'source' and 'operator' are marked as deprecated).
    files: ['src/flow/flow.ts'],
    rules: { '@typescript-eslint/no-deprecated': 'off' },
  },
  {
    files: ['test/**/*.ts', 'examples/**/*.ts', 'bench/**/*.ts'],
    rules: {
      // A test may pass a method to a spy, and an async function as a callback.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      // `expect.any()` is an `any`, and tests know the strings that they take apart.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      // An unexpected error or a missing value fails the test or ends the example, as it should.
      'rxjs-x/no-ignored-error': 'off',
      'rxjs-x/no-ignored-default-value': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: {
        Buffer: 'readonly',
        console: 'readonly',
        process: 'readonly',
        require: 'readonly',
        setImmediate: 'readonly',
        URL: 'readonly',
      },
    },
  },
);

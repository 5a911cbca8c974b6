/**
 * Tells whether `text` has no lone surrogate, so that UTF-8 can carry it.
 *
 * `isWellFormed` is in every Node that this package runs on, but not in the library es2023 of TypeScript.
 */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

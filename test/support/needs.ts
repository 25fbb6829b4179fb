/**
 * For `skipIf`: true where what a test needs is missing. It says why, and under CI it fails the run instead: a check is
 * never left out in silence.
 */
export function lacks(present: boolean, what: string): boolean {
  if (present) return false;
  if (process.env["CI"]) throw new Error(`this test cannot run: it needs ${what}`);
  console.warn(`left out: needs ${what}`);
  return true;
}

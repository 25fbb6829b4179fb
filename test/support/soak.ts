/** `npm run test:soak`: every check, with full counts. What `npm test` leaves out is left out by this word. */
export const IS_SOAK = process.env["PADDOCK_TEST_SOAK"] === "1";

/** How often a random suite tries: as the variable says, else a few times, in the soak in full. */
export function countRounds(variable: string, few: number, full: number): number {
  return Number(process.env[variable] ?? (IS_SOAK ? full : few));
}

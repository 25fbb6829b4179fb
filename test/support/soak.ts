/** True under `npm run test:soak`: what `npm test` runs in part, or with small counts, then runs whole. */
export const IS_SOAK = process.env["PADDOCK_CRASH_COUNT"] !== undefined;

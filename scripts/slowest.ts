/** What `npm test` says at its end. Arguments: seconds that it took, and the JSON reports of its parts. */
import { existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import { z } from "zod";

const SHOWN = 10;

const Report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  testResults: z.array(z.object({ name: z.string(), startTime: z.number(), endTime: z.number() })),
});

const [seconds = "0", ...paths] = process.argv.slice(2);
// A part that did not come to its end has no report, and has said why.
const reports = paths
  .filter((path) => existsSync(path))
  .map((path) => Report.parse(JSON.parse(readFileSync(path, "utf8"))));
const sum = (count: (report: z.infer<typeof Report>) => number): number =>
  reports.reduce((total, report) => total + count(report), 0);

const files = reports
  .flatMap(({ testResults }) => testResults)
  .map(({ name, startTime, endTime }) => ({
    name: relative(process.cwd(), name),
    seconds: (endTime - startTime) / 1000,
  }))
  .toSorted((one, other) => other.seconds - one.seconds);

console.log(`\n${files.length} files, the slowest:`);
for (const file of files.slice(0, SHOWN)) console.log(`${file.seconds.toFixed(1).padStart(7)} s  ${file.name}`);
const counts = [
  `${sum(({ numPassedTests }) => numPassedTests)} tests passed`,
  `${sum(({ numFailedTests }) => numFailedTests)} failed`,
  `${sum(({ numPendingTests }) => numPendingTests)} left out`,
];
console.log(`${counts.join(", ")}, in ${Math.floor(Number(seconds) / 60)} min ${Number(seconds) % 60} s`);

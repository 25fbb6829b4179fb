/**
 * Looks at `/health` every 20 ms from a thread of its own, so that the client's work is not taken for the server's;
 * hands over the times at the end.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Client } from "undici";

const client = new Client(String(workerData));
const samples: number[] = [];
let isOver = false;
parentPort?.once("message", () => {
  isOver = true;
});
while (!isOver) {
  const begun = performance.now();
  const { statusCode, body } = await client.request({ method: "GET", path: "/health" });
  await body.dump();
  if (statusCode !== 200) throw new Error(`/health answered ${statusCode}`);
  samples.push(performance.now() - begun);
  await sleep(20);
}
await client.close();
parentPort?.postMessage(samples);

import { expect, test } from "vitest";
import { Api, bash, type Json } from "../api/ractor/api.ts";
import { startService } from "../support/service.ts";
import { SMALL } from "./load.ts";

/** The small sister of `npm run bench`'s burst: more work than there are slots, posted at once. */
const AGENTS = 5;
const TASKS = 100;

test(`service - ${TASKS} tasks queued at once on ${AGENTS} agents all end, each agent's in their order`, async () => {
  await using service = await startService({ service: { maxRunning: 3 } });
  const api = new Api(service.url, service.adminToken);
  const names = Array.from({ length: AGENTS }, (_, at) => `queue-${at}`);
  await Promise.all(names.map((name) => api.makeAgent(name, { metadata: SMALL })));
  const numbers = Array.from({ length: TASKS / AGENTS }, (_, at) => at);
  const postAll = async (name: string): Promise<readonly Json[]> => {
    const rows: Json[] = [];
    for (const n of numbers) {
      const { status, json } = await api.post(`/agents/${name}/responses`, { input: bash(`echo ${n} >> order`) });
      expect(status).toBe(200);
      rows.push(json);
    }
    return rows;
  };
  const posted = await Promise.all(names.map(postAll));
  for (const [at, name] of names.entries()) {
    for (const { id } of posted[at] ?? [])
      expect(await api.awaitEnded(name, id)).toMatchObject({ id, status: "completed", attempts: 1 });
    const { segments } = await api.run(name, "cat order");
    const printed = segments.map(({ output }: Json) => output?.stdout ?? "").join("");
    expect(printed).toBe(numbers.map((n) => `${n}\n`).join(""));
    expect(await api.awaitState(name, "idle")).toMatchObject({ busy_from: null });
  }
});

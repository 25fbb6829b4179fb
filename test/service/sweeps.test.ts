import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { reportSweeps } from "../../src/service/sweeps.ts";
import { createTelemetry } from "../../src/telemetry/create.ts";
import { lacks } from "../support/needs.ts";
import { holdDevice, type ImpatientFleet, leaseFile, openImpatientFleet } from "../support/slow-removal.ts";

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("sweeps of a service", () => {
  let parts: ImpatientFleet;

  beforeEach(async () => {
    parts = await openImpatientFleet();
  });
  afterEach(() => parts.fleet[Symbol.asyncDispose]());

  test("a sandbox that cannot be removed is a problem in the log, and nobody else's error", async () => {
    const { fleet, app } = parts;
    const log: string[] = [];
    const logTo = new PassThrough().on("data", (chunk: Buffer) => log.push(chunk.toString()));
    const own = { logLevel: "info", otlpEndpoint: undefined, version: "1", nodeId: "node", secrets: [] } as const;
    await using telemetry = await createTelemetry({ ...own, gauges: () => Promise.reject(new Error("unused")), logTo });
    let id = "";
    let device: Disposable | undefined;
    const use = async (): Promise<string> => {
      await using lease = await leaseFile(fleet);
      id = lease.sandbox.id;
      device = holdDevice(id);
      return "the result";
    };
    using reporting = reportSweeps(app.config.home, telemetry);
    expect(await use()).toBe("the result");
    reporting[Symbol.dispose]();
    await telemetry[Symbol.asyncDispose]();
    const lines = log.join("").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { op: "server.problem", where: "fleet.sweep", message: expect.stringContaining(`${id} could not be removed`) },
    ]);
    device?.[Symbol.dispose]();
  });
});

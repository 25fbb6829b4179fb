/**
 * A service with telemetry on its standard output, for log-sink.test.ts. The parent is told the port over IPC. `GET
 * /metrics` answers with the metrics, `POST /stop` closes and ends the process by itself, everything else is an event.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createTelemetry } from "../../src/telemetry/create.ts";
import { makeRequest } from "./events.ts";

const telemetry = await createTelemetry({
  logLevel: "info",
  otlpEndpoint: undefined,
  version: "1.2.3",
  nodeId: "node-1",
  secrets: [],
  gauges: async () => ({ agents: {}, pending: 0, processing: 0, sandboxes: 0 }),
});
async function answer(url: string, response: ServerResponse): Promise<void> {
  if (url === "/metrics") response.end(await telemetry.metrics.text());
  else if (url === "/stop") {
    response.setHeader("connection", "close").end();
    server.close();
    await telemetry[Symbol.asyncDispose]();
    process.disconnect();
  } else {
    telemetry.record(makeRequest({ requestId: url }));
    response.end("ok");
  }
}

const server = createServer((request, response) => void answer(request.url ?? "", response));
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));

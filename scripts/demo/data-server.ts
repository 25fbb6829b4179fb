import { readFileSync } from "node:fs";
import { createServer } from "node:http";

/** The name under which sandboxes reach the demo's data; the operator's trust maps it to loopback. */
export const DATA_NAME = "data.paddock.test";

export interface DataServer extends AsyncDisposable {
  readonly port: number;
}

/**
 * Serves the public Gapminder table (country, income, health, population, region) from the vega-datasets package on
 * loopback.
 */
export async function serveData(): Promise<DataServer> {
  const csv = readFileSync(
    new URL("../../node_modules/vega-datasets/data/gapminder-health-income.csv", import.meta.url),
  );
  const server = createServer((request, response) => {
    const found = request.url === "/gapminder.csv";
    response.writeHead(found ? 200 : 404, { "content-type": found ? "text/csv" : "text/plain" });
    response.end(found ? csv : "no such data set\n");
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the data server has no port");
  return {
    port: address.port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}

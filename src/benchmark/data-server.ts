import { createServer } from "node:http";
import { PaddockError } from "../errors/error.ts";

/** The name under which sandboxes reach the data; the server is told to trust it at this port of loopback. */
export const DATA_NAME = "data.paddock.test";

export interface DataServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
}

const COUNTRIES = 217;
const FIRST_YEAR = 1960;
const LAST_YEAR = 2023;
/** One row in so many has no value, as in real tables. */
const GAP_EVERY = 19;

/** Serves a table of the size and shape of the seed's GDP file on loopback, for machines that reach no other. */
export async function serveData(): Promise<DataServer> {
  const table = makeTable();
  const server = createServer((request, response) => {
    const found = request.url === "/gdp.csv";
    response.writeHead(found ? 200 : 404, { "content-type": found ? "text/csv" : "text/plain" });
    response.end(found ? table : "no such data set\n");
  });
  const listening = Promise.withResolvers<void>();
  server.on("error", listening.reject).listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new PaddockError("internal", "the data server has no port");
  return {
    port: address.port,
    url: `http://${DATA_NAME}:${address.port}/gdp.csv`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}

/** The same bytes every time: made-up countries that grow at rates of their own, some years without a value. */
export function makeTable(): string {
  const lines = ["Country Name,Country Code,Year,Value"];
  let row = 0;
  for (let country = 1; country <= COUNTRIES; country++) {
    const label = String(country).padStart(3, "0");
    let value = 10 ** (7 + ((country * 37) % 50) / 10);
    for (let year = FIRST_YEAR; year <= LAST_YEAR; year++) {
      value *= 1.01 + ((country * 13 + year * 7) % 60) / 1000;
      row++;
      lines.push(`Country ${label},C${label},${year},${row % GAP_EVERY === 0 ? "" : value.toFixed(2)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

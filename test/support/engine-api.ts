import { request } from "node:http";
import { testEngine } from "./engine.ts";

/** One request to the tests' engine, past our own client. The answer as text. */
export async function askEngine(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const headers = { "content-type": "application/json" };
  const call = request({ socketPath: testEngine().socket, method, path, headers }, (answer) => {
    const chunks: Buffer[] = [];
    answer.on("data", (chunk: Buffer) => chunks.push(chunk));
    answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString("latin1") }));
  });
  call.on("error", reject);
  call.end(body === undefined ? undefined : JSON.stringify(body));
  return await promise;
}

/** Runs a command in a fresh container of an image, without network, as the image's own user. */
export async function runInImage(image: string, argv: readonly string[]): Promise<{ status: number; output: string }> {
  const host = { NetworkMode: "none", ReadonlyRootfs: true, Tmpfs: { "/tmp": "" } };
  const made = await askEngine("POST", "/containers/create", { Image: image, Cmd: argv, Tty: true, HostConfig: host });
  const { Id: id } = JSON.parse(made.text) as { Id: string };
  try {
    await askEngine("POST", `/containers/${id}/start`);
    const ended = await askEngine("POST", `/containers/${id}/wait`);
    const log = await askEngine("GET", `/containers/${id}/logs?stdout=1&stderr=1`);
    return { status: (JSON.parse(ended.text) as { StatusCode: number }).StatusCode, output: log.text };
  } finally {
    await askEngine("DELETE", `/containers/${id}?force=1&v=1`);
  }
}

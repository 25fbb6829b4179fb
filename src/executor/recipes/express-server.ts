import type { PlannedCall } from "../../tools/tool.ts";

/** Bash that stops the server that this workspace started before, if it still runs. */
const STOP_SERVER = String.raw`pid=$(cat .paddock/server.pid 2>/dev/null) || pid=
runs() { [ -n "$pid" ] && grep -qz '^server\.js$' "/proc/$pid/cmdline" 2>/dev/null; }
if runs; then kill "$pid"; fi
for _ in $(seq 100); do
  runs || { rm -f .paddock/server.pid; break; }
  sleep 0.05
done
if runs; then echo "the server (pid $pid) did not stop" >&2; exit 1; fi
`;

const START_SERVER = `${STOP_SERVER}mkdir -p .paddock
echo $$ > .paddock/server.pid
exec node server.js
`;

export function startServer(port: number): PlannedCall {
  const input = { command: START_SERVER, env: { PORT: String(port) }, background: true };
  return { tool: "run_command", input, title: "Start the server" };
}

export function stopServer(): PlannedCall {
  return { tool: "run_command", input: { command: STOP_SERVER }, title: "Stop the server" };
}

/** The first call after the start; tried until the server is up. */
export function checkHello(port: number, message: string): PlannedCall {
  const expect = { status: 200, json: { message } };
  return {
    tool: "http_request",
    input: { url: "/hello", port, expect, timeout_ms: 5000 },
    title: "Check that GET /hello answers",
    attempts: 10,
  };
}

import type { PlannedCall } from "../../tools/tool.ts";

/** Bash that stops the server that this workspace started before, if it still runs. */
const STOP_SERVER = String.raw`pid=$(cat .paddock/server.pid 2>/dev/null) || pid=
if [ -n "$pid" ] && grep -qz '^server\.js$' "/proc/$pid/cmdline" 2>/dev/null; then
  kill "$pid"
  for _ in $(seq 100); do [ -d "/proc/$pid" ] || break; sleep 0.05; done
  [ ! -d "/proc/$pid" ] || { echo "the server (pid $pid) did not stop" >&2; exit 1; }
fi
rm -f .paddock/server.pid
`;

const START_SERVER = String.raw`${STOP_SERVER}mkdir -p .paddock
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

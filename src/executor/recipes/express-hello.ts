import { z } from "zod";
import { checkHello, startServer, stopServer } from "./express-server.ts";
import { portNumber } from "./fields.ts";
import { defineRecipe } from "./recipe.ts";
import { findPort, findRequest, hasWord } from "./task-text.ts";

export const HELLO_MESSAGE = "Hello from Express";

const parameters = z.strictObject({
  port: portNumber.default(3000).describe("Port of the server inside the sandbox."),
});

export const expressHello = defineRecipe<z.infer<typeof parameters>>({
  name: "express-hello",
  title: "Express server with GET /hello",
  description:
    "Makes an npm project, installs Express, writes server.js with GET /hello, and proves it: starts the server, calls it through a forwarded port, checks the JSON, and stops it.",
  example: "Create a Node.js project with npm init, install express, and create a simple server with a /hello route",
  nodeType: "javascript",
  bare: false,
  parameters,
  network: () => ["npm"],
  match: (text) => {
    const verbs = "create|creates|build|make|set up|setup|initialize|initialise|init|scaffold|start|write|npm init";
    const request = findRequest(text, verbs, "express|express\\.js|expressjs");
    if (request === undefined || !hasWord(text.lower, "hello")) return undefined;
    if (!hasWord(text.lower, "server|route|endpoint|npm|node|node\\.js|app")) return undefined;
    const port = findPort(text);
    return { at: request.at, parameters: port === undefined ? {} : { port } };
  },
  plan: ({ port }) => [
    { tool: "run_command", input: { command: ["npm", "init", "-y"] }, title: "Create package.json" },
    {
      tool: "install_packages",
      input: { manager: "npm", packages: ["express"] },
      title: "Install Express",
      timeoutMs: 180_000,
    },
    { tool: "write_file", input: { path: "server.js", content: makeServer(port) }, title: "Write server.js" },
    startServer(port),
    checkHello(port, HELLO_MESSAGE),
    stopServer(),
  ],
});

function makeServer(port: number): string {
  return `const express = require("express");

const app = express();
const port = Number(process.env.PORT ?? ${port});

app.get("/hello", (request, response) => {
  response.json({ message: ${JSON.stringify(HELLO_MESSAGE)} });
});

app.listen(port, "127.0.0.1", () => {
  console.log(\`listening on port \${port}\`);
});
`;
}

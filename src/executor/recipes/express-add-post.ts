import { z } from "zod";
import { HELLO_MESSAGE } from "./express-hello.ts";
import { checkHello, startServer, stopServer } from "./express-server.ts";
import { portNumber } from "./fields.ts";
import { embedJavascript } from "./parameter-literals.ts";
import { defineRecipe } from "./recipe.ts";
import { findPort, findRequest } from "./task-text.ts";

const SAMPLE = { drink: "flat white", cups: 2, note: 'with "oat" milk' };

const parameters = z.strictObject({
  port: portNumber.default(3000).describe("Port of the server inside the sandbox."),
});

export const expressAddPost = defineRecipe<z.infer<typeof parameters>>({
  name: "express-add-post",
  title: "Add POST /data to the Express server",
  description:
    "Adds POST /data, which echoes its JSON body with a timestamp, to the server.js of express-hello, and proves that GET /hello still works and POST /data answers.",
  example: "Add a POST route /data to the Express server that echoes the request body with a timestamp",
  nodeType: "javascript",
  bare: false,
  parameters,
  network: () => [],
  match: (text) => {
    const verbs = "add|adds|adding|create|implement|extend|append|write";
    const request = findRequest(text, verbs, "post", "route|endpoint|handler|/data");
    if (request === undefined) return undefined;
    // Another path is another program.
    const path = /(?<![\w/])\/[a-z][\w/-]*/.exec(request.after.replaceAll("/hello", ""))?.[0];
    if (path !== undefined && path !== "/data") return undefined;
    const port = findPort(text);
    return { at: request.at, parameters: port === undefined ? {} : { port } };
  },
  plan: ({ port }) => [
    {
      tool: "run_javascript",
      input: { code: embedJavascript({ route: ROUTE }, EDIT), file: "add_route.js" },
      title: "Add POST /data to server.js",
    },
    startServer(port),
    checkHello(port, HELLO_MESSAGE),
    {
      tool: "http_request",
      input: {
        method: "POST",
        url: "/data",
        port,
        headers: { "content-type": "application/json" },
        body: JSON.stringify(SAMPLE),
        expect: { status: 200, json: { received: SAMPLE }, has: ["timestamp"] },
        timeout_ms: 5000,
      },
      title: "Check that POST /data echoes with a timestamp",
    },
    stopServer(),
  ],
});

const ROUTE = `APP.post("/data", express.json(), (request, response) => {
  response.json({ received: request.body, timestamp: new Date().toISOString() });
});

`;

/** Puts the route before the server listens; does nothing when it is there. */
const EDIT = String.raw`const fs = process.getBuiltinModule("node:fs");

if (!fs.existsSync("server.js")) throw new Error("there is no server.js; run express-hello in this workspace first");
const source = fs.readFileSync("server.js", "utf8");
const app = /\b(?:const|let|var)\s+(\w+)\s*=\s*express\(\)/.exec(source)?.[1];
if (app === undefined) throw new Error("server.js makes no Express application (const app = express())");
const listening = new RegExp("^.*\\b" + app + "\\.listen\\(", "m").exec(source);
if (listening === null) throw new Error("server.js never listens: there is no " + app + ".listen(");
if (new RegExp("\\b" + app + "\\.post\\(\\s*[\"']/data[\"']").test(source)) {
  console.log("server.js has POST /data already");
} else {
  const route = parameters.route.replace("APP", app);
  fs.writeFileSync("server.js", source.slice(0, listening.index) + route + source.slice(listening.index));
  console.log("added POST /data to server.js");
}
`;

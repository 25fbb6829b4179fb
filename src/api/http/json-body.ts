import { errorCodes } from "fastify";
import { parseStrictJson } from "../../lib/strict-json.ts";
import type { Server } from "./server-services.ts";

/** JSON in UTF-8, whatever the exact media type says about its structure. */
const JSON_TYPE = /^application\/(?:[\w.-]{1,64}\+)?json\s*(?:;\s*charset="?utf-8"?\s*)?$/i;
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Bodies are strict JSON (`src/lib/strict-json.ts`); any other type is refused with 415, and so is a compressed body.
 */
export function readJsonBodies(server: Server): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(JSON_TYPE, { parseAs: "buffer" }, ({ headers }, body, done) => {
    if ((headers["content-encoding"] ?? "identity") !== "identity") {
      done(new errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE(headers["content-encoding"]), undefined);
      return;
    }
    try {
      done(null, parse(body as Buffer));
    } catch (error) {
      const message = error instanceof SyntaxError ? error.message : "the body is no UTF-8";
      done(Object.assign(new SyntaxError(message), { statusCode: 400 }), undefined);
    }
  });
}

function parse(body: Buffer): unknown {
  if (body.length === 0) throw new SyntaxError("EOF while parsing a value");
  return parseStrictJson(decoder.decode(body));
}

import { BodyError, readHead } from "../http/http-body.ts";
import { parseRequestHead, REQUEST_LIMITS } from "../http/http-head.ts";
import { interpretRequest } from "../http/http-request.ts";
import { badRequest, badUpstream, Refusal, renderRefusal } from "../refusal.ts";
import { exchangePlain } from "./http-exchange.ts";
import type { GuestSession } from "./session.ts";
import { serveTunnel } from "./tunnel.ts";

/** Serves one guest connection to its end. Never rejects. */
export async function serveGuest(session: GuestSession): Promise<void> {
  try {
    await session.awaitTurn();
    while (await serveRequest(session));
  } catch (thrown) {
    answerRefusal(session, thrown instanceof Refusal ? thrown : badUpstream("the proxy could not serve the request"));
  }
  session.dropLink();
  session.endTimers();
  await linger(session);
}

async function serveRequest(session: GuestSession): Promise<boolean> {
  session.phase = "head";
  const bytes = await readRequestHead(session);
  if (!bytes) return false;
  session.phase = "busy";
  const request = interpretRequest(parseRequestHead(bytes));
  if (request.kind === "plain") return await exchangePlain(session, request);
  await serveTunnel(session, request);
  return false;
}

async function readRequestHead(session: GuestSession): Promise<Buffer | null> {
  const { headTimeoutMs } = session.shared.budgets;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await readHead(session.reader, REQUEST_LIMITS.bytes, () => {
      session.touch();
      const late = new Refusal(408, "denied", `the head took longer than ${headTimeoutMs} ms`);
      timer = setTimeout(() => session.cut(late), headTimeoutMs);
    });
  } catch (thrown) {
    if (!(thrown instanceof BodyError)) throw thrown;
    throw session.failure ?? badRequest(thrown.message);
  } finally {
    clearTimeout(timer);
  }
}

function answerRefusal(session: GuestSession, refusal: Refusal): void {
  const canAnswer = session.phase === "head" || session.phase === "busy";
  if (canAnswer && !session.stream.destroyed && !session.stream.writableEnded)
    session.stream.write(renderRefusal(refusal));
  else session.stream.destroy();
}

/**
 * Ends the guest's side and drains what it still sends, so that the answer is read before the connection goes. A guest
 * that does not take the answer's end is idle; one that has it may take a moment to close.
 */
async function linger({ stream, reader, shared }: GuestSession): Promise<void> {
  reader.release();
  if (stream.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const destroy = (): void => void stream.destroy();
  let timer = setTimeout(destroy, shared.budgets.idleTimeoutMs);
  stream.once("finish", () => {
    clearTimeout(timer);
    timer = setTimeout(destroy, shared.budgets.lingerMs);
  });
  stream.once("close", resolve);
  stream.end();
  stream.resume();
  await promise;
  clearTimeout(timer);
}

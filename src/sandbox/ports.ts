import type { Duplex } from "node:stream";
import { PaddockError } from "../errors/error.ts";
import { makeToolCallId } from "../model/ids.ts";
import type { Channel } from "./channel/channel.ts";
import { breach } from "./channel/frames.ts";
import { Connected, DONE, expectMessage, Failed } from "./channel/messages.ts";
import { Tunnel } from "./channel/tunnel.ts";

/** Connects to a loopback port inside. The stream's end gives the connection back. */
export async function openPort(channel: Channel, port: number, takeMs: number): Promise<Duplex> {
  const connection = await channel.take(takeMs);
  const opened = Promise.withResolvers<void>();
  let finished = false;
  const tunnel = new Tunnel(connection, {
    ownsConnection: false,
    onClosed: () => {
      if (!finished) connection.destroy();
      opened.reject(new PaddockError("file_error", `port ${port} closed before it answered`));
    },
    onControl: (control) => {
      if (control.op === "connected") {
        expectMessage(Connected, control);
        opened.resolve();
        return;
      }
      if (control.op === "failed") {
        const failed = expectMessage(Failed, control);
        opened.reject(new PaddockError("not_found", `no answer on port ${port}: ${failed.message}`));
      } else if (control.op === "done") expectMessage(DONE.connect, control);
      else throw breach(`event ${control.op.slice(0, 32)} inside a tunnel`);
      finished = true;
      connection.sendControl({ op: "release" });
      channel.giveBack(connection);
      if (control.op === "done") tunnel.release();
      else tunnel.destroy();
    },
  });
  tunnel.on("error", () => undefined);
  connection.sendControl({ op: "connect", call: makeToolCallId(), port });
  await opened.promise;
  return tunnel;
}

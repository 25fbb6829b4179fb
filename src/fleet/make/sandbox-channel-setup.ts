import { PaddockError, toPaddockError } from "../../errors/error.ts";
import type { EgressProxy } from "../../network/proxy/proxy.ts";
import { Channel } from "../../sandbox/channel/channel.ts";
import type { SandboxHost } from "../../sandbox/host.ts";
import type { Sandbox } from "../../sandbox/sandbox.ts";

/**
 * One sandbox's channel while the sandbox comes up: relays go to its proxy, and a breach kills whatever exists by then.
 */
export class Wiring {
  readonly channel: Channel;
  host: SandboxHost | undefined;
  sandbox: Sandbox | undefined;
  /** Why the channel broke before there was a sandbox to kill. */
  breach: PaddockError | undefined;

  private constructor(channel: Channel) {
    this.channel = channel;
  }

  /** Throws `create_failed` where no socket can be opened in the folder. */
  static async listen(socketDir: string, key: string, proxy: EgressProxy): Promise<Wiring> {
    let wiring: Wiring | undefined;
    try {
      const channel = await Channel.listen(socketDir, key, {
        relay: (tunnel, callId) => proxy.handle(tunnel, callId),
        breach: (error) => wiring?.break(toPaddockError(error)),
      });
      wiring = new Wiring(channel);
      return wiring;
    } catch (cause) {
      throw new PaddockError("create_failed", `no socket could be opened in ${socketDir}`, { cause });
    }
  }

  break(error: PaddockError): void {
    this.breach = error;
    if (this.sandbox) void this.sandbox.kill(error);
    else void this.host?.kill(error.message);
  }
}

import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { startSuperLink } from "../../src/appio/superlink/superlink.ts";
import { startSuperNode } from "../../src/appio/supernode/supernode.ts";
import { parseToken } from "../../src/policy/token.ts";
import { serveMailbox } from "../serve/mailbox-server.ts";

/**
 * An address of this machine that is not 127.0.0.1: a server on every address answers there too. macOS has none,
 * which is as good as a refusal.
 */
const otherAddress = "127.0.0.2";

async function answersElsewhere(url: string): Promise<boolean> {
  const socket = connect({ host: otherAddress, port: Number(new URL(url).port), timeout: 5_000 });
  socket.on("timeout", () => socket.destroy(new Error("timed out")));
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

const startLink = (host?: string) =>
  startSuperLink({
    databasePath: ":memory:",
    operatorToken: parseToken("operator-of-this-test"),
    ...{ serverAppIoPort: 0, fleetPort: 0, controlPort: 0 },
    ...(host === undefined ? {} : { host }),
  });

describe("unless told otherwise, only this machine reaches", () => {
  it("what serve serves", async () => {
    await using mailbox = await serveMailbox();
    expect(await answersElsewhere(mailbox.server.url)).toBe(false);
  });

  it("a SuperLink and a SuperNode", async () => {
    await using link = await startLink();
    const node = await startSuperNode({ fleet: link.fleetUrl, clientAppIoPort: 0 });
    try {
      for (const url of [link.serverAppIoUrl, link.fleetUrl, link.controlUrl]) {
        expect(await answersElsewhere(url)).toBe(false);
      }
      expect(await answersElsewhere(node.clientAppIoUrl)).toBe(false);
    } finally {
      await node.close();
    }
  });
});

it.skipIf(process.platform === "darwin")("told otherwise, others do as well", async () => {
  await using link = await startLink("0.0.0.0");
  expect(await answersElsewhere(link.fleetUrl)).toBe(true);
});

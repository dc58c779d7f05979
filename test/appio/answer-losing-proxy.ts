import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A TCP proxy in front of an HTTP/2 server, which can lose answers. */
export interface AnswerLosingProxy extends AsyncDisposable {
  readonly url: string;
  /** Breaks the connection in place of the next answer: the server has done what it was asked. */
  loseNextAnswer(): void;
  /** How many answers were lost. */
  lost(): number;
}

const frameHead = 9;
const headersFrame = 1;

/** Opens a proxy in front of the server at a URL. */
export async function openAnswerLosingProxy(target: string): Promise<AnswerLosingProxy> {
  const { hostname, port: targetPort } = new URL(target);
  let isLosing = false;
  let lost = 0;
  const proxy = createServer((client) => {
    const server = connect({ port: Number(targetPort), host: hostname });
    let unread = Buffer.alloc(0);
    client.pipe(server);
    server.on("data", (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      while (unread.length >= frameHead) {
        const length = frameHead + unread.readUIntBE(0, 3);
        if (unread.length < length) {
          return;
        }
        if (isLosing && unread[3] === headersFrame) {
          isLosing = false;
          lost += 1;
          client.resetAndDestroy();
          server.destroy();
          return;
        }
        client.write(unread.subarray(0, length));
        unread = unread.subarray(length);
      }
    });
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on("error", () => {});
      one.once("close", () => other.destroy());
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const address = proxy.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    loseNextAnswer() {
      isLosing = true;
    },
    lost: () => lost,
    [Symbol.asyncDispose]: async () => {
      proxy.close();
    },
  };
}

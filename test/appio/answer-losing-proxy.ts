import type { Socket } from "node:net";
import { openTcpProxy, type TcpProxy } from "../tcp-proxy.ts";

/** A TCP proxy in front of an HTTP/2 server, which can lose answers. */
export interface AnswerLosingProxy extends TcpProxy {
  /** Breaks the connection in place of the next answer: the server has done what it was asked. */
  loseNextAnswer(): void;
  /** How many answers were lost. */
  lost(): number;
}

const frameHead = 9;
const headersFrame = 1;

/** Opens a proxy in front of the server at a URL. */
export async function openAnswerLosingProxy(target: string): Promise<AnswerLosingProxy> {
  let isLosing = false;
  let lost = 0;
  const join = (client: Socket, server: Socket) => {
    let unread = Buffer.alloc(0);
    client.pipe(server);
    server.once("end", () => client.end());
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
  };
  const proxy = await openTcpProxy(Number(new URL(target).port), join);
  return {
    ...proxy,
    loseNextAnswer() {
      isLosing = true;
    },
    lost: () => lost,
  };
}

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A TCP proxy in front of a server of the tests. */
export interface TcpProxy extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

/**
 * Opens a proxy in front of a port. When one side of a connection breaks, the
 * other goes too; a side that only ends lets the other go on.
 *
 * @param join passes on what the two sides of a new connection send.
 */
export async function openTcpProxy(
  targetPort: number,
  join: (client: Socket, server: Socket) => void,
): Promise<TcpProxy> {
  const proxy = createServer({ allowHalfOpen: true }, (client) => {
    const server = connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true });
    join(client, server);
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
    port,
    [Symbol.asyncDispose]: async () => {
      proxy.close();
    },
  };
}

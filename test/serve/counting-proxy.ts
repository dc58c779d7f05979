import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A TCP proxy in front of a server of the tests, which counts what clients send. */
export interface CountingProxy extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Bytes passed on to the server so far, by all connections. */
  sentBytes(): number;
}

/** Opens a proxy in front of a port. */
export async function openProxy(targetPort: number): Promise<CountingProxy> {
  let bytes = 0;
  const proxy = createServer({ allowHalfOpen: true }, (client) => {
    const server = connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true });
    client.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    client.pipe(server);
    server.pipe(client);
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
    sentBytes: () => bytes,
    [Symbol.asyncDispose]: async () => {
      proxy.close();
    },
  };
}

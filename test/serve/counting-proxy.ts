import { openTcpProxy, type TcpProxy } from "../tcp-proxy.ts";

/** A TCP proxy in front of a server of the tests, which counts what clients send. */
export interface CountingProxy extends TcpProxy {
  /** Bytes passed on to the server so far, by all connections. */
  sentBytes(): number;
}

/** Opens a proxy in front of a port. */
export async function openProxy(targetPort: number): Promise<CountingProxy> {
  let bytes = 0;
  const proxy = await openTcpProxy(targetPort, (client, server) => {
    client.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    client.pipe(server);
    server.pipe(client);
  });
  return { ...proxy, sentBytes: () => bytes };
}

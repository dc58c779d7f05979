import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A server behind a front. */
export interface Target {
  readonly port: number;
  /** How many connections it has. */
  connections: number;
  /** Whether new connections go there. */
  isUp: boolean;
  /** Whether what it sends goes on to the clients; while not, it is lost. */
  answersPass: boolean;
}

/** What stands before the replicas of one service: a load balancer for TCP connections. */
export interface Front {
  readonly url: string;
  readonly targets: readonly Target[];
  /** Puts another server in the place of one that is gone. */
  replace(index: number, url: string): void;
  /** Ends all connections; what was under way in them is lost. */
  cut(): void;
  close(): Promise<void>;
}

/**
 * Starts a front that deals connections out in turn, to servers that are up. A
 * connection ends with its server's; nothing is retried or changed.
 */
export async function startFront(urls: readonly string[]): Promise<Front> {
  const targets = urls.map(targetOf);
  const sockets = new Set<Socket>();
  let next = 0;

  const server = createServer((client) => {
    const up = targets.filter(({ isUp }) => isUp);
    const target = up[next++ % up.length];
    if (target === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect(target.port, "127.0.0.1");
    target.connections += 1;
    upstream.on("close", () => {
      target.connections -= 1;
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (bytes) => upstream.write(bytes));
    upstream.on("data", (bytes) => {
      if (target.answersPass) {
        client.write(bytes);
      }
    });
  });
  const cut = () => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    targets,
    replace(index, url) {
      targets[index] = targetOf(url);
    },
    cut,
    async close() {
      server.close();
      cut();
    },
  };
}

function targetOf(url: string): Target {
  return { port: Number(new URL(url).port), connections: 0, isUp: true, answersPass: true };
}

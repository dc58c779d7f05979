import { createServer as createHttp1Server, type IncomingMessage } from "node:http";
import { createServer as createHttp2Server, type Http2ServerRequest } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { anyOf, credential, definePolicy, open, requires } from "countersign";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";

export const session = credential("session", {
  header: "mailbox-session",
  secretField: "session",
  claims: { mailboxId: "bigint" },
});

export const signature = credential("signature", {
  headers: ["mailbox-key-bin", "mailbox-time"],
  claims: { mailboxId: "bigint" },
});

/** Every protected RPC requires a session. */
export const sessionPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: requires(session),
  importLetters: requires(session),
  converse: requires(session),
});

/** Every protected RPC takes a session or a signature. */
export const eitherPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: anyOf([session, signature]),
  sendLetter: anyOf([session, signature]),
  watchLetters: anyOf([session, signature]),
  importLetters: anyOf([session, signature]),
  converse: anyOf([session, signature]),
});

/** What a server saw of one call. */
export interface SeenCall {
  readonly rpc: string;
  readonly header: Headers;
}

/** A Mailbox that guards nothing, and records what it was sent. */
export function recordingMailbox(): { routes: (router: ConnectRouter) => void; seen: SeenCall[] } {
  const seen: SeenCall[] = [];
  const routes = (router: ConnectRouter) =>
    router.service(
      Mailbox,
      {
        getBulletin: () => ({ text: "welcome" }),
        openSession: () => ({ session: "s-1" }),
        countLetters: () => ({ count: 3 }),
        sendLetter: (request) => ({ mailboxId: request.mailboxId }),
        async *watchLetters() {
          yield { letter: { text: "first" } };
          yield { letter: { text: "second" } };
        },
        async importLetters(requests) {
          let count = 0;
          for await (const _ of requests) {
            count++;
          }
          return { count };
        },
        async *converse(requests) {
          for await (const { mailboxId } of requests) {
            yield { mailboxId };
          }
        },
      },
      {
        interceptors: [
          (next) => async (request) => {
            seen.push({ rpc: request.method.localName, header: new Headers(request.header) });
            const response = await next(request);
            response.header.set("mailbox-greeting", "hello");
            response.trailer.set("mailbox-farewell", "bye");
            return response;
          },
        ],
      },
    );
  return { routes, seen };
}

/** A server on a port of its own, with the raw headers of every request that reached it. */
export interface RawServer {
  readonly url: string;
  readonly requests: string[][];
  close(): Promise<void>;
}

type Listener = ReturnType<typeof connectNodeAdapter>;

/** Serves HTTP/1.1 or cleartext HTTP/2 on a free port of the loopback interface. */
export async function listen(httpVersion: "1.1" | "2", listener: Listener): Promise<RawServer> {
  const requests: string[][] = [];
  const record = (
    request: IncomingMessage | Http2ServerRequest,
    response: Parameters<Listener>[1],
  ) => {
    requests.push([...request.rawHeaders]);
    listener(request, response);
  };
  const server = httpVersion === "1.1" ? createHttp1Server(record) : createHttp2Server(record);
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (one) => sessions.add(one));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // Listening on a port: the address is never a pipe's name or null.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const one of sessions) {
        one.destroy();
      }
      if ("closeAllConnections" in server) {
        server.closeAllConnections();
      }
      await closed;
    },
  };
}

/** Every value of a header as it arrived, in any case of its name. */
export function rawValues(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
}

export async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of iterable) {
    all.push(one);
  }
  return all;
}

export async function* each<T>(...values: T[]): AsyncIterable<T> {
  yield* values;
}

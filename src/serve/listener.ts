import { createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { Exchange } from "./exchange.ts";
import { Handshakes } from "./handshakes.ts";
import { createHttpServers } from "./http-servers.ts";
import type { ResolvedLimits } from "./limits.ts";
import { sniffProtocol } from "./sniff.ts";
import type { UnsentAnswers } from "./unsent-answers.ts";

/** TLS settings of a server, as node:tls takes them. */
export type ServeTls = Pick<
  TlsOptions,
  | "cert"
  | "key"
  | "passphrase"
  | "pfx"
  | "ca"
  | "crl"
  | "requestCert"
  | "rejectUnauthorized"
  | "minVersion"
  | "maxVersion"
  | "ciphers"
  | "SNICallback"
>;

/** What a listener needs. */
export interface ListenOptions {
  readonly port: number;
  readonly host: string;
  readonly tls: ServeTls | undefined;
  readonly limits: ResolvedLimits;
  readonly answers: UnsentAnswers;
  readonly onExchange: (exchange: Exchange) => void;
}

/** One open port. */
export interface Listener {
  /** The port's number. */
  readonly port: number;
  /** Resolves when the port and all connections are closed. */
  readonly closed: Promise<void>;
  /** Takes no new connections, and lets each one close after the calls on it. */
  drain(): void;
  /** Closes every connection at once. */
  destroy(): void;
}

/**
 * Opens one port that speaks HTTP/1.1 and HTTP/2: in plaintext told apart by the
 * connection's first bytes, over TLS by ALPN.
 *
 * @throws the error of the operating system if the port cannot be opened.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { limits, tls } = options;
  let resolveClosed = () => {};
  const closed = new Promise<void>((resolve) => {
    resolveClosed = resolve;
  });
  const servers = createHttpServers(
    tls === undefined ? "http" : "https",
    limits,
    options.answers,
    options.onExchange,
  );
  const handshakes = new Handshakes(limits.headersTimeoutMs);
  // A peer that ends its side of the connection may still wait for an answer.
  const socketOptions = { allowHalfOpen: true, noDelay: true };
  const port: TcpServer =
    tls === undefined
      ? createTcpServer(socketOptions, (socket) => sniffProtocol(socket, servers.accept(socket)))
      : createTlsServer(
          { ...tls, ...socketOptions, ALPNProtocols: ["h2", "http/1.1"] },
          (socket) => {
            handshakes.end(socket);
            servers.accept(socket)(socket.alpnProtocol === "h2" ? "http2" : "http1");
          },
        ).on("connection", (socket: Socket) => handshakes.begin(socket));
  port.maxConnections = limits.maxConnections;
  const number = await opened(port, options.port, options.host);
  return {
    port: number,
    closed,
    drain: () => {
      // Calls back when every connection has closed.
      port.close(() => resolveClosed());
      handshakes.destroy();
      for (const connection of servers.connections()) {
        connection.drain();
      }
    },
    destroy: () => {
      handshakes.destroy();
      for (const connection of servers.connections()) {
        connection.destroy();
      }
    },
  };
}

/** Starts to listen; resolves with the number of the port. */
function opened(server: TcpServer, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host }, () => {
      server.off("error", reject);
      // Errors of accept (too many open files) are not errors of the process.
      server.on("error", () => {});
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

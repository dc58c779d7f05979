import {
  createServer as createHttp1Server,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { Connection } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import { Http1Connection } from "./http1-connection.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import { Http2Connection } from "./http2-connection.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import type { ResolvedLimits } from "./limits.ts";
import { sniffProtocol } from "./sniff.ts";

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
  readonly onExchange: (exchange: Exchange) => void;
}

/** One open port. */
export interface Listener {
  /** The port's number. */
  readonly port: number;
  /** Takes no new connections, and lets each one close after the calls on it. */
  drain(): void;
  /** Closes every connection at once. */
  destroy(): void;
  /** Resolves when the port and all connections are closed. */
  readonly closed: Promise<void>;
}

/**
 * Opens one port that speaks HTTP/1.1 and HTTP/2: in plaintext told apart by the
 * connection's first bytes, over TLS by ALPN.
 *
 * @throws the error of the operating system if the port cannot be opened.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { limits, tls, onExchange } = options;
  const connections = new Map<Socket, Connection>();
  const scheme = tls === undefined ? "http" : "https";

  // Neither of the two listens: they are handed the sockets of the port.
  const http1 = createHttp1Server({
    keepAliveTimeout: limits.idleTimeoutMs,
    maxHeaderSize: limits.maxHeaderBytes,
    requestTimeout: 0,
    // Answered by our own check, like every other malformed authority.
    requireHostHeader: false,
  });
  // 0 is no limit: what is beyond a limit Node drops without a word, and a
  // repeated credential with it. Our own check counts.
  http1.maxHeadersCount = 0;
  const http2 = createHttp2Server({
    maxHeaderListPairs: limits.maxHeaderCount + 8,
    maxSessionInvalidFrames: 100,
    // In MiB. Node counts what waits to be sent, and resets further calls of a
    // connection over 10: one answer that carries a model is more.
    maxSessionMemory: 8_192,
    settings: {
      maxConcurrentStreams: limits.maxConcurrentStreams,
      initialWindowSize: limits.streamWindowBytes,
      maxHeaderListSize: limits.maxHeaderBytes,
    },
  });

  const onHttp1Request =
    (expectsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      const connection = connections.get(request.socket);
      if (!(connection instanceof Http1Connection)) {
        request.socket.destroy();
        return;
      }
      connection.requestBegan();
      const exchange = new Http1Exchange(
        request,
        response,
        scheme,
        expectsContinue,
        () => connection.isLast,
      );
      exchange.onClose(() => connection.requestEnded());
      onExchange(exchange);
    };
  http1.on("request", onHttp1Request(false));
  http1.on("checkContinue", onHttp1Request(true));

  const http2Sockets: Socket[] = [];
  http2.on("session", (session) => {
    const socket = http2Sockets.pop();
    if (socket === undefined) {
      session.destroy();
      return;
    }
    connections.set(
      socket,
      new Http2Connection(session, socket, limits, (stream, flat) =>
        onExchange(new Http2Exchange(stream, flat, scheme)),
      ),
    );
  });

  const onSocket = (socket: Socket) => {
    const connection = new Http1Connection(socket, limits);
    connections.set(socket, connection);
    socket.on("error", () => {});
    socket.once("close", () => {
      connections.delete(socket);
      settle();
    });
    const alpn = "alpnProtocol" in socket ? socket.alpnProtocol : undefined;
    const adopt = (protocol: "http1" | "http2") => {
      if (protocol === "http1") {
        http1.emit("connection", socket);
        return;
      }
      connection.release();
      // HTTP/1 answers a peer that has ended its side; for HTTP/2 it is gone.
      socket.allowHalfOpen = false;
      // The session is made, and announced, during the call.
      http2Sockets.push(socket);
      http2.emit("connection", socket);
    };
    if (tls === undefined) {
      sniffProtocol(socket, adopt);
    } else {
      adopt(alpn === "h2" ? "http2" : "http1");
    }
  };

  const port: TcpServer =
    tls === undefined
      ? createTcpServer({ allowHalfOpen: true, noDelay: true }, onSocket)
      : createTlsServer(
          {
            ...tls,
            allowHalfOpen: true,
            noDelay: true,
            ALPNProtocols: ["h2", "http/1.1"],
            handshakeTimeout: limits.headersTimeoutMs,
          },
          (socket: TLSSocket) => onSocket(socket),
        );
  port.maxConnections = limits.maxConnections;
  // Over TLS these are the sockets below, some of which still shake hands.
  const accepted = new Set<Socket>();
  port.on("connection", (socket: Socket) => {
    accepted.add(socket);
    socket.once("close", () => accepted.delete(socket));
  });

  let isClosed = false;
  let resolveClosed = () => {};
  const closed = new Promise<void>((resolve) => {
    resolveClosed = resolve;
  });
  const settle = () => {
    if (isClosed && connections.size === 0) {
      resolveClosed();
    }
  };

  const number = await opened(port, options.port, options.host);
  return {
    port: number,
    closed,
    drain: () => {
      port.close(() => {
        isClosed = true;
        settle();
      });
      for (const connection of connections.values()) {
        connection.drain();
      }
    },
    destroy: () => {
      for (const connection of connections.values()) {
        connection.destroy();
      }
      for (const socket of accepted) {
        socket.destroy();
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

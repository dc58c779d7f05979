import {
  createServer as createHttp1Server,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Connection } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import { Http1Connection } from "./http1-connection.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import { Http2Connection } from "./http2-connection.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import type { ResolvedLimits } from "./limits.ts";
import type { SniffedProtocol } from "./sniff.ts";
import type { UnsentAnswers } from "./unsent-answers.ts";

/** What speaks HTTP on the connections of a port. */
export interface HttpServers {
  /**
   * Watches a new connection, whose protocol is not known yet, and returns how
   * to go on when it is.
   */
  accept(socket: Socket): (protocol: SniffedProtocol) => void;
  /** The open connections. */
  connections(): Iterable<Connection>;
}

/**
 * Makes one server per version of HTTP. Neither listens: they are handed
 * connections.
 */
export function createHttpServers(
  scheme: "http" | "https",
  limits: ResolvedLimits,
  answers: UnsentAnswers,
  onExchange: (exchange: Exchange) => void,
): HttpServers {
  const connections = new Map<Socket, Connection>();

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
  const onHttp1Request =
    (expectsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      const { socket } = request;
      const connection = connections.get(socket);
      if (socket.destroyed) {
        // Node goes on with what it has read of a connection that has just been destroyed.
        return;
      }
      if (!(connection instanceof Http1Connection && connection.hasRoom)) {
        socket.destroy();
        return;
      }
      connection.requestBegan();
      const isLast = () => connection.isLast;
      const exchange = new Http1Exchange(
        request,
        response,
        scheme,
        expectsContinue,
        connection,
        answers,
        isLast,
      );
      exchange.onClose(() => connection.requestEnded());
      onExchange(exchange);
    };
  http1.on("request", onHttp1Request(false));
  http1.on("checkContinue", onHttp1Request(true));

  const http2 = createHttp2Server({
    // The pseudo headers are counted too.
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
  const adoptHttp2 = (socket: Socket) => {
    // HTTP/1 answers a peer that has ended its side; for HTTP/2 it is gone.
    socket.allowHalfOpen = false;
    const onSession = (session: ServerHttp2Session) => {
      const connection = new Http2Connection(session, socket, limits, (stream, flat, onClose) =>
        onExchange(new Http2Exchange(stream, flat, scheme, connection, answers, onClose)),
      );
      connections.set(socket, connection);
    };
    // The session is announced before emit returns, or never.
    http2.once("session", onSession);
    http2.emit("connection", socket);
    http2.off("session", onSession);
  };

  return {
    connections: () => connections.values(),
    accept: (socket) => {
      const connection = new Http1Connection(socket, limits);
      connections.set(socket, connection);
      socket.on("error", ignore);
      socket.once("close", () => connections.delete(socket));
      return (protocol) => {
        if (socket.destroyed) {
          return;
        }
        if (protocol === "http1") {
          http1.emit("connection", socket);
        } else {
          connection.release();
          adoptHttp2(socket);
        }
      };
    },
  };
}

function ignore(): void {}

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  sensitiveHeaders,
} from "node:http2";
import { Flood } from "./flood.ts";
import {
  type Ending,
  type ExchangeLimits,
  entriesOf,
  noAnswer,
  type RawAnswer,
} from "./raw-answer.ts";
import type { HeaderEntries, RawRequest } from "./raw-request.ts";
import type { CheckedTarget } from "./target.ts";

/** The most headers that node:http2 may send: more than the matrix has. */
const maxSendHeaderBlockLength = 1024 * 1024;

/** How long an upload may stand still, once it was answered, before it counts as stopped. */
const stalledMs = 100;

/** Connections of HTTP/2 to one server: one that is kept, and others that are not. */
export class Http2Connections {
  readonly #target: CheckedTarget;
  #kept: ClientHttp2Session | undefined;

  constructor(target: CheckedTarget) {
    this.#target = target;
  }

  /**
   * Sends a request. Never rejects.
   *
   * @param isApart - on a connection of its own: for what may cost it, and where bytes are counted.
   */
  async call(request: RawRequest, limits: ExchangeLimits, isApart: boolean): Promise<RawAnswer> {
    if (isApart) {
      const session = this.#open();
      try {
        return await this.#callOn(session, request, limits);
      } finally {
        session.destroy();
      }
    }
    if (this.#kept === undefined || this.#kept.closed || this.#kept.destroyed) {
      this.#kept = this.#open();
    }
    return this.#callOn(this.#kept, request, limits);
  }

  /** Closes the connection that was kept. */
  close(): void {
    this.#kept?.destroy();
    this.#kept = undefined;
  }

  #open(): ClientHttp2Session {
    const { origin, ca } = this.#target;
    const session = connect(origin, {
      maxSendHeaderBlockLength,
      ...(ca === undefined ? {} : { ca }),
    });
    session.on("error", () => {});
    return session;
  }

  #callOn(
    session: ClientHttp2Session,
    request: RawRequest,
    limits: ExchangeLimits,
  ): Promise<RawAnswer> {
    return new Promise((resolve) => {
      const stream = this.#send(session, request);
      if (stream === undefined) {
        resolve(noAnswer("unreachable"));
        return;
      }
      const received = new Received(limits.answerBytes);
      received.listenTo(stream);
      let sentBodyBytes = 0;
      let stalled: ReturnType<typeof setTimeout> | undefined;
      let isAnswered = false;
      const flood = new Flood(limits.floodBytes, (chunk, then) =>
        stream.write(chunk, () => {
          sentBodyBytes += chunk.byteLength;
          stalled?.refresh();
          then();
        }),
      );
      const settle = (ending: Ending) => {
        clearTimeout(timer);
        clearTimeout(stalled);
        flood.stop();
        resolve(received.answer(isAnswered ? "answered" : ending, sentBodyBytes));
        stream.close(constants.NGHTTP2_CANCEL);
      };
      const timer = setTimeout(() => settle("timeout"), limits.timeoutMs);
      flood.onFull = () => settle("timeout");
      stream.on("error", () => {});
      stream.once("end", () => {
        isAnswered = received.hasResponse;
        if (request.afterBody === "flood") {
          // Goes on until it is stopped: a reset, or a window that does not open any more.
          stalled = setTimeout(() => settle("answered"), stalledMs);
        } else if (isAnswered) {
          settle("answered");
        }
      });
      stream.once("close", () => settle(session.connecting ? "unreachable" : "reset"));
      received.onFull = () => settle("timeout");
      if (request.body.byteLength > 0) {
        stream.write(request.body, () => {
          sentBodyBytes += request.body.byteLength;
        });
      }
      if (request.afterBody === "flood") {
        flood.start();
      } else if (request.afterBody === "end" && !stream.writableEnded) {
        stream.end();
      }
    });
  }

  #send(session: ClientHttp2Session, request: RawRequest): ClientHttp2Stream | undefined {
    const { method, target, headers, body, afterBody, announcedBytes } = request;
    // A list of values is sent as that many header fields, not joined.
    const fields = new Map<string, string[]>();
    for (const [name, value] of headers) {
      fields.set(name, [...(fields.get(name) ?? []), value]);
    }
    const announced = announcedBytes ?? (afterBody === "end" ? body.byteLength : undefined);
    const isEmpty = body.byteLength === 0 && afterBody === "end";
    try {
      return session.request(
        {
          ":method": method,
          ":path": target,
          ...Object.fromEntries(
            [...fields].map(([name, [first = "", ...others]]) => [
              name,
              others.length === 0 ? first : [first, ...others],
            ]),
          ),
          ...(announced === undefined || (isEmpty && announced === 0)
            ? {}
            : { "content-length": String(announced) }),
          // Kept out of HPACK's table: what a server made of one call's header must not
          // come back with another's, as it does in gRPC's C core after a bad base64.
          [sensitiveHeaders]: [...fields.keys()],
        },
        { endStream: isEmpty },
      );
    } catch {
      // The connection has gone in between.
      return undefined;
    }
  }
}

/** What comes back on a stream. */
class Received {
  onFull = () => {};
  hasResponse = false;
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #headers: HeaderEntries = [];
  #trailers: HeaderEntries = [];

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  listenTo(stream: ClientHttp2Stream): void {
    stream.on("response", (_headers, _flags, flat: string[]) => {
      this.hasResponse = true;
      this.#headers = entriesOf(flat);
    });
    stream.on("trailers", (_headers, _flags, flat: string[]) => {
      this.#trailers = entriesOf(flat);
    });
    stream.on("data", (chunk: Buffer) => {
      this.#bytes += chunk.byteLength;
      if (this.#bytes > this.#maxBytes) {
        this.onFull();
      } else {
        this.#chunks.push(chunk);
      }
    });
  }

  answer(ending: Ending, sentBodyBytes: number): RawAnswer {
    const status = Number(this.#headers.find(([name]) => name === ":status")?.[1] ?? 0);
    return {
      ending,
      status,
      headers: this.#headers,
      body: Buffer.concat(this.#chunks),
      trailers: this.#trailers,
      sentBodyBytes,
    };
  }
}

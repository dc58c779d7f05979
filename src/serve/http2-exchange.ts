import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { callerGone, sendAnswer } from "./answer-body.ts";
import { type BodyLimit, type Exchange, pairHeaders, type RawHeaders } from "./exchange.ts";
import { outgoingHeaders } from "./outgoing-headers.ts";
import { drainBody, readBody } from "./request-body.ts";

/** An exchange on an HTTP/2 stream. */
export class Http2Exchange implements Exchange {
  readonly httpVersion = "2.0";
  readonly connection: object;
  readonly scheme: "http" | "https";
  readonly method: string;
  readonly target: string;
  readonly authorities: readonly string[];
  readonly rawHeaders: RawHeaders;
  readonly #stream: ServerHttp2Stream;
  #controller: AbortController | undefined;
  #hasAnswer = false;
  #isAnswered = false;

  /** @param flat - names and values as node:http2 received them, in one list. */
  constructor(stream: ServerHttp2Stream, flat: readonly string[], scheme: "http" | "https") {
    this.#stream = stream;
    this.connection = stream.session ?? stream;
    this.scheme = scheme;
    this.method = pseudoHeader(flat, ":method");
    this.target = pseudoHeader(flat, ":path");
    this.rawHeaders = pairHeaders(flat);
    const authority = pseudoHeader(flat, ":authority");
    const hosts = this.rawHeaders.filter(([name]) => name === "host").map(([, value]) => value);
    this.authorities = authority === "" ? hosts : [authority, ...hosts];
    const onGone = () => {
      if (!this.#isAnswered) {
        this.#controller?.abort(callerGone());
      }
    };
    stream.once("close", onGone);
    // A reset without an error closes a stream only when its body has been read.
    stream.once("aborted", () => {
      onGone();
      drainBody(stream);
    });
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.isClosed) {
        this.#controller.abort(callerGone());
      }
    }
    return this.#controller.signal;
  }

  get isClosed(): boolean {
    return this.#stream.closed || this.#stream.destroyed;
  }

  onClose(listener: () => void): void {
    if (this.#stream.destroyed) {
      listener();
    } else {
      this.#stream.once("close", listener);
    }
  }

  body(limit: BodyLimit | undefined): AsyncIterable<Uint8Array> {
    return readBody(this.#stream, limit, () => this.isClosed && !this.#isAnswered);
  }

  async answer(response: UniversalServerResponse): Promise<void> {
    if (this.#hasAnswer) {
      return;
    }
    this.#hasAnswer = true;
    const stream = this.#stream;
    const hasContent = response.body !== undefined || response.trailer !== undefined;
    await sendAnswer(response.body, {
      writable: stream,
      isClosed: () => this.isClosed,
      begin: () =>
        stream.respond(
          { ":status": response.status, ...outgoingHeaders(response.header) },
          { endStream: !hasContent, waitForTrailers: response.trailer !== undefined },
        ),
      finish: () => {
        this.#isAnswered = true;
        if (response.trailer !== undefined) {
          const { trailer } = response;
          stream.once("wantTrailers", () => this.#sendTrailers(outgoingHeaders(trailer)));
        } else {
          stream.once("finish", () => this.#stopUpload());
        }
        stream.end();
      },
      fail: () => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
    });
  }

  #sendTrailers(trailers: OutgoingHttpHeaders): void {
    try {
      this.#stream.sendTrailers(trailers);
      this.#stopUpload();
    } catch {
      // Called by an event, where an error would end the process: trailers of a
      // handler's own may be none that HTTP/2 allows, such as "connection".
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  /**
   * Asks the peer to stop an upload that nobody reads: after a complete answer
   * a server may reset the stream without an error (RFC 9113, section 8.1).
   */
  #stopUpload(): void {
    // In a later turn, so that the end of the answer leaves before the reset.
    setImmediate(() => {
      if (this.isClosed) {
        return;
      }
      if (this.#stream.state.remoteClose !== 1) {
        this.#stream.close(constants.NGHTTP2_NO_ERROR);
      }
      // A stream is over when its body has been read, be it closed or not.
      drainBody(this.#stream);
    });
  }
}

function pseudoHeader(flat: readonly string[], name: string): string {
  for (let i = 0; i + 1 < flat.length; i += 2) {
    if (flat[i] === name) {
      return flat[i + 1] ?? "";
    }
  }
  return "";
}

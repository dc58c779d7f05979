import {
  constants,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { callerGone, sendAnswer } from "./answer-body.ts";
import type { AnswerHead } from "./answer-head.ts";
import { type BodyWatch, drainBody, dropBody, visitUnread } from "./body-watch.ts";
import type { Connection } from "./connection.ts";
import { unavailable } from "./decoy.ts";
import type { AnswerManner, BodyLimit, BodyReceiver, Exchange, WholeAnswer } from "./exchange.ts";
import { HeaderList } from "./header-list.ts";
import { type AnswerPlace, LargeAnswer } from "./large-answer.ts";
import { outgoingHeaders } from "./outgoing-headers.ts";
import { readBody } from "./request-body.ts";
import { stopUpload } from "./stop-upload.ts";
import { trailersOnly } from "./trailers-only.ts";
import { type UnsentAnswers, uncountedBytes } from "./unsent-answers.ts";

const withTrailers = { waitForTrailers: true };
const withoutTrailers = {};
const endingStream = { endStream: true };

/** What an exchange listens to on its stream, but for errors, which may still come. */
const streamEvents = ["close", "data", "end", "aborted", "wantTrailers"];

/** An exchange on an HTTP/2 stream. */
export class Http2Exchange implements Exchange {
  readonly httpVersion = "2.0";
  readonly connection: Connection;
  readonly scheme: "http" | "https";
  readonly method: string;
  readonly target: string;
  readonly authorities: readonly string[];
  readonly headers: HeaderList;
  readonly #stream: ServerHttp2Stream;
  readonly #answers: UnsentAnswers;
  /** The large answer that is under way, or the large piece of one. */
  #large: LargeAnswer | undefined;
  #controller: AbortController | undefined;
  /** The first of them apart: most exchanges have two, and a list that grows is larger than both. */
  #closeListener: (() => void) | undefined;
  #laterListeners: readonly (() => void)[] | undefined;
  #hasAnswer = false;
  #isAnswered = false;
  #isDropped = false;
  #drainsIfAborted = false;

  /**
   * @param flat - names and values as node:http2 received them, in one list.
   * @param answers - where large answers are counted.
   * @param onClose - called when the stream is closed.
   */
  constructor(
    stream: ServerHttp2Stream,
    flat: readonly string[],
    scheme: "http" | "https",
    connection: Connection,
    answers: UnsentAnswers,
    onClose: () => void,
  ) {
    this.#stream = stream;
    this.#answers = answers;
    this.connection = connection;
    this.scheme = scheme;
    this.headers = new HeaderList(flat);
    let method = "";
    let target = "";
    let authority = "";
    // Pseudo headers come first (RFC 9113, section 8.3).
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const name = flat[i];
      const value = flat[i + 1] ?? "";
      if (name === ":method") {
        method = value;
      } else if (name === ":path") {
        target = value;
      } else if (name === ":authority") {
        authority = value;
      } else if (name !== ":scheme") {
        break;
      }
    }
    this.method = method;
    this.target = target;
    const hosts = this.headers.values("host");
    this.authorities =
      authority === "" ? hosts : hosts.length === 0 ? [authority] : [authority, ...hosts];
    stream.on("close", () => {
      this.#gone();
      this.#large?.release();
      onClose();
      this.#closeListener?.();
      if (this.#laterListeners !== undefined) {
        for (const listener of this.#laterListeners) {
          listener();
        }
      }
      this.#letGo();
    });
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.isClosed) {
        this.#controller.abort(callerGone());
      } else if (this.#isDropped && this.#hasAnswer) {
        this.#controller.abort(unavailable());
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
    } else if (this.#closeListener === undefined) {
      this.#closeListener = listener;
    } else {
      this.#laterListeners =
        this.#laterListeners === undefined ? [listener] : [...this.#laterListeners, listener];
    }
  }

  body(limit: BodyLimit | undefined): AsyncIterable<Uint8Array> {
    this.#drainIfAborted();
    return readBody(this.#stream, limit, () => this.#isCutOff);
  }

  receive(receiver: BodyReceiver): void {
    if (this.#isDropped) {
      return;
    }
    this.#stream.on("data", (chunk: Uint8Array) => receiver.onData(chunk));
    this.#stream.on("end", () => {
      // node:http2 ends a body alike that the peer broke off in the middle.
      if (!this.#isCutOff) {
        receiver.onEnd();
      }
    });
  }

  watchBody(watch: BodyWatch): void {
    watch(this.#stream);
  }

  get unreadBytes(): number {
    return this.#stream.readableLength;
  }

  visitUnread(visit: (piece: Uint8Array) => void): void {
    visitUnread(this.#stream, visit);
  }

  dropBody(): void {
    this.#isDropped = true;
    dropBody(this.#stream, 0);
  }

  breakOff(): void {
    this.#hasAnswer = true;
    if (!this.#isAnswered) {
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  refuse(): void {
    // Not a reset: connect's clients would take it for an error of the server's.
    this.answer({ status: 503 });
    this.dropBody();
  }

  cutOff(): void {
    const error = new Error("too many requests");
    this.#stream.session?.destroy(error, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  get hasAnswer(): boolean {
    return this.#hasAnswer;
  }

  holdBody(isHeld: boolean): void {
    if (isHeld) {
      this.#drainIfAborted();
      this.#stream.pause();
    } else {
      this.#stream.resume();
    }
  }

  async answer(
    { status, header, body, trailer }: UniversalServerResponse,
    manner?: AnswerManner,
  ): Promise<void> {
    if (this.#hasAnswer) {
      return;
    }
    this.#hasAnswer = true;
    if (this.#isDropped) {
      this.#controller?.abort(unavailable());
    }
    const stream = this.#stream;
    await sendAnswer(body, manner, {
      ...this.#place(),
      isClosed: () => this.isClosed,
      begin: (isEmpty) => {
        const headers = { ":status": status, ...outgoingHeaders(header) };
        if (trailer === undefined) {
          stream.respond(headers, { endStream: body === undefined });
        } else if (!isEmpty || !this.#sendTrailersOnly(headers, outgoingHeaders(trailer))) {
          stream.respond(headers, withTrailers);
        }
      },
      finish: () => {
        if (this.#isAnswered) {
          return;
        }
        this.#isAnswered = true;
        if (trailer !== undefined) {
          stream.once("wantTrailers", () => this.#sendTrailers(outgoingHeaders(trailer)));
        } else {
          stream.once("finish", () => this.#stopUpload());
        }
        stream.end();
      },
      takeBack: () => {
        this.#hasAnswer = false;
      },
      onLarge: (large) => {
        this.#large = large;
      },
    });
  }

  hasRoom(bytes: number): boolean {
    return this.#answers.hasRoom(this.connection, bytes);
  }

  answerWhole({ head, body, trailers }: WholeAnswer): void {
    if (this.#hasAnswer || this.isClosed) {
      return;
    }
    this.#hasAnswer = true;
    const stream = this.#stream;
    try {
      if (
        trailers !== undefined &&
        body === undefined &&
        this.#sendTrailersOnly(head.headers, trailers)
      ) {
        return;
      }
      respond(stream, head, trailers === undefined ? withoutTrailers : withTrailers);
      this.#isAnswered = true;
      if (trailers !== undefined) {
        stream.on("wantTrailers", () => this.#sendTrailers(trailers));
      } else {
        stream.once("finish", () => this.#stopUpload());
      }
      if (body === undefined) {
        stream.end();
      } else if (body.length <= uncountedBytes) {
        stream.end(body);
      } else {
        this.#makeLarge(body).send();
      }
    } catch {
      // Headers of a handler's own may be none that HTTP/2 allows.
      this.#fail();
    }
  }

  /** A large answer, which is counted from now on. */
  #makeLarge(body: Uint8Array): LargeAnswer {
    this.#large = new LargeAnswer(this.#place(), body, {
      bytes: body.length,
      isTimed: true,
      isLast: true,
    });
    return this.#large;
  }

  #place(): AnswerPlace {
    return {
      connection: this.connection,
      writable: this.#stream,
      answers: this.#answers,
      isDue: () => true,
      breakOff: () => this.#fail(),
    };
  }

  #fail(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  /**
   * Sends a gRPC error without a message as one frame: Node asks for trailers a
   * turn later, and reads on for as long as a peer sends fast. Every gRPC answer
   * without a message passes here, so that no refusal can be told from another by its frames.
   *
   * @returns whether it did; {@link trailersOnly} tells what needs two frames.
   */
  #sendTrailersOnly(headers: OutgoingHttpHeaders, trailers: OutgoingHttpHeaders): boolean {
    const block = trailersOnly(headers, trailers);
    if (block === undefined) {
      return false;
    }
    this.#stream.respond(block, endingStream);
    this.#isAnswered = true;
    this.#stopUpload();
    return true;
  }

  get #isCutOff(): boolean {
    return this.#isDropped || (this.isClosed && !this.#isAnswered);
  }

  #gone(): void {
    if (!this.#isAnswered) {
      this.#controller?.abort(callerGone());
    }
  }

  /**
   * Parts the closed stream from the call. Node keeps its streams in a Map, and a Map
   * that changes all the time leaves dead tables behind, from which the next one is
   * reached: what stands in one of them stays until a major garbage collection. Most
   * streams do, and what hangs on them would be copied by two minor ones.
   */
  #letGo(): void {
    this.#closeListener = undefined;
    this.#laterListeners = undefined;
    for (const event of streamEvents) {
      this.#stream.removeAllListeners(event);
    }
  }

  /**
   * A reset without an error closes a stream only when its body has been read.
   * Node reads on what flows, and what nobody has begun to read.
   */
  #drainIfAborted(): void {
    if (!this.#drainsIfAborted) {
      this.#drainsIfAborted = true;
      this.#stream.on("aborted", () => {
        this.#gone();
        drainBody(this.#stream);
      });
    }
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

  /** Stops what still comes of the body: in a later turn, when the answer has left, or when more arrives. */
  #stopUpload(): void {
    if (!this.#stream.readableEnded) {
      setImmediate(() => stopUpload(this.#stream));
    }
  }
}

/** Whether this Node takes headers as a list, which the first answer finds out. */
let takesLists = true;

function respond(
  stream: ServerHttp2Stream,
  head: AnswerHead,
  options: ServerStreamResponseOptions,
): void {
  if (takesLists) {
    try {
      stream.respond(head.list, options);
      return;
    } catch (error) {
      if (!isWrongType(error)) {
        throw error;
      }
      takesLists = false;
    }
  }
  stream.respond(head.headers, options);
}

function isWrongType(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_INVALID_ARG_TYPE";
}

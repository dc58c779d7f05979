import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { callerGone, sendAnswer } from "./answer-body.ts";
import { type BodyWatch, drainBody, dropBody, visitUnread } from "./body-watch.ts";
import type { Connection } from "./connection.ts";
import { unavailable } from "./decoy.ts";
import type { AnswerManner, BodyLimit, BodyReceiver, Exchange, WholeAnswer } from "./exchange.ts";
import { HeaderList, lowerCaseNames } from "./header-list.ts";
import { type AnswerPlace, LargeAnswer } from "./large-answer.ts";
import { outgoingHeaders } from "./outgoing-headers.ts";
import { readBody } from "./request-body.ts";
import { type UnsentAnswers, uncountedBytes } from "./unsent-answers.ts";

/** What is left of an upload is read up to this many bytes, to keep the connection. */
const maxDiscardedBytes = 64 * 1024;

/** How long an answer waits for the end of an upload of unknown length, to keep the connection. */
const discardWaitMs = 50;

/** How long a connection that ends with an unread upload stays open, so that the answer arrives. */
const lingerMs = 1_000;

/** An exchange on HTTP/1.0 or HTTP/1.1. */
export class Http1Exchange implements Exchange {
  readonly httpVersion: string;
  readonly connection: Connection;
  readonly scheme: "http" | "https";
  readonly method: string;
  readonly target: string;
  readonly authorities: readonly string[];
  readonly headers: HeaderList;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #isLast: () => boolean;
  readonly #answers: UnsentAnswers;
  /** The large answer that is under way, or the large piece of one. */
  #large: LargeAnswer | undefined;
  #isContinueDue: boolean;
  #controller: AbortController | undefined;
  #hasAnswer = false;
  #isAnswered = false;
  #isDropped = false;

  /**
   * @param expectsContinue - whether the peer waits for `100 Continue` before it sends the body.
   * @param answers - where large answers are counted.
   * @param isLast - asked before an answer goes out, whether the connection ends after it.
   */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    scheme: "http" | "https",
    expectsContinue: boolean,
    connection: Connection,
    answers: UnsentAnswers,
    isLast: () => boolean,
  ) {
    this.#request = request;
    this.connection = connection;
    this.#answers = answers;
    this.#response = response;
    this.#isContinueDue = expectsContinue;
    this.#isLast = isLast;
    this.scheme = scheme;
    this.httpVersion = request.httpVersion;
    this.method = request.method ?? "";
    this.target = request.url ?? "";
    this.headers = new HeaderList(lowerCaseNames(request.rawHeaders));
    this.authorities = this.headers.values("host");
    request.on("error", () => {});
    response.on("error", () => {});
    response.once("close", () => {
      this.#large?.release();
      if (!this.#isAnswered) {
        this.#controller?.abort(callerGone());
      }
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
    return this.#response.closed || this.#response.destroyed;
  }

  onClose(listener: () => void): void {
    if (this.isClosed) {
      listener();
    } else {
      this.#response.once("close", listener);
    }
  }

  async *body(limit: BodyLimit | undefined): AsyncIterable<Uint8Array> {
    this.#askForBody();
    yield* readBody(this.#request, limit, () => this.#isCutOff);
  }

  receive(receiver: BodyReceiver): void {
    if (this.#isDropped) {
      return;
    }
    this.#askForBody();
    const request = this.#request;
    request.on("data", (chunk: Uint8Array) => receiver.onData(chunk));
    request.on("end", () => {
      if (!this.#isCutOff) {
        receiver.onEnd();
      }
    });
  }

  watchBody(watch: BodyWatch): void {
    watch(this.#request);
  }

  get unreadBytes(): number {
    return this.#request.readableLength;
  }

  visitUnread(visit: (piece: Uint8Array) => void): void {
    visitUnread(this.#request, visit);
  }

  dropBody(): void {
    this.#isDropped = true;
    dropBody(this.#request, maxDiscardedBytes);
  }

  breakOff(): void {
    this.#hasAnswer = true;
    if (!this.#isAnswered) {
      this.#response.destroy();
    }
  }

  refuse(): void {
    this.answer({ status: 503 });
    this.dropBody();
  }

  cutOff(): void {
    this.#request.socket.destroy();
  }

  get hasAnswer(): boolean {
    return this.#hasAnswer;
  }

  holdBody(isHeld: boolean): void {
    if (isHeld) {
      this.#request.pause();
    } else {
      this.#request.resume();
    }
  }

  answerWhole({ head, body, trailers }: WholeAnswer): void {
    if (this.#hasAnswer) {
      return;
    }
    this.#hasAnswer = true;
    const response = this.#response;
    if (body !== undefined && body.length > uncountedBytes && !this.isClosed) {
      this.#makeLarge(body);
    }
    const send = () => {
      if (this.isClosed) {
        return;
      }
      try {
        response.writeHead(200, headersOf(head.headers, this.#mustClose() || this.#isLast()));
        this.#isAnswered = true;
        this.#leaveUpload();
        if (trailers !== undefined) {
          response.addTrailers(trailers);
        }
        if (this.#large === undefined) {
          response.end(body);
        } else {
          this.#large.send();
        }
      } catch {
        response.destroy();
      }
    };
    if (this.#isSmallRestDue()) {
      this.#discardSmallRest().then(send);
    } else {
      send();
    }
  }

  async answer(answer: UniversalServerResponse, manner?: AnswerManner): Promise<void> {
    if (this.#hasAnswer) {
      return;
    }
    this.#hasAnswer = true;
    if (this.#isDropped) {
      this.#controller?.abort(unavailable());
    }
    const response = this.#response;
    if (this.#isSmallRestDue()) {
      await this.#discardSmallRest();
    }
    await sendAnswer(answer.body, manner, {
      ...this.#place(),
      isClosed: () => this.isClosed,
      begin: () => {
        const headers = outgoingHeaders(answer.header);
        if (answer.body === undefined && answer.trailer === undefined && answer.status !== 204) {
          headers["content-length"] = "0";
        }
        if (this.#mustClose() || this.#isLast()) {
          headers.connection = "close";
        }
        response.writeHead(answer.status, headers);
      },
      finish: () => {
        this.#isAnswered = true;
        this.#leaveUpload();
        if (answer.trailer !== undefined) {
          response.addTrailers([...new Headers(answer.trailer)]);
        }
        response.end();
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
      writable: this.#response,
      answers: this.#answers,
      // Pipelined requests are answered one after the other.
      isDue: () => this.#response.socket !== null,
      breakOff: () => this.#response.destroy(),
    };
  }

  get #isCutOff(): boolean {
    return this.#isDropped || !this.#request.complete;
  }

  #askForBody(): void {
    if (this.#isContinueDue) {
      this.#isContinueDue = false;
      this.#response.writeContinue();
    }
  }

  /** Whether so much of the body is still to come that the connection cannot be kept. */
  #mustClose(): boolean {
    const { complete, headers } = this.#request;
    const declaredBytes = Number(headers["content-length"] ?? Number.POSITIVE_INFINITY);
    return !complete && (this.#isContinueDue || declaredBytes > maxDiscardedBytes);
  }

  /**
   * Clients send small messages of undeclared length too, right after the
   * headers. Those are waited for: an answer that ends the connection would
   * cost the client a new one for every refused call.
   */
  #isSmallRestDue(): boolean {
    const { complete, headers } = this.#request;
    return !complete && !this.#isContinueDue && !("content-length" in headers);
  }

  #discardSmallRest(): Promise<void> {
    const request = this.#request;
    return new Promise<void>((resolve) => {
      let left = maxDiscardedBytes;
      const onData = (chunk: Uint8Array) => {
        left -= chunk.byteLength;
        if (left < 0) {
          done();
        }
      };
      const done = () => {
        clearTimeout(timer);
        request.off("data", onData);
        request.off("close", done);
        request.pause();
        resolve();
      };
      const timer = setTimeout(done, discardWaitMs);
      request.on("close", done);
      request.on("data", onData);
      drainBody(request);
    });
  }

  /** Keeps Node from reading a refused upload to its end, and the next request from waiting for it. */
  #leaveUpload(): void {
    const { socket } = this.#request;
    if (this.#request.complete) {
      drainBody(this.#request);
    } else if (this.#mustClose()) {
      // Marks the body as consumed: Node reads to its end what nobody looked at.
      this.#request.read(0);
      this.#request.pause();
      // Node calls this after a last answer. Closing a connection with unread
      // data resets it, and the peer may lose the answer; so it is ended first,
      // and the peer has a moment to read.
      socket.destroySoon = () => linger(socket);
    } else {
      // No more than was declared, and that is little. Whoever does not send it
      // does not get the connection back.
      const timer = setTimeout(() => linger(socket), lingerMs);
      this.#request.once("close", () => clearTimeout(timer));
      drainBody(this.#request);
    }
  }
}

function linger(socket: Socket): void {
  socket.end();
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once("close", () => clearTimeout(timer));
}

/** The headers of an answer, with word that the connection ends if it does. */
function headersOf(headers: OutgoingHttpHeaders, isLast: boolean): OutgoingHttpHeaders {
  return isLast ? { ...headers, connection: "close" } : headers;
}

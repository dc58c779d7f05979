import type { OutgoingHttpHeaders } from "node:http";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { AnswerHead } from "./answer-head.ts";
import type { BodyWatch } from "./body-watch.ts";
import type { Connection } from "./connection.ts";
import type { HeaderList } from "./header-list.ts";

/** One HTTP request and the means to answer it, whatever the version of HTTP. */
export interface Exchange {
  /** `1.0`, `1.1` or `2.0`. */
  readonly httpVersion: string;
  /** The connection that it is on. */
  readonly connection: Connection;
  /** `http`, or `https` over TLS. */
  readonly scheme: "http" | "https";
  /** HTTP method, such as `POST`. */
  readonly method: string;
  /** Path with query, as it arrived; empty if there was none. */
  readonly target: string;
  /** Every value that names the authority: of `:authority` and of `host`. */
  readonly authorities: readonly string[];
  /** The header fields. */
  readonly headers: HeaderList;
  /**
   * Aborted with a ConnectError when the peer goes away before the answer is complete, or
   * a call is answered whose body was dropped.
   */
  readonly signal: AbortSignal;
  /** Whether the exchange is over: answered completely, or its stream or connection gone. */
  readonly isClosed: boolean;
  /** Calls the listener once, when the exchange is over; at once if it is. */
  onClose(listener: () => void): void;
  /**
   * The request's body. Ends only if it arrived completely: a body that was cut
   * off, or dropped, throws.
   *
   * @param limit - how long to wait for it; undefined waits as long as the connection lives.
   */
  body(limit: BodyLimit | undefined): AsyncIterable<Uint8Array>;
  /**
   * Sends the answer. Resolves when it is handed over or the peer is gone, and
   * does not reject. What remains of the request's body is then not read.
   *
   * @param manner - how, if it may be large.
   */
  answer(response: UniversalServerResponse, manner?: AnswerManner): Promise<void>;
  /**
   * Whether there is room for a whole answer of more than `uncountedBytes`. To be
   * asked in the turn in which it is sent.
   */
  hasRoom(bytes: number): boolean;
  /**
   * Hands the body over as it arrives, without the promises of
   * {@link Exchange.body}, but not if it was dropped. May be called once, and not together with it.
   */
  receive(receiver: BodyReceiver): void;
  /** Has the body watched from now on. */
  watchBody(watch: BodyWatch): void;
  /** Bytes of the body that have arrived and nobody has read. */
  readonly unreadBytes: number;
  /** Visits the pieces of the body that have arrived and nobody has read. */
  visitUnread(visit: (piece: Uint8Array) => void): void;
  /**
   * Lets go of the body, at once: nobody gets any more of it, nor its end, which a
   * handler would take for the end of what was sent.
   */
  dropBody(): void;
  /** Breaks the answer off, if it is not complete. */
  breakOff(): void;
  /** Answers with status 503, which is Unavailable to clients of every protocol, and lets go of the body. */
  refuse(): void;
  /** Ends the connection, with everything that is on it. */
  cutOff(): void;
  /** Whether an answer was given, or begun. */
  readonly hasAnswer: boolean;
  /** Stops the body, or lets it go on. */
  holdBody(isHeld: boolean): void;
  /** Sends a whole answer at once. Never throws. What remains of the request's body is then not read. */
  answerWhole(answer: WholeAnswer): void;
}

/** Takes a request's body as it arrives. */
export interface BodyReceiver {
  /** More of the body. Nobody writes to the bytes again; but they may keep more memory alive than is theirs. */
  onData(chunk: Uint8Array): void;
  /** The body has arrived completely. */
  onEnd(): void;
}

/** How an answer is sent that may be large. */
export interface AnswerManner {
  /** Whether it is a stream, whose peer may leave it unread for as long as it likes. */
  readonly isStream: boolean;
  /** Called in place of sending an answer that there is no room for; another may be given then. */
  refuse(): void;
}

/** A complete answer. */
export interface WholeAnswer {
  readonly head: AnswerHead;
  /** The body; undefined is none. */
  readonly body: Uint8Array | undefined;
  /** The trailers; undefined are none. */
  readonly trailers: OutgoingHttpHeaders | undefined;
}

/** How long the body of a request may take. */
export interface BodyLimit {
  /** Time in milliseconds. */
  readonly timeoutMs: number;
  /** Whether the time is for the whole body, and not for each wait for more of it. */
  readonly isTotal: boolean;
}

import { create, type DescMessage, type DescMethodUnary, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { type Compression, compressedFlag, type Serialization } from "@connectrpc/connect/protocol";
import { parseTimeout } from "@connectrpc/connect/protocol-grpc";
import type { DirectCall, UnaryRoute } from "../guard/unary-route.ts";
import type { Verdict } from "../guard/verdict.ts";
import { callerGone } from "./answer-body.ts";
import type { AnswerHead } from "./answer-head.ts";
import { type BodyClock, bodyLate, Waiting } from "./body-clock.ts";
import type { BudgetedReader, ByteBudget } from "./byte-budget.ts";
import type { Call } from "./call.ts";
import { CallSignal } from "./call-signal.ts";
import { unavailable } from "./decoy.ts";
import { type Envelope, EnvelopeReader, lengthIn, prefixBytes } from "./envelope-reader.ts";
import type { BodyReceiver } from "./exchange.ts";
import {
  type AnswerHeads,
  failureOf,
  frameOf,
  initialHeader,
  joinEnvelopes,
  trailerFrameFlags,
  trailerFrameOf,
  trailersOf,
  withAnswerHeaders,
} from "./grpc-answer.ts";
import type { GrpcCodec } from "./media-type.ts";
import { messageTooLarge } from "./message-size.ts";
import {
  type ContextSource,
  ProtectedContext,
  plainContext,
  UnaryContext,
} from "./unary-context.ts";
import { uncountedBytes } from "./unsent-answers.ts";

/** What the calls of a server have in common. */
export interface UnaryCallOptions {
  readonly heads: AnswerHeads;
  readonly clock: BodyClock;
  readonly budget: ByteBudget;
  readonly shutdown: AbortSignal;
  /** What answers a message that is too large. */
  readonly oversizeCode: Code;
}

/** What the calls of one RPC in one coding have in common. */
export interface UnaryCoding {
  readonly route: UnaryRoute;
  readonly codec: GrpcCodec;
  readonly input: Serialization<Message>;
  readonly output: Serialization<Message>;
  /** Whether the time for the body is for all of it, and not for each wait for more. */
  readonly isTotalTime: boolean;
}

/** Messages of this size are worth compressing, in bytes: connect's default. */
const compressMinBytes = 1024;

const noHeaders: readonly string[] = [];

/**
 * One unary gRPC or gRPC-web call, from its headers to its trailers. It takes
 * the steps of connect's handlers in their order, and says what they say, but
 * makes nothing that nobody asks for, and waits only where there is something to
 * wait for.
 */
export class UnaryCall
  extends Waiting
  implements DirectCall, ContextSource, BodyReceiver, BudgetedReader
{
  /** The call as the dispatcher knows it. */
  readonly call: Call;
  /** The end of the call. */
  readonly callSignal: CallSignal;
  readonly #options: UnaryCallOptions;
  readonly #coding: UnaryCoding;
  readonly #compression: Compression | null;
  readonly #timeoutFault: ConnectError | undefined;
  #context: UnaryContext | undefined;
  #verdict: Verdict | undefined;
  #reader: EnvelopeReader | undefined;
  #message: Message | undefined;
  #heldBytes = 0;
  #isReading = false;
  /** Whether the body waits for the budget. */
  #isHeld = false;
  #isOver = false;

  /** @param compression - what messages of the answer are compressed with; null is nothing. */
  constructor(
    options: UnaryCallOptions,
    coding: UnaryCoding,
    call: Call,
    compression: Compression | null,
  ) {
    super();
    this.#options = options;
    this.#coding = coding;
    this.call = call;
    this.#compression = compression;
    const given = call.exchange.headers.get("grpc-timeout");
    const timeout = given === null ? undefined : parseTimeout(given, Number.MAX_SAFE_INTEGER);
    this.#timeoutFault = timeout?.error;
    this.callSignal = new CallSignal(call.exchange, options.shutdown, timeout?.timeoutMs);
  }

  get signal(): AbortSignal {
    return this.callSignal.signal;
  }

  /** Has the gate decide, and goes on from there. Never throws. */
  start(): void {
    const { headers } = this.call.exchange;
    try {
      const verdict = this.#coding.route.admit((name) => headers.values(name), this);
      if (verdict instanceof Promise) {
        verdict.then(
          (later) => this.#admitted(later),
          (reason: unknown) => this.#finish(undefined, reason),
        );
      } else {
        this.#admitted(verdict);
      }
    } catch (reason) {
      this.#finish(undefined, reason);
    }
  }

  get method(): DescMethodUnary {
    return this.#coding.route.method;
  }

  get protocolName(): string {
    return this.#coding.codec.protocolName;
  }

  get hiddenHeaders(): readonly string[] {
    return this.#verdict?.proof?.credential.headers ?? noHeaders;
  }

  initialHeader(): Headers {
    return initialHeader(this.#coding.codec, this.#compression);
  }

  contextFor(caller: object | undefined): HandlerContext {
    this.#context =
      caller === undefined ? new UnaryContext(this) : new ProtectedContext(this, caller);
    return plainContext(this.#context);
  }

  /** The call's stream is closed. */
  onClosed(): void {
    if (this.#isReading) {
      this.#finish(undefined, callerGone());
    }
  }

  onData(chunk: Uint8Array): void {
    if (!this.#isReading) {
      return;
    }
    try {
      if (this.#isOneMessage(chunk)) {
        this.#hold(chunk.length);
        this.#take(chunk[0] ?? 0, copyOf(chunk, prefixBytes));
        return;
      }
      this.#reader ??= new EnvelopeReader((bytes) => this.#assertSize(bytes));
      const envelopes = this.#reader.push(chunk);
      this.#heldBytes += chunk.length;
      const mayGoOn = this.#options.budget.take(this, chunk.length);
      for (const envelope of envelopes) {
        this.#take(envelope.flags, envelope.data);
      }
      this.#isHeld = !mayGoOn;
      if (this.#isHeld) {
        this.call.exchange.holdBody(true);
        this.#options.clock.start(this);
      } else if (!this.#coding.isTotalTime) {
        this.#options.clock.start(this);
      }
    } catch (reason) {
      this.#finish(undefined, reason);
    }
  }

  onGranted(): void {
    if (this.#isReading) {
      this.#isHeld = false;
      this.#options.clock.start(this);
      this.call.exchange.holdBody(false);
    }
  }

  onLate(): void {
    // It may be we who keep the body waiting.
    this.#finish(undefined, this.#isHeld ? unavailable() : bodyLate());
  }

  onEnd(): void {
    if (!this.#isReading) {
      return;
    }
    this.#stopReading();
    try {
      if (this.#reader?.isIncomplete) {
        throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
      }
      if (this.#message === undefined || this.#verdict === undefined) {
        throw new ConnectError(
          "protocol error: missing input message for unary method",
          Code.Unimplemented,
        );
      }
      this.#reader = undefined;
      const answer = this.#coding.route.run(this.#verdict, this.#message, this);
      if (isThenable(answer)) {
        Promise.resolve(answer).then(
          (later) => this.#answer(later),
          (reason: unknown) => this.#finish(undefined, reason),
        );
      } else {
        this.#answer(answer);
      }
    } catch (reason) {
      this.#finish(undefined, reason);
    }
  }

  #admitted(verdict: Verdict): void {
    this.#verdict = verdict;
    const fault = this.call.exchange.isClosed ? callerGone() : this.#timeoutFault;
    if (fault !== undefined) {
      this.#finish(undefined, fault);
      return;
    }
    this.#isReading = true;
    this.#options.clock.start(this);
    this.call.exchange.receive(this);
  }

  /** Whether a chunk is one message, no more and no less, which is all that most bodies are. */
  #isOneMessage(chunk: Uint8Array): boolean {
    const { readMaxBytes } = this.#coding.route;
    const bytes = chunk.length - prefixBytes;
    return (
      this.#reader === undefined &&
      this.#message === undefined &&
      bytes >= 0 &&
      bytes <= readMaxBytes &&
      lengthIn(chunk, 0) === bytes
    );
  }

  #take(flags: number, data: Uint8Array): void {
    if ((flags & compressedFlag) === compressedFlag) {
      throw new ConnectError(
        "received compressed envelope, but do not know how to decompress",
        Code.Internal,
      );
    }
    const { codec, input } = this.#coding;
    if (codec.protocolName === "grpc-web" && (flags & trailerFrameFlags) === trailerFrameFlags) {
      return;
    }
    const message = input.parse(data);
    if (this.#message !== undefined) {
      throw new ConnectError(
        "protocol error: received extra input message for unary method",
        Code.Unimplemented,
      );
    }
    this.#message = message;
  }

  #assertSize(bytes: number): void {
    const { readMaxBytes } = this.#coding.route;
    if (bytes > readMaxBytes) {
      throw messageTooLarge(bytes, readMaxBytes, this.#options.oversizeCode);
    }
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#options.budget.add(bytes);
  }

  #answer(answer: unknown): void {
    try {
      const { route, output } = this.#coding;
      const data = output.serialize(normalized(route.method, answer));
      if (this.#compression === null || data.length < compressMinBytes) {
        this.#finish({ flags: 0, data }, undefined);
        return;
      }
      this.#compression.compress(data).then(
        (compressed) => this.#finish({ flags: compressedFlag, data: compressed }, undefined),
        (reason: unknown) => this.#finish(undefined, reason),
      );
    } catch (reason) {
      this.#finish(undefined, reason);
    }
  }

  /** Ends the call, with a message or with what went wrong. */
  #finish(message: Envelope | undefined, reason: unknown): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    const { exchange } = this.call;
    if (this.#isReading) {
      // Who has been answered by another (a call that was shed) has a body that must drain.
      if (!exchange.hasAnswer) {
        exchange.holdBody(true);
      }
      this.#stopReading();
    }
    this.#options.budget.release(this.#heldBytes);
    this.#message = undefined;
    this.#reader = undefined;
    this.callSignal.end(reason);
    try {
      if (
        message !== undefined &&
        message.data.length > uncountedBytes - prefixBytes &&
        !exchange.hasRoom(prefixBytes + message.data.length)
      ) {
        this.#send(undefined, unavailable());
      } else {
        this.#send(message, failureOf(reason));
      }
    } catch {
      // connect's handlers fail over such an answer too.
      exchange.answer({ status: 500 });
    }
  }

  #stopReading(): void {
    if (this.#isReading) {
      this.#isReading = false;
      this.#options.clock.stop(this);
      this.#options.budget.done(this);
    }
  }

  #send(message: Envelope | undefined, failure: ConnectError | undefined): void {
    const context = this.#context;
    const { codec } = this.#coding;
    const { exchange } = this.call;
    const header = context === undefined ? undefined : UnaryContext.responseHeaderOf(context);
    const trailer = context === undefined ? undefined : UnaryContext.responseTrailerOf(context);
    if (codec.protocolName === "grpc") {
      const trailers = trailersOf(trailer, failure);
      const body = message === undefined ? undefined : frameOf(message);
      exchange.answerWhole({ head: this.#head(header), body, trailers });
      return;
    }
    const frame = { flags: trailerFrameFlags, data: trailerFrameOf(trailer, failure) };
    const send = (last: Envelope) => {
      const body = joinEnvelopes(message === undefined ? [last] : [message, last]);
      exchange.answerWhole({ head: this.#head(header), body, trailers: undefined });
    };
    if (this.#compression === null || frame.data.length < compressMinBytes) {
      send(frame);
      return;
    }
    // connect compresses trailers as it does messages.
    this.#compression
      .compress(frame.data)
      .then((data) => send({ flags: frame.flags | compressedFlag, data }))
      .catch(() => exchange.answer({ status: 500 }));
  }

  #head(header: Headers | undefined): AnswerHead {
    const { heads } = this.#options;
    const { answerHeaders } = this.call;
    return header === undefined
      ? heads.plain(this.#coding.codec, this.#compression, answerHeaders)
      : withAnswerHeaders(header, answerHeaders);
  }
}

/**
 * The one place where answers get their type: handlers are checked against the
 * descriptor that the method comes from.
 */
function normalized(method: DescMethodUnary, answer: unknown): Message {
  return create<DescMessage>(method.output, answer as never);
}

/** The bytes from an offset on, in memory of their own. A view for the copying costs more than a few bytes do. */
function copyOf(bytes: Uint8Array, from: number): Uint8Array {
  const copy = new Uint8Array(bytes.length - from);
  if (copy.length > 64) {
    copy.set(bytes.subarray(from));
    return copy;
  }
  for (let i = 0; i < copy.length; i++) {
    copy[i] = bytes[from + i] ?? 0;
  }
  return copy;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  );
}

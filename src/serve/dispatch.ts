import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { HeaderSource } from "../guard/decide.ts";
import type { ServedGuard } from "../guard/guard.ts";
import type { BrowserGate } from "./browsers.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { Call } from "./call.ts";
import { callThroughConnect } from "./connect-path.ts";
import { type Decoys, unavailable } from "./decoy.ts";
import type { BodyLimit, Exchange } from "./exchange.ts";
import { joinHeaders } from "./join-headers.ts";
import type { ResolvedLimits } from "./limits.ts";
import { createMediaTypeReader, type MediaType } from "./media-type.ts";
import { announcedBytes, messageTooLarge } from "./message-size.ts";
import { meterBody } from "./metered-body.ts";
import { type OpenRequest, OpenRequests } from "./open-requests.ts";
import type { HeadReader } from "./request-head.ts";
import { isServable, shapeOf } from "./request-shape.ts";
import type { UnaryPath } from "./unary-path.ts";
import { UnreadBodies } from "./unread-bodies.ts";

/** How many requests may at once have an answer under way that they are too many. */
const maxTurnedAway = 1_000;

/** What a dispatcher needs. */
export interface DispatchOptions {
  readonly guard: ServedGuard;
  /** The handlers of every RPC that is served. */
  readonly handlers: readonly UniversalHandler[];
  /** The lean paths of those RPCs that have one. */
  readonly unaryPaths: ReadonlyMap<DescMethod, UnaryPath>;
  readonly readHead: HeadReader;
  readonly decoys: Decoys;
  readonly browserGate: BrowserGate;
  readonly limits: ResolvedLimits;
  readonly budget: ByteBudget;
  /** RPCs that are answered under load and during a shutdown. */
  readonly alwaysServed: ReadonlySet<DescMethod>;
}

/** Answers requests. */
export interface Dispatcher {
  /** Answers one request, whatever it is. Never throws. */
  readonly onExchange: (exchange: Exchange) => void;
  /** Refuses every later call with Unavailable. */
  drain(): void;
  /** Answers the open calls with Unavailable that have no answer yet. */
  abandon(): void;
}

/** Makes the dispatcher, which decides what answers a request. */
export function createDispatcher(options: DispatchOptions): Dispatcher {
  const { guard, limits, readHead } = options;
  const handlers = new Map(options.handlers.map((handler) => [handler.requestPath, handler]));
  const readMediaType = createMediaTypeReader();
  let isDraining = false;
  const open = new OpenRequests(limits.maxOpenRequests);
  const unreadBodies = new UnreadBodies(limits.maxUnreadBytes, open, shed);
  /** How many are being turned away. */
  let turnedAway = 0;

  /** Answers what is well-formed; returns what is to be waited for, if anything is. */
  function dispatch(exchange: Exchange): Promise<void> | undefined {
    if (isOneTooMany(exchange)) {
      return turnAway(exchange);
    }
    const request = open.add(exchange);
    exchange.watchBody(unreadBodies.watch);
    const head = readHead(exchange);
    if (typeof head === "number") {
      return exchange.answer({ status: head });
    }
    const verdict = options.browserGate(exchange, head);
    if (verdict.kind === "answer") {
      return exchange.answer(verdict.response);
    }
    const { shape, codec } = mediaTypeOf(exchange);
    if (typeof shape === "number") {
      return exchange.answer({ status: shape, header: joinHeaders(verdict.headers) });
    }
    const call: Call = { exchange, head, shape, answerHeaders: verdict.headers };
    request.call = call;
    return answerCall(call, codec, request);
  }

  /**
   * Whether there are so many open requests that this one is not looked at.
   * Shedding waits for the verifier, so that strangers do not learn which RPCs there are;
   * when verifiers are slow it stops nobody. This stops all alike, known and unknown RPCs,
   * but for health, which a flood of others must not make look dead.
   */
  function isOneTooMany(exchange: Exchange): boolean {
    if (!open.isFull) {
      return false;
    }
    const head = readHead(exchange);
    return typeof head === "number" || !isAlwaysServed(handlers.get(head.path));
  }

  /** Refuses a request that was not looked at; and cuts off who does not take the answers. */
  function turnAway(exchange: Exchange): undefined {
    if (turnedAway >= maxTurnedAway) {
      exchange.cutOff();
      return;
    }
    turnedAway++;
    exchange.onClose(() => turnedAway--);
    exchange.refuse();
  }

  function isAlwaysServed(handler: UniversalHandler | undefined): boolean {
    return handler !== undefined && options.alwaysServed.has(handler.method);
  }

  function mediaTypeOf({ method, headers, target }: Exchange): MediaType {
    const contentType = headers.get("content-type");
    return method === "POST"
      ? readMediaType(contentType)
      : { shape: shapeOf(method, contentType, target), codec: undefined };
  }

  /** Answers what is an RPC request, be it of an RPC that exists or not. */
  function answerCall(
    call: Call,
    codec: MediaType["codec"],
    request: OpenRequest,
  ): Promise<void> | undefined {
    const handler = handlers.get(call.head.path);
    const isHealth = isAlwaysServed(handler);
    if (isHealth) {
      if (open.isFullOfHealth) {
        return turnAway(call.exchange);
      }
      open.addHealth(request);
    }
    if (isDraining && !isHealth) {
      return refuse(call, unavailable());
    }
    if (handler === undefined) {
      return refuseUnknown(call);
    }
    const { method } = handler;
    const isShed =
      open.size > limits.maxConcurrentCalls && !isHealth && !limits.exemptFromShedding.has(method);
    if (isShed || !isServable(method, call.shape, call.exchange.httpVersion !== "2.0")) {
      return answerAdmitted(call, handler, isShed);
    }
    const isTaken = codec !== undefined && options.unaryPaths.get(method)?.(call, codec) === true;
    return isTaken ? undefined : callHandler(call, handler);
  }

  function callHandler(call: Call, handler: UniversalHandler): Promise<void> {
    const { method } = handler;
    const { oversizeCode } = limits;
    const readMaxBytes = guard.readMaxBytesOf(method);
    const announced = oversizeCode === Code.ResourceExhausted ? 0 : announcedBytes(call);
    if (announced > readMaxBytes) {
      // connect would answer with its own code before it looks at the body.
      const error = messageTooLarge(announced, readMaxBytes, oversizeCode);
      return admission(call, method).then((refusal) => refuse(call, refusal ?? error));
    }
    const { exchange, shape } = call;
    const body = meterBody({
      exchange,
      body: exchange.body(bodyLimitOf(method)),
      shape,
      isStream: isRequestStream(method),
      readMaxBytes,
      oversizeCode,
      budget: options.budget,
      waitMs: limits.bodyTimeoutMs,
    });
    const manner = {
      isStream: isAnswerStream(method),
      refuse: () => abandon(call),
    };
    return callThroughConnect(handler, call, { body, manner });
  }

  /**
   * Answers a call that gets no handler. Neither answer may tell a caller whom
   * the gate would refuse that there is such an RPC.
   */
  async function answerAdmitted(
    call: Call,
    handler: UniversalHandler,
    isShed: boolean,
  ): Promise<void> {
    const refusal = await admission(call, handler.method);
    if (refusal !== undefined || isShed) {
      return refuse(call, refusal ?? unavailable());
    }
    return callHandler(call, handler);
  }

  async function refuseUnknown(call: Call): Promise<void> {
    const { exchange, head } = call;
    const refusal = await guard.refuseUnknown(head.path, sourceOf(exchange), exchange);
    return refuse(call, refusal);
  }

  function refuse(call: Call, error?: ConnectError): Promise<void> {
    const body = call.exchange.body(undefined);
    return callThroughConnect(options.decoys(call.shape), call, { body, decoyError: error });
  }

  /** Ends a request that is open: with Unavailable, if it has no answer yet. */
  function shed({ exchange, call }: OpenRequest): void {
    if (exchange.hasAnswer || call === undefined) {
      exchange.dropBody();
      exchange.breakOff();
    } else {
      abandon(call);
    }
  }

  /** Answers a call in place of its handler, which must not take what it has of the body for all of it. */
  function abandon(call: Call): void {
    call.exchange.dropBody();
    refuse(call, unavailable()).catch(() => failed(call.exchange));
  }

  async function admission(
    { exchange }: Call,
    method: DescMethod,
  ): Promise<ConnectError | undefined> {
    try {
      await guard.admit(method, sourceOf(exchange), exchange);
      return undefined;
    } catch (reason) {
      return ConnectError.from(reason);
    }
  }

  function bodyLimitOf(method: DescMethod): BodyLimit | undefined {
    return isRequestStream(method) && !guard.isOpen(method)
      ? undefined
      : { timeoutMs: limits.bodyTimeoutMs, isTotal: guard.isOpen(method) };
  }

  const failed = (exchange: Exchange) => exchange.answer({ status: 500 });
  return {
    onExchange: (exchange) => {
      try {
        dispatch(exchange)?.catch(() => failed(exchange));
      } catch {
        failed(exchange);
      }
    },
    drain: () => {
      isDraining = true;
    },
    abandon: () => {
      for (const { call } of open) {
        if (call !== undefined) {
          abandon(call);
        }
      }
    },
  };
}

function isRequestStream({ methodKind }: DescMethod): boolean {
  return methodKind === "client_streaming" || methodKind === "bidi_streaming";
}

function isAnswerStream({ methodKind }: DescMethod): boolean {
  return methodKind === "server_streaming" || methodKind === "bidi_streaming";
}

function sourceOf({ headers }: Exchange): HeaderSource {
  return (name) => headers.values(name);
}

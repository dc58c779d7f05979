import type { DescMethod } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { rawHeadersSource } from "../guard/decide.ts";
import type { Guard } from "../guard/guard.ts";
import type { BrowserGate } from "./browsers.ts";
import { type Call, callThroughConnect } from "./connect-path.ts";
import { type Decoys, unavailable } from "./decoy.ts";
import type { BodyLimit, Exchange } from "./exchange.ts";
import { joinHeaders } from "./join-headers.ts";
import type { ResolvedLimits } from "./limits.ts";
import { parseHead } from "./request-head.ts";
import { isServable, type RequestShape, shapeOf } from "./request-shape.ts";

/** What a dispatcher needs. */
export interface DispatchOptions {
  readonly guard: Guard;
  /** The handlers of every RPC that is served. */
  readonly handlers: readonly UniversalHandler[];
  readonly decoys: Decoys;
  readonly browserGate: BrowserGate;
  readonly limits: ResolvedLimits;
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
  const { guard, limits } = options;
  const handlers = new Map(options.handlers.map((handler) => [handler.requestPath, handler]));
  let isDraining = false;
  const openCalls = new Map<Call, RequestShape>();
  const uncounted = new Set<Call>();

  async function dispatch(exchange: Exchange): Promise<void> {
    const head = parseHead(exchange, limits.maxHeaderCount);
    if (typeof head === "number") {
      return exchange.answer({ status: head });
    }
    const verdict = options.browserGate(exchange, head);
    if (verdict.kind === "answer") {
      return exchange.answer(verdict.response);
    }
    const headers = joinHeaders(exchange.rawHeaders);
    const shape = shapeOf(exchange.method, headers.get("content-type"), exchange.target);
    if (typeof shape === "number") {
      return exchange.answer({ status: shape, header: joinHeaders(verdict.headers) });
    }
    const call: Call = { exchange, head, headers, answerHeaders: verdict.headers };
    openCalls.set(call, shape);
    exchange.onClose(() => {
      openCalls.delete(call);
      uncounted.delete(call);
    });
    return answerCall(call, shape);
  }

  /** Answers what is an RPC request, be it of an RPC that exists or not. */
  async function answerCall(call: Call, shape: RequestShape): Promise<void> {
    const handler = handlers.get(call.head.path);
    const isAlwaysServed = handler !== undefined && options.alwaysServed.has(handler.method);
    if (isAlwaysServed) {
      // Anybody may hold a health watch open, which must not shed real calls.
      uncounted.add(call);
    }
    if (isDraining && !isAlwaysServed) {
      return refuse(call, shape, unavailable());
    }
    if (handler === undefined) {
      const { exchange, head } = call;
      const headers = rawHeadersSource(exchange.rawHeaders);
      return refuse(call, shape, await guard.refuseUnknown(head.path, headers, exchange));
    }
    const { method } = handler;
    const isShed =
      openCalls.size - uncounted.size > limits.maxConcurrentCalls &&
      !isAlwaysServed &&
      !limits.exemptFromShedding.has(method);
    if (isShed || !isServable(method, shape, call.exchange.httpVersion !== "2.0")) {
      // Neither answer may tell a caller whom the gate would refuse that there
      // is such an RPC.
      const refusal = await admission(call, method);
      if (refusal !== undefined || isShed) {
        return refuse(call, shape, refusal ?? unavailable());
      }
    }
    return callThroughConnect(handler, call, bodyLimitOf(method));
  }

  function refuse(call: Call, shape: RequestShape, error?: ConnectError): Promise<void> {
    return callThroughConnect(options.decoys(shape), call, undefined, error);
  }

  async function admission(
    { exchange }: Call,
    method: DescMethod,
  ): Promise<ConnectError | undefined> {
    try {
      await guard.admit(method, rawHeadersSource(exchange.rawHeaders), exchange);
      return undefined;
    } catch (reason) {
      return ConnectError.from(reason);
    }
  }

  function bodyLimitOf(method: DescMethod): BodyLimit | undefined {
    const isStream =
      method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
    return isStream && !guard.isOpen(method)
      ? undefined
      : { timeoutMs: limits.bodyTimeoutMs, isTotal: guard.isOpen(method) };
  }

  return {
    onExchange: (exchange) => {
      dispatch(exchange).catch(() => exchange.answer({ status: 500 }));
    },
    drain: () => {
      isDraining = true;
    },
    abandon: () => {
      for (const [call, shape] of openCalls) {
        refuse(call, shape, unavailable()).catch(() => call.exchange.answer({ status: 500 }));
      }
    },
  };
}

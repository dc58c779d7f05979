import type { DescMethod, DescMethodUnary, Message } from "@bufbuild/protobuf";
import type { HandlerContext, Interceptor } from "@connectrpc/connect";
import { invokeUnaryImplementation } from "@connectrpc/connect/protocol";
import type { HeaderSource } from "./decide.ts";
import { bind, createEnforcer, type EnforceOptions, recheck, verdictOf } from "./enforce.ts";
import type { GatedCall } from "./gate.ts";
import { callHandler, wrap } from "./routes.ts";
import type { AnyHandler, AnyService, Unimplemented } from "./service.ts";
import { type Verdict, verdictKey } from "./verdict.ts";

/** A call as {@link UnaryRoute.run} needs it: whatever a handler may ask for is made when it is. */
export interface DirectCall extends GatedCall {
  /** Returns the context for the handler; with a caller where the RPC is protected. */
  contextFor(caller: object | undefined): HandlerContext;
}

/**
 * One unary RPC for a listener that does without connect's handlers: the gate,
 * the binding, the interceptors and the handler, and nothing of a protocol.
 */
export interface UnaryRoute {
  readonly method: DescMethodUnary;
  /** The largest request message, in bytes. */
  readonly readMaxBytes: number;
  /**
   * Decides on a call by its headers, before its body is read; at once where the
   * verifier answers at once.
   *
   * @throws ConnectError (or rejects with it), as the gate does.
   */
  admit(headers: HeaderSource, call: GatedCall): Verdict | Promise<Verdict>;
  /**
   * Verifies again what took long, binds the message and calls the handler,
   * through the interceptors if there are any.
   *
   * @returns what the handler has answered, or a promise of it.
   * @throws what a handler throws (or rejects with it), or a refusal.
   */
  run(verdict: Verdict, message: Message, call: DirectCall): unknown;
}

/** What making the routes needs. */
export interface UnaryRoutesOptions extends EnforceOptions {
  readonly services: readonly AnyService[];
  /** The user's interceptors, outermost first. */
  readonly interceptors: readonly Interceptor[];
  readonly readMaxBytesOf: (method: DescMethod) => number;
}

/** Makes the routes of every unary RPC of the services. */
export function createUnaryRoutes(options: UnaryRoutesOptions): readonly UnaryRoute[] {
  const makeRun = options.interceptors.length === 0 ? runDirectly : runIntercepted;
  const routes: UnaryRoute[] = [];
  for (const service of options.services) {
    for (const [method, handler] of service.handlers) {
      if (isUnary(method)) {
        routes.push({
          method,
          readMaxBytes: options.readMaxBytesOf(method),
          admit: (headers, call) => options.gate.admit(method, headers, call),
          run: makeRun(method, handler, options),
        });
      }
    }
  }
  return routes;
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

type Run = UnaryRoute["run"];

function runDirectly(
  method: DescMethodUnary,
  handler: AnyHandler | Unimplemented,
  options: UnaryRoutesOptions,
): Run {
  const proceed = (verdict: Verdict, message: Message, call: DirectCall): unknown => {
    bind(verdict, message, options);
    const context = call.contextFor(verdict.proof?.caller);
    return callHandler(handler, verdict, message, context, options.decisions);
  };
  return (given, message, call) => {
    const verdict = verdictOf(given, method, options);
    verdict.isBound = true;
    const pending = recheck(verdict, call, options);
    return pending === undefined
      ? proceed(verdict, message, call)
      : pending.then(() => proceed(verdict, message, call));
  };
}

/** With interceptors a call takes the same steps as through connect's handlers, one by one. */
function runIntercepted(
  method: DescMethodUnary,
  handler: AnyHandler | Unimplemented,
  options: UnaryRoutesOptions,
): Run {
  const impl = wrap(method, handler, options.decisions);
  const interceptors = [createEnforcer(options), ...options.interceptors];
  return (verdict, message, call) => {
    const context = call.contextFor(undefined);
    verdict.header = context.requestHeader;
    context.values.set(verdictKey, verdict);
    return invokeUnaryImplementation(
      { kind: "unary", method, impl },
      context,
      message,
      interceptors,
    );
  };
}

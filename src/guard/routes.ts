import type { DescMethod } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type HandlerContext,
  type Interceptor,
  type MethodImpl,
} from "@connectrpc/connect";
import { headersSource, rawHeadersSource } from "./decide.ts";
import type { DecisionLog } from "./decisions.ts";
import { verdictOf } from "./enforce.ts";
import type { Gate } from "./gate.ts";
import { authenticationFailed } from "./refusal.ts";
import {
  type AnyHandler,
  type AnyService,
  isUnimplemented,
  type Unimplemented,
} from "./service.ts";
import { rawHeadersKey, type Verdict, verdictKey } from "./verdict.ts";

/** What registering the RPCs needs. */
export interface RoutesOptions {
  readonly services: readonly AnyService[];
  readonly gate: Gate;
  readonly decisions: DecisionLog;
  readonly interceptors: readonly Interceptor[];
  readonly readMaxBytesOf: (method: DescMethod) => number;
}

/**
 * Registers every RPC with its gate, its interceptors and a wrapped handler.
 *
 * @throws TypeError if the router already has one of the RPCs: connect would
 * keep both and its adapters serve the last.
 */
export function registerRoutes(router: ConnectRouter, options: RoutesOptions): void {
  for (const service of options.services) {
    for (const [method, handler] of service.handlers) {
      if (router.handlers.some((other) => other.requestPath === pathOf(method))) {
        throw new TypeError(`${method.parent.typeName}.${method.name} is already registered`);
      }
      router.rpc(method, wrap(method, handler, options.decisions), {
        requestGate: (context) => runGate(method, context, service, options.gate),
        interceptors: [...options.interceptors],
        readMaxBytes: options.readMaxBytesOf(method),
      });
    }
  }
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

async function runGate(
  method: DescMethod,
  context: HandlerContext,
  service: AnyService,
  gate: Gate,
): Promise<void> {
  if (context.requestMethod === "GET" && service.policy.ruleOf(method)?.kind !== "open") {
    // Connect serves RPCs without side effects as GET, which caches may store:
    // what was answered to one caller must not answer another.
    context.responseHeader.set("cache-control", "no-store");
  }
  const raw = context.values.get(rawHeadersKey);
  const headers = raw === undefined ? headersSource(context.requestHeader) : rawHeadersSource(raw);
  const verdict = await gate.admit(method, headers, context);
  verdict.header = context.requestHeader;
  context.values.set(verdictKey, verdict);
  // Nothing behind the gate needs the secret, and contexts get logged.
  context.values.delete(rawHeadersKey);
  for (const name of verdict.proof?.credential.headers ?? []) {
    context.requestHeader.delete(name);
  }
}

/**
 * Wraps a handler so that it runs only after the gate has admitted exactly this
 * RPC and the binding has run, whatever registered it and wherever.
 */
export function wrap<M extends DescMethod>(
  method: M,
  handler: AnyHandler | Unimplemented,
  decisions: DecisionLog,
): MethodImpl<M> {
  const call = (request: unknown, context: HandlerContext): unknown => {
    const verdict = verdictOf(context.values.get(verdictKey), method, { decisions });
    const { proof } = verdict;
    return callHandler(
      handler,
      verdict,
      request,
      proof === undefined ? context : { ...context, caller: proof.caller },
      decisions,
    );
  };
  return implementationOf(method, call);
}

/**
 * Calls a handler, if the verdict's binding has run. The last thing that stands
 * between a call and its handler, on every path.
 *
 * @throws ConnectError, the one refusal, if it has not; and Unimplemented where
 * there is no handler.
 */
export function callHandler(
  handler: AnyHandler | Unimplemented,
  verdict: Verdict,
  request: unknown,
  context: HandlerContext & { readonly caller?: object },
  decisions: DecisionLog,
): unknown {
  const { method } = verdict;
  if (!verdict.isBound) {
    decisions.refuse(method, undefined, "the guard's interceptor has not run");
    throw authenticationFailed();
  }
  decisions.allow(method);
  if (isUnimplemented(handler)) {
    throw new ConnectError(
      `${method.parent.typeName}.${method.name} is not implemented`,
      Code.Unimplemented,
    );
  }
  return invoke(handler, request, context);
}

/**
 * The one place where handlers lose and regain their types. `service` has
 * checked them against the descriptor that `method` comes from, and connect
 * calls each implementation with what its method's kind and descriptors say.
 */
function invoke(
  handler: AnyHandler,
  request: unknown,
  context: HandlerContext & { readonly caller?: object },
): unknown {
  return handler(request as never, context as never);
}

function implementationOf<M extends DescMethod>(
  method: M,
  call: (request: unknown, context: HandlerContext) => unknown,
): MethodImpl<M> {
  const isStream =
    method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming";
  const implementation = isStream
    ? async function* (request: unknown, context: HandlerContext) {
        yield* call(request, context) as AsyncIterable<never>;
      }
    : async (request: unknown, context: HandlerContext) => call(request, context);
  return implementation as MethodImpl<M>;
}

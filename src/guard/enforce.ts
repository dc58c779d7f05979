import type { DescMethod, Message } from "@bufbuild/protobuf";
import {
  type ContextValues,
  createContextValues,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import type { DecisionLog } from "./decisions.ts";
import type { Gate, GatedCall } from "./gate.ts";
import { authenticationFailed, permissionDenied } from "./refusal.ts";
import { StreamWatch } from "./stream-watch.ts";
import { type Verdict, verdictKey } from "./verdict.ts";

/** What the interceptor needs. */
export interface EnforceOptions {
  readonly gate: Gate;
  readonly decisions: DecisionLog;
  readonly now: () => number;
  /** Age in ms at which a unary call's credential is verified again before the handler runs. */
  readonly recheckBodyMs: number;
  /** How often a stream's credential is verified again, in ms. */
  readonly recheckStreamMs: number;
}

/**
 * The guard's interceptor. It runs outermost, before any of the user's: nothing
 * of theirs sees a claim that is not bound. It refuses a call that the gate has
 * not decided on, binds every message, and verifies again what takes long.
 */
export function createEnforcer(options: EnforceOptions): Interceptor {
  return (next) => async (request) => {
    const verdict = verdictOf(request.contextValues.get(verdictKey), request.method, options);
    if (verdict.header !== request.header) {
      // An adapter that shares one set of context values between calls.
      options.decisions.refuse(request.method, undefined, "the verdict is another call's");
      throw authenticationFailed();
    }
    verdict.isBound = true;
    const contextValues = withVerdict(request.contextValues, verdict);
    const response = request.stream
      ? await enforceStream(next, { ...request, contextValues }, verdict, options)
      : await enforceUnary(next, { ...request, contextValues }, verdict, options);
    if (request.requestMethod === "GET" && verdict.proof !== undefined) {
      // Once more after the handler, which may have set its own.
      response.header.set("cache-control", "no-store");
    }
    return response;
  };
}

type Next = Parameters<Interceptor>[0];

async function enforceUnary(
  next: Next,
  request: UnaryRequest,
  verdict: Verdict,
  options: EnforceOptions,
): Promise<UnaryResponse | StreamResponse> {
  await recheck(verdict, request, options);
  bind(verdict, request.message, options);
  return next(request);
}

async function enforceStream(
  next: Next,
  request: StreamRequest,
  verdict: Verdict,
  options: EnforceOptions,
): Promise<UnaryResponse | StreamResponse> {
  const watch = new StreamWatch({
    signal: request.signal,
    everyMs: options.recheckStreamMs,
    readmit: async (call) => options.gate.readmit(verdict, call),
    isProtected: verdict.proof !== undefined,
  });
  // The handler of a server-streaming RPC starts with its one message, as a unary one does.
  const isSingle = request.method.methodKind === "server_streaming";
  const message = watch.inbound(request.message, async (one) => {
    if (isSingle) {
      await recheck(verdict, watch, options);
    }
    bind(verdict, one, options);
  });
  const response = await watch.race(next({ ...request, signal: watch.signal, message }));
  return response.stream ? { ...response, message: watch.outbound(response.message) } : response;
}

/**
 * Verifies again what was verified too long ago, or at a time that the clock
 * does not tell. Returns a promise only where there is something to wait for.
 *
 * @throws ConnectError (or rejects with it) if the credential is no longer good.
 */
export function recheck(
  verdict: Verdict,
  call: GatedCall,
  { gate, now, recheckBodyMs }: EnforceOptions,
): void | Promise<void> {
  if (!(now() - verdict.verifiedAt <= recheckBodyMs)) {
    return gate.readmit(verdict, call);
  }
}

/**
 * Context values that keep the verdict of this call to the end, whatever else
 * writes to them. What is set goes where the others are.
 */
function withVerdict(values: ContextValues, verdict: Verdict): ContextValues {
  const own = createContextValues().set(verdictKey, verdict);
  return {
    get: (key) => (key.id === verdictKey.id ? own : values).get(key),
    set(key, value) {
      values.set(key, value);
      return this;
    },
    delete(key) {
      values.delete(key);
      return this;
    },
  };
}

/**
 * Returns the verdict that the gate left for exactly this RPC.
 *
 * @throws ConnectError, the one refusal, if there is none; it is counted.
 */
export function verdictOf(
  verdict: Verdict | undefined,
  method: DescMethod,
  { decisions }: { readonly decisions: DecisionLog },
): Verdict {
  if (verdict?.method === method) {
    return verdict;
  }
  decisions.refuse(method, undefined, "the gate has not run");
  throw authenticationFailed();
}

/**
 * Binds a message of a call to what its caller has proved.
 *
 * @throws ConnectError, PermissionDenied, if it names something else; it is counted.
 */
export function bind(
  verdict: Verdict,
  message: Message,
  { decisions }: { readonly decisions: DecisionLog },
): void {
  const { proof } = verdict;
  if (proof?.binder === undefined) {
    return;
  }
  const secret = typeof proof.presented === "string" ? proof.presented : undefined;
  const mismatch = proof.binder(message, proof.caller, secret);
  if (mismatch !== undefined) {
    const field = `${mismatch.parent.typeName}.${mismatch.name}`;
    const reason = `${field} is not what the credential proves`;
    decisions.refuse(verdict.method, proof.credential.name, reason);
    throw permissionDenied();
  }
}

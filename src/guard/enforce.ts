import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import type { DecisionLog } from "./decisions.ts";
import type { Gate } from "./gate.ts";
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
    verdict.isBound = true;
    if (!request.stream) {
      if (options.now() - verdict.verifiedAt > options.recheckBodyMs) {
        await options.gate.readmit(verdict, request.signal);
      }
      bind(verdict, request.message, options);
      return next(request);
    }
    const watch = new StreamWatch({
      signal: request.signal,
      everyMs: options.recheckStreamMs,
      readmit: (signal) => options.gate.readmit(verdict, signal),
      isProtected: verdict.proof !== undefined,
    });
    const response = await watch.race(
      next({
        ...request,
        signal: watch.signal,
        message: watch.inbound(request.message, (message) => bind(verdict, message, options)),
      }),
    );
    return response.stream ? { ...response, message: watch.outbound(response.message) } : response;
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

function bind(verdict: Verdict, message: Message, { decisions }: EnforceOptions): void {
  const { proof } = verdict;
  if (proof?.binder === undefined) {
    return;
  }
  const secret = typeof proof.presented === "string" ? proof.presented : undefined;
  const mismatch = proof.binder(message, proof.claims, secret);
  if (mismatch !== undefined) {
    const field = `${mismatch.parent.typeName}.${mismatch.name}`;
    const reason = `${field} is not what the credential proves`;
    decisions.refuse(verdict.method, proof.credential.name, reason);
    throw permissionDenied();
  }
}

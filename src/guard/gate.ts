import type { DescMethod } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { ClaimRecord } from "../policy/binding.ts";
import type { AnyCredential } from "../policy/credential.ts";
import type { AnyPolicy } from "../policy/policy.ts";
import { isRefusal, type VerifyCall } from "../policy/verifier.ts";
import { decide, type HeaderSource, type PresentedValue } from "./decide.ts";
import type { DecisionLog } from "./decisions.ts";
import { authenticationFailed } from "./refusal.ts";
import { Verdict } from "./verdict.ts";

/** A verifier whose types are not looked at: what it returns is checked at run time. */
export type AnyVerifier = (presented: PresentedValue, call: VerifyCall) => unknown;

/** What the gate needs. */
export interface GateOptions {
  readonly policies: ReadonlyMap<DescMethod, AnyPolicy>;
  readonly verifiers: ReadonlyMap<string, AnyVerifier>;
  readonly decisions: DecisionLog;
  readonly verifyTimeoutMs: number;
  readonly now: () => number;
}

type Verified =
  | { readonly ok: true; readonly claims: ClaimRecord }
  | { readonly ok: false; readonly reason: string; readonly cause?: string | undefined };

/** Decides on calls before their body is read. */
export class Gate {
  readonly #options: GateOptions;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /**
   * Decides on one call by its headers.
   *
   * @throws ConnectError, the one refusal, and nothing else: whatever a
   * verifier throws is turned into it.
   */
  async admit(method: DescMethod, headers: HeaderSource, signal: AbortSignal): Promise<Verdict> {
    const { policies, now } = this.#options;
    const policy = policies.get(method);
    const decision = decide(policy?.ruleOf(method), headers);
    switch (decision.kind) {
      case "refuse":
        throw this.#refusal(method, decision.credential, decision.reason);
      case "allow":
        return new Verdict(method, undefined, now());
      case "verify": {
        const { credential, presented } = decision;
        const claims = await this.#verify(credential, presented, {
          method,
          signal,
          isRecheck: false,
        });
        const binder = policy?.binderOf(method, credential);
        return new Verdict(method, { credential, claims, presented, binder }, now());
      }
    }
  }

  /**
   * Verifies the credential of a call again. Open RPCs have none.
   *
   * @throws ConnectError, the one refusal.
   */
  async readmit(verdict: Verdict, signal: AbortSignal): Promise<void> {
    if (verdict.proof !== undefined) {
      const { credential, presented } = verdict.proof;
      const { method } = verdict;
      await this.#verify(credential, presented, { method, signal, isRecheck: true });
      verdict.verifiedAt = this.#options.now();
    }
  }

  async #verify(
    credential: AnyCredential,
    presented: PresentedValue,
    call: VerifyCall,
  ): Promise<ClaimRecord> {
    const verified = await this.#ask(credential, presented, call);
    if (!verified.ok) {
      throw this.#refusal(call.method, credential.name, verified.reason, verified.cause);
    }
    return verified.claims;
  }

  /** Asks the verifier. Never throws and never takes longer than the call or the cap. */
  async #ask(
    credential: AnyCredential,
    presented: PresentedValue,
    call: VerifyCall,
  ): Promise<Verified> {
    const { signal } = call;
    const verifier = this.#options.verifiers.get(credential.name);
    if (verifier === undefined) {
      return { ok: false, reason: "no verifier" };
    }
    if (signal.aborted) {
      return { ok: false, reason: "the call ended before it was verified" };
    }
    const ended = new AbortController();
    const late = new Promise<Verified>((resolve) => {
      const stop = (reason: string) => {
        resolve({ ok: false, reason });
        ended.abort();
      };
      const onAbort = () => stop("the call ended before it was verified");
      const timer = setTimeout(
        () => stop("the verifier took too long"),
        this.#options.verifyTimeoutMs,
      );
      signal.addEventListener("abort", onAbort, { once: true });
      ended.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      });
    });
    try {
      return await Promise.race([
        late,
        // An async function, so that a verifier that throws at once is no different.
        (async () =>
          claimsIn(credential, await verifier(presented, { ...call, signal: ended.signal })))(),
      ]);
    } catch (cause) {
      return {
        ok: false,
        reason: "the verifier failed",
        cause: describeCause(cause, presented),
      };
    } finally {
      ended.abort();
    }
  }

  #refusal(
    method: DescMethod,
    credential: string | undefined,
    reason: string,
    cause?: string,
  ): ConnectError {
    this.#options.decisions.refuse(method, credential, reason, cause);
    return authenticationFailed();
  }
}

/**
 * Reads a verifier's answer. Claims that are missing or of another kind refuse:
 * a field that such a claim should bind would otherwise stay what the caller
 * wrote.
 */
function claimsIn(credential: AnyCredential, answer: unknown): Verified {
  if (answer === undefined) {
    return { ok: false, reason: "unknown" };
  }
  if (isRefusal(answer)) {
    return { ok: false, reason: answer.reason };
  }
  if (!isClaims(credential, answer)) {
    return { ok: false, reason: "the verifier answered with no claims" };
  }
  const claims: ClaimRecord = Object.create(null);
  for (const [claim, { kind }] of credential.claims) {
    const value: unknown = Reflect.get(answer, claim);
    if (!(kind === "bytes" ? value instanceof Uint8Array : typeof value === kind)) {
      return { ok: false, reason: `the verifier's claim ${claim} is no ${kind}` };
    }
    Reflect.set(claims, claim, value);
  }
  return { ok: true, claims: Object.freeze(claims) };
}

/**
 * Tells whether an answer can be claims. Where a credential proves nothing but
 * itself, only the empty object says yes: any other may be a "no" of a kind
 * that is not known here.
 */
function isClaims(credential: AnyCredential, answer: unknown): answer is object {
  if (typeof answer !== "object" || answer === null || answer instanceof Error) {
    return false;
  }
  return credential.claims.size > 0
    ? !Array.isArray(answer)
    : Object.keys(answer).length === 0 && !Array.isArray(answer);
}

/**
 * What a verifier threw, as text alone: the properties, causes and members of
 * an error can hold anything. Undefined if it is no error, or shows a secret.
 */
function describeCause(cause: unknown, presented: PresentedValue): string | undefined {
  const secrets =
    typeof presented === "string"
      ? [presented]
      : Object.values(presented).filter((value) => typeof value === "string");
  try {
    if (!(cause instanceof Error)) {
      return undefined;
    }
    const text = cause.stack ?? `${cause.name}: ${cause.message}`;
    return secrets.some((secret) => text.includes(secret)) ? undefined : text;
  } catch {
    return undefined;
  }
}

import type { DescMethod } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { AnyCredential } from "../policy/credential.ts";
import type { AnyPolicy } from "../policy/policy.ts";
import type { VerifyCall } from "../policy/verifier.ts";
import { type AnswerReader, answerReaderOf, describeCause, type Verified } from "./answer.ts";
import { decide, type HeaderSource, type PresentedValue, presentedOf } from "./decide.ts";
import type { DecisionLog } from "./decisions.ts";
import { type Occasion, Question } from "./question.ts";
import { authenticationFailed, verificationUnavailable } from "./refusal.ts";
import { Verdict } from "./verdict.ts";

/** A verifier whose types are not looked at: what it returns is checked at run time. */
export type AnyVerifier = (presented: PresentedValue, call: VerifyCall) => unknown;

/** A credential that some RPC wants, and what verifies it. */
export interface Verifiable {
  readonly verifier: AnyVerifier;
  /** The first RPC that wants it: what its verifier is told when it is probed. */
  readonly method: DescMethod;
}

/** What the gate needs. */
export interface GateOptions {
  readonly policies: ReadonlyMap<DescMethod, AnyPolicy>;
  readonly credentials: ReadonlyMap<AnyCredential, Verifiable>;
  readonly decisions: DecisionLog;
  readonly verifyTimeoutMs: number;
  readonly now: () => number;
}

/** What the gate needs of a call: the signal is read only if a verifier does not answer at once. */
export interface GatedCall {
  /** Aborted when the call ends or its deadline passes. */
  readonly signal: AbortSignal;
}

/** An RPC, by its descriptor; one that no policy has, by its path. */
export type CalledRpc = DescMethod | string;

/** What the gate asks, and how it reads the answers. */
interface Askable extends Verifiable {
  readonly read: AnswerReader;
}

const beforeTheCall: Occasion = Object.freeze({ isRecheck: false, isProbe: false });
const duringTheCall: Occasion = Object.freeze({ isRecheck: true, isProbe: false });
const probing: Occasion = Object.freeze({ isRecheck: false, isProbe: true });

/** Something that may be there already: a verifier that answers at once makes no promise. */
type Maybe<T> = T | Promise<T>;

/** Decides on calls before their body is read. */
export class Gate {
  readonly #options: GateOptions;
  readonly #askables: ReadonlyMap<AnyCredential, Askable>;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#askables = new Map(
      [...options.credentials].map(([credential, verifiable]) => [
        credential,
        { ...verifiable, read: answerReaderOf(credential) },
      ]),
    );
  }

  /**
   * Decides on one call by its headers: at once if the verifier answers at once.
   *
   * @throws ConnectError (or rejects with it): the one refusal, or Unavailable
   * if a verifier's store is. Whatever a verifier throws is turned into the first.
   */
  admit(method: DescMethod, headers: HeaderSource, call: GatedCall): Maybe<Verdict> {
    const policy = this.#options.policies.get(method);
    const decision = decide(policy?.ruleOf(method), headers);
    if (decision.kind === "allow") {
      return new Verdict(method, undefined, this.#options.now());
    }
    if (decision.kind === "refuse") {
      return fail(this.#turnAway(method, headers, call, decision));
    }
    const { credential, presented } = decision;
    const conclude = (verified: Verified): Maybe<Verdict> => {
      switch (verified.kind) {
        case "proved": {
          const binder = policy?.binderOf(method, credential);
          const proof = { credential, caller: verified.caller, presented, binder };
          return new Verdict(method, proof, this.#options.now());
        }
        case "unavailable":
          throw this.#unavailable(method, credential, verified.cause);
        case "refused":
          return fail(this.#turnAway(method, headers, call, verified, credential));
      }
    };
    return andThen(this.#ask(credential, presented, method, beforeTheCall, call), conclude);
  }

  /**
   * Returns what a call of an RPC that no policy has is refused with: the same
   * as if it were protected, and wanted a credential that the caller has not.
   * Counts and reports it.
   *
   * @param path what was asked for.
   */
  refuseUnknown(path: string, headers: HeaderSource, call: GatedCall): Maybe<ConnectError> {
    return this.#turnAway(path, headers, call, { reason: "unknown RPC", credential: undefined });
  }

  /**
   * Verifies the credential of a call again. Open RPCs have none.
   *
   * @throws ConnectError (or rejects with it), as {@link Gate.admit} does.
   */
  readmit(verdict: Verdict, call: GatedCall): Maybe<void> {
    const { method, proof } = verdict;
    if (proof === undefined) {
      return;
    }
    const { credential, presented } = proof;
    return andThen(this.#ask(credential, presented, method, duringTheCall, call), (verified) => {
      switch (verified.kind) {
        case "proved":
          verdict.verifiedAt = this.#options.now();
          return;
        case "unavailable":
          throw this.#unavailable(method, credential, verified.cause);
        case "refused":
          throw this.#refusal(method, credential.name, verified.reason, verified.cause);
      }
    });
  }

  /**
   * Refuses a call, unless the store behind some credential that it presents is
   * down: then the answer is Unavailable, on every RPC that is not open and on
   * unknown ones alike. Otherwise a stranger with any token could find the
   * RPCs that want one, as those that answer Unavailable.
   *
   * @param asked the credential that was verified and refused, if one was.
   */
  #turnAway(
    rpc: CalledRpc,
    headers: HeaderSource,
    call: GatedCall,
    refused: {
      readonly reason: string;
      readonly cause?: string | undefined;
      readonly credential?: string | undefined;
    },
    asked?: AnyCredential,
  ): Maybe<ConnectError> {
    const waiting: Promise<{ readonly credential: AnyCredential; readonly verified: Verified }>[] =
      [];
    for (const [credential, { method }] of this.#askables) {
      const presented = credential === asked ? undefined : presentedOf(credential, headers);
      if (presented === undefined) {
        continue;
      }
      // The verifier is told the same RPC whichever was called, so that its
      // answer cannot depend on that one.
      const verified = this.#ask(credential, presented, method, probing, call);
      if (verified instanceof Promise) {
        waiting.push(verified.then((later) => ({ credential, verified: later })));
      } else if (verified.kind === "unavailable") {
        return this.#unavailable(rpc, credential, verified.cause);
      }
    }
    const refuse = () =>
      this.#refusal(rpc, refused.credential ?? asked?.name, refused.reason, refused.cause);
    if (waiting.length === 0) {
      return refuse();
    }
    return Promise.all(waiting).then((answers) => {
      for (const { credential, verified } of answers) {
        if (verified.kind === "unavailable") {
          return this.#unavailable(rpc, credential, verified.cause);
        }
      }
      return refuse();
    });
  }

  /** Asks the verifier. Never throws, never rejects and never takes longer than the call or the cap. */
  #ask(
    credential: AnyCredential,
    presented: PresentedValue,
    method: DescMethod,
    occasion: Occasion,
    call: GatedCall,
  ): Maybe<Verified> {
    const askable = this.#askables.get(credential);
    if (askable === undefined) {
      return { kind: "refused", reason: "no verifier" };
    }
    const { verifier, read } = askable;
    const question = new Question(method, occasion, this.#options.verifyTimeoutMs);
    try {
      const answer = verifier(presented, question);
      if (isThenable(answer)) {
        return this.#await(answer, read, presented, question, call);
      }
      question.end();
      return read(answer, presented);
    } catch (cause) {
      question.end();
      return failed(cause, presented);
    }
  }

  #await(
    answer: PromiseLike<unknown>,
    read: AnswerReader,
    presented: PresentedValue,
    question: Question,
    { signal }: GatedCall,
  ): Promise<Verified> {
    return new Promise((resolve) => {
      const settle = (verified: Verified) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        question.end();
        resolve(verified);
      };
      const onAbort = () => settle(refusedFor("the call ended before it was verified"));
      const timer = setTimeout(
        () => settle(refusedFor("the verifier took too long")),
        question.timeoutMs,
      );
      signal.addEventListener("abort", onAbort, { once: true });
      Promise.resolve(answer)
        .then((value) => read(value, presented))
        .then(settle, (cause: unknown) => settle(failed(cause, presented)));
      if (signal.aborted) {
        onAbort();
      }
    });
  }

  #refusal(
    rpc: CalledRpc,
    credential: string | undefined,
    reason: string,
    cause: string | undefined,
  ): ConnectError {
    this.#options.decisions.refuse(rpc, credential, reason, cause);
    return authenticationFailed();
  }

  #unavailable(rpc: CalledRpc, credential: AnyCredential, cause: string | undefined): ConnectError {
    this.#options.decisions.unavailable(rpc, credential.name, cause);
    return verificationUnavailable();
  }
}

function refusedFor(reason: string): Verified {
  return { kind: "refused", reason };
}

function failed(cause: unknown, presented: PresentedValue): Verified {
  return {
    kind: "refused",
    reason: "the verifier failed",
    cause: describeCause(cause, presented),
  };
}

/** Throws an error that is there, and rejects with one that is to come. */
function fail(error: Maybe<ConnectError>): Promise<never> {
  if (error instanceof Promise) {
    return error.then((reason) => {
      throw reason;
    });
  }
  throw error;
}

function andThen<T, R>(value: Maybe<T>, next: (value: T) => Maybe<R>): Maybe<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  );
}

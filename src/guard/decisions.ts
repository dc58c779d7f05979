import type { DescMethod } from "@bufbuild/protobuf";

/** One refusal, as operators see it. The wire shows none of this. */
export interface DecisionEvent {
  /** Full name of the service, such as `flwr.proto.ServerAppIo`; empty for an unknown RPC. */
  readonly service: string;
  /** Name of the RPC, such as `GetNodes`; for an unknown RPC the path that was asked for. */
  readonly method: string;
  /** Name of the credential that was missing or refused, where that is known. */
  readonly credential: string | undefined;
  /**
   * Why, such as `missing`, `expired` or `a.v1.Request.run_id is not what the
   * credential proves`; `store unavailable` for a call that was answered with
   * Unavailable. Never a secret.
   */
  readonly reason: string;
  /** The stack of the error that a verifier threw or gave for its store, unless it shows the secret. */
  readonly cause: string | undefined;
  /** How many refusals were not reported since the last one, because there were too many. */
  readonly suppressed: number;
}

/** How many calls of one RPC the guard let through, refused, and could not decide on. */
export interface DecisionCount {
  readonly service: string;
  readonly method: string;
  readonly allowed: number;
  readonly refused: number;
  /** Calls answered with Unavailable because a verifier's store was down; not among the refused. */
  readonly unavailable: number;
}

/** Refusals reported per second at most; the rest is counted only. */
const maxEventsPerSecond = 100;

interface Counts {
  allowed: number;
  refused: number;
  unavailable: number;
}

function noCounts(): Counts {
  return { allowed: 0, refused: 0, unavailable: 0 };
}

function namesOf(rpc: DescMethod | string): { service: string; method: string } {
  return typeof rpc === "string"
    ? { service: "", method: rpc }
    : { service: rpc.parent.typeName, method: rpc.name };
}

/** Counts decisions and reports refusals, at a bounded rate. */
export class DecisionLog {
  readonly #counts = new Map<DescMethod, Counts>();
  readonly #unknown = noCounts();
  readonly #report: ((event: DecisionEvent) => void) | undefined;
  readonly #now: () => number;
  #second = 0;
  #reported = 0;
  #suppressed = 0;

  constructor(
    methods: Iterable<DescMethod>,
    report: ((event: DecisionEvent) => void) | undefined,
    now: () => number,
  ) {
    this.#report = report;
    this.#now = now;
    for (const method of methods) {
      this.#counts.set(method, noCounts());
    }
  }

  /** Counts a call that reached its handler. */
  allow(method: DescMethod): void {
    const count = this.#counts.get(method);
    if (count !== undefined) {
      count.allowed++;
    }
  }

  /**
   * Counts a refused call and reports it.
   *
   * @param rpc the RPC; the path of one that no policy has.
   */
  refuse(
    rpc: DescMethod | string,
    credential: string | undefined,
    reason: string,
    cause?: string,
  ): void {
    this.#countsOf(rpc).refused++;
    this.#emit({ ...namesOf(rpc), credential, reason, cause });
  }

  /** Counts and reports a call that could not be decided on, for want of a store. */
  unavailable(rpc: DescMethod | string, credential: string, cause: string | undefined): void {
    this.#countsOf(rpc).unavailable++;
    this.#emit({ ...namesOf(rpc), credential, reason: "store unavailable", cause });
  }

  /** Returns the counts of every RPC, and of unknown ones as service and method `""`. */
  counts(): DecisionCount[] {
    const known = [...this.#counts].map(([method, count]) => ({ ...namesOf(method), ...count }));
    return this.#unknown.refused + this.#unknown.unavailable === 0
      ? known
      : [...known, { ...namesOf(""), ...this.#unknown }];
  }

  #countsOf(rpc: DescMethod | string): Counts {
    return (typeof rpc === "string" ? undefined : this.#counts.get(rpc)) ?? this.#unknown;
  }

  #emit(event: Omit<DecisionEvent, "suppressed">): void {
    if (this.#report === undefined) {
      return;
    }
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#reported = 0;
    }
    if (this.#reported >= maxEventsPerSecond) {
      this.#suppressed++;
      return;
    }
    this.#reported++;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    try {
      const reported: unknown = this.#report(Object.freeze({ ...event, suppressed }));
      // An async function fits the type too.
      Promise.resolve(reported).catch(() => undefined);
    } catch {
      // An observer that fails must not turn a refusal into anything else.
    }
  }
}

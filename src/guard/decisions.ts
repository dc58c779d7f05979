import type { DescMethod } from "@bufbuild/protobuf";

/** One refusal, as operators see it. The wire shows none of this. */
export interface DecisionEvent {
  /** Full name of the service, such as `flwr.proto.ServerAppIo`; empty for an unknown RPC. */
  readonly service: string;
  /** Name of the RPC, such as `GetNodes`; for an unknown RPC the path that was asked for. */
  readonly method: string;
  /** Name of the credential that was missing or refused, where that is known. */
  readonly credential: string | undefined;
  /** Why, such as `missing`, `expired` or `a.v1.Request.run_id is not what the credential proves`. Never a secret. */
  readonly reason: string;
  /** The stack of the error that a verifier threw, unless it shows the secret. */
  readonly cause: string | undefined;
  /** How many refusals were not reported since the last one, because there were too many. */
  readonly suppressed: number;
}

/** How many calls of one RPC the guard let through and refused. */
export interface DecisionCount {
  readonly service: string;
  readonly method: string;
  readonly allowed: number;
  readonly refused: number;
}

/** Refusals reported per second at most; the rest is counted only. */
const maxEventsPerSecond = 100;

/** Counts decisions and reports refusals, at a bounded rate. */
export class DecisionLog {
  readonly #counts = new Map<DescMethod, { allowed: number; refused: number }>();
  readonly #report: ((event: DecisionEvent) => void) | undefined;
  readonly #now: () => number;
  #unknown = 0;
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
      this.#counts.set(method, { allowed: 0, refused: 0 });
    }
  }

  /** Counts a call that reached its handler. */
  allow(method: DescMethod): void {
    const count = this.#counts.get(method);
    if (count !== undefined) {
      count.allowed++;
    }
  }

  /** Counts a refused call and reports it. */
  refuse(method: DescMethod, credential: string | undefined, reason: string, cause?: string): void {
    const count = this.#counts.get(method);
    if (count !== undefined) {
      count.refused++;
    }
    this.#emit({ service: method.parent.typeName, method: method.name, credential, reason, cause });
  }

  /** Counts a refused call of an RPC that no policy has, and reports it. */
  refuseUnknown(path: string): void {
    this.#unknown++;
    this.#emit({
      service: "",
      method: path,
      credential: undefined,
      reason: "unknown RPC",
      cause: undefined,
    });
  }

  /** Returns the counts of every RPC, and of unknown ones as service and method `""`. */
  counts(): DecisionCount[] {
    const known = [...this.#counts].map(([method, count]) => ({
      service: method.parent.typeName,
      method: method.name,
      ...count,
    }));
    return this.#unknown === 0
      ? known
      : [...known, { service: "", method: "", allowed: 0, refused: this.#unknown }];
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

import type { DescMethod } from "@bufbuild/protobuf";
import type { VerifyCall } from "../policy/verifier.ts";

/** Why the guard asks: `isRecheck` and `isProbe` of {@link VerifyCall}. */
export type Occasion = Pick<VerifyCall, "isRecheck" | "isProbe">;

/**
 * One question to a verifier. Its signal is made when it is asked for: most
 * verifiers answer at once, and a controller would be the dearest part of them.
 */
export class Question implements VerifyCall {
  readonly method: DescMethod;
  readonly timeoutMs: number;
  readonly isRecheck: boolean;
  readonly isProbe: boolean;
  #controller: AbortController | undefined;
  #isOver = false;

  constructor(method: DescMethod, { isRecheck, isProbe }: Occasion, timeoutMs: number) {
    this.method = method;
    this.timeoutMs = timeoutMs;
    this.isRecheck = isRecheck;
    this.isProbe = isProbe;
  }

  /** Aborted once the answer is of no use. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isOver) {
        this.#controller.abort();
      }
    }
    return this.#controller.signal;
  }

  /** Says that the answer is there, or nobody waits for it any more. */
  end(): void {
    this.#isOver = true;
    this.#controller?.abort();
  }
}

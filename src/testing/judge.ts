import type { Cell } from "./cells.ts";
import type { FindingKind } from "./finding.ts";
import type { ResolvedOptions } from "./options.ts";
import { isRpcCode, type Outcome, outcomeOf } from "./outcome.ts";
import { type RawAnswer, visibleBytes } from "./raw-answer.ts";
import { endlessUpload, plainCase } from "./transport-cases.ts";

/** What is wrong with one answer. */
export interface Fault {
  readonly kind: FindingKind;
  readonly expected: string;
  readonly got: string;
}

/** The most of a text from a server that a report repeats. */
const maxTextLength = 200;

/** Judges answers: by what each must be, and by those that came before it. */
export class Judge {
  readonly #options: ResolvedOptions;
  readonly #secrets: readonly string[];
  /** The first good answer to each kind of request, with which the others are compared. */
  readonly #references = new Map<string, { readonly bytes: string; readonly of: string }>();

  /** What each caller was told whose request was plain: what differs from it depends on the body. */
  readonly #plainAnswers = new Map<string, string>();

  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#secrets = Object.values(options.materials)
      .flatMap(({ live, refused }) => [live?.presented, ...Object.values(refused ?? {})])
      .filter((presented) => typeof presented === "string")
      .filter((secret) => secret.length > 3);
  }

  /** Returns what is wrong with an answer; undefined if nothing is. */
  judge(cell: Cell, answer: RawAnswer): Fault | undefined {
    const outcome = outcomeOf(cell.column, answer);
    const fault = (kind: FindingKind, expected: string): Fault => ({
      kind,
      expected,
      got: this.#tell(outcome),
    });
    switch (cell.expects) {
      case "refusal":
        return this.#judgeRefusal(cell, answer, outcome);
      case "denial": {
        const { denial, refusal } = this.#options;
        const expected = this.#tell(denial);
        if (outcome.code === denial.code && outcome.text === denial.text) {
          return this.#compare(cell, answer, expected);
        }
        if (outcome.code === refusal.code && outcome.text === refusal.text) {
          return fault("live credential refused", expected);
        }
        if (outcome.code === denial.code || outcome.code === refusal.code) {
          return fault("wrong refusal", expected);
        }
        return fault(isNone(outcome) ? "no answer" : "not bound", expected);
      }
      case "no RPC": {
        const expected = "an HTTP error, as for every path";
        if (outcome.code === "ok") {
          return fault("accepted", expected);
        }
        return outcome.code === "timeout" || outcome.code === "unreachable"
          ? fault("no answer", expected)
          : this.#compare(cell, answer, expected);
      }
      case "failure": {
        const expected = "an error";
        if (outcome.code === "ok") {
          return fault("accepted", expected);
        }
        return outcome.code === "timeout" || outcome.code === "unreachable"
          ? fault("no answer", expected)
          : undefined;
      }
    }
  }

  #judgeRefusal(cell: Cell, answer: RawAnswer, outcome: Outcome): Fault | undefined {
    const { refusal, limits } = this.#options;
    const expected = this.#tell(refusal);
    const got = this.#tell(outcome);
    const isUpload = cell.request === endlessUpload;
    const caller = JSON.stringify([cell.part.name, cell.column.name, cell.credential]);
    if (cell.request === plainCase.name) {
      this.#plainAnswers.set(caller, got);
    }
    const sent = `${answer.sentBodyBytes} bytes of a body were taken`;
    if (isUpload && answer.sentBodyBytes > limits.maxUploadBytes) {
      const most = `the refusal before ${limits.maxUploadBytes} bytes of the body`;
      return { kind: "body read", expected: most, got: sent };
    }
    if (outcome.code === refusal.code && outcome.text === refusal.text) {
      return this.#compare(cell, answer, expected);
    }
    if (outcome.code === "ok") {
      return { kind: "accepted", expected, got };
    }
    if (outcome.code === "timeout" && cell.isAboutBody) {
      return { kind: "body awaited", expected, got: "no answer while the body did not end" };
    }
    if (isNone(outcome)) {
      return { kind: "no answer", expected, got };
    }
    const dependsOnBody =
      cell.isAboutBody && isRpcCode(outcome.code) && this.#plainAnswers.get(caller) !== got;
    return { kind: dependsOnBody ? "body looked at" : "wrong refusal", expected, got };
  }

  /** Compares an answer that is as it must be with the first such one to the same request. */
  #compare(cell: Cell, answer: RawAnswer, expected: string): Fault | undefined {
    if (!cell.isCompared) {
      return undefined;
    }
    const { part, column } = cell;
    const bytes = visibleBytes(answer, this.#options.ignoredHeaders);
    const request = cell.expects === "denial" ? "" : cell.request;
    const key = JSON.stringify([part.policy.service.typeName, column.name, request, cell.expects]);
    const reference = this.#references.get(key);
    if (reference === undefined) {
      this.#references.set(key, { bytes, of: `${part.name}, ${cell.credential}` });
      return undefined;
    }
    if (reference.bytes === bytes) {
      return undefined;
    }
    return {
      kind: "distinguishable",
      expected: `${expected}, with the same bytes as ${reference.of}: ${this.#shorten(reference.bytes)}`,
      got: this.#shorten(bytes),
    };
  }

  #tell({ code, text }: Outcome): string {
    return this.#shorten(text === "" ? code : `${code}: ${text}`);
  }

  /** A text from the server, short and without the secrets that it was sent. */
  #shorten(text: string): string {
    let shown = text;
    for (const secret of this.#secrets) {
      shown = shown.replaceAll(secret, "(secret)");
    }
    return shown.length > maxTextLength ? `${shown.slice(0, maxTextLength)}...` : shown;
  }
}

function isNone({ code }: Outcome): boolean {
  return code === "timeout" || code === "reset" || code === "unreachable";
}

import { type AttackPart, type Cell, cellsOf, partsOf } from "./cells.ts";
import { type Column, misfitOf } from "./columns.ts";
import type { Finding } from "./finding.ts";
import { callHttp1 } from "./http1-call.ts";
import { Http2Connections } from "./http2-call.ts";
import { Judge } from "./judge.ts";
import { type AttackOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import { isRpcCode, outcomeOf } from "./outcome.ts";
import type { RawAnswer } from "./raw-answer.ts";
import type { RawRequest } from "./raw-request.ts";
import { endlessUpload, plainCase } from "./transport-cases.ts";

/** What an attack has done with one RPC, or with those that do not exist. */
export interface AttackRow {
  /** Full name of the service. */
  readonly service: string;
  /** Name of the RPC, or `unknown RPCs`. */
  readonly rpc: string;
  /** `open`, the credentials of the rule, or `none`. */
  readonly rule: string;
  readonly calls: number;
  readonly findings: number;
}

/** What came of an attack. */
export interface AttackReport {
  /** Origin of the server. */
  readonly url: string;
  readonly findings: readonly Finding[];
  readonly rows: readonly AttackRow[];
  readonly calls: number;
  /** Calls by what had to come of them. */
  readonly expected: Readonly<Record<Cell["expects"], number>>;
  /** Bytes of bodies that left this process. */
  readonly sentBodyBytes: number;
  /** The largest part of an upload without end that left before it was stopped, in bytes. */
  readonly largestUploadBytes: number;
  readonly durationMs: number;
  /** Protocols with versions of HTTP that the server does not speak. */
  readonly notSpoken: readonly string[];
  /** Calls that were left out, as two of their kind had got no answer. */
  readonly skipped: number;
  /** Why the attack ended before its end; undefined if it did not. */
  readonly incomplete: string | undefined;
}

/** After so many calls of a kind without an answer, the others of that kind are left out. */
const maxTimeouts = 2;

/** An attack, which can be run part by part. Made by `openAttack`. */
export class AttackRun {
  readonly #options: ResolvedOptions;
  readonly #judge: Judge;
  readonly #http2: Http2Connections;
  readonly #startedAt = performance.now();
  readonly #findings: Finding[] = [];
  readonly #rows: AttackRow[] = [];
  readonly #timeouts = new Map<string, number>();
  readonly #expected = { refusal: 0, denial: 0, "no RPC": 0, failure: 0 };
  #columns: readonly Column[];
  #totalCalls = 0;
  #calls = 0;
  #sentBodyBytes = 0;
  #largestUploadBytes = 0;
  #skipped = 0;
  #incomplete: string | undefined;

  constructor(options: AttackOptions) {
    this.#options = resolveOptions(options);
    this.#judge = new Judge(this.#options);
    this.#http2 = new Http2Connections(this.#options.target);
    this.#columns = this.#options.columns;
  }

  /**
   * Finds out what the server speaks: a call without a credential to an unknown
   * RPC and to every protected one, in every way.
   *
   * @throws Error if it speaks nothing at all.
   */
  async prepare(): Promise<void> {
    const spoken: Column[] = [];
    for (const column of this.#options.columns) {
      if (await this.#isSpoken(column)) {
        spoken.push(column);
      }
    }
    if (spoken.length === 0) {
      throw new Error(`${this.#options.target.origin} answers in none of the protocols`);
    }
    this.#columns = spoken;
    for (const part of this.#options.policies.flatMap(partsOf)) {
      for (const _ of cellsOf(part, this.#cellOptions())) {
        this.#totalCalls++;
      }
    }
    this.#tellProgress();
  }

  /** Runs one part, and returns what was found. */
  async run(part: AttackPart): Promise<readonly Finding[]> {
    const found: Finding[] = [];
    const callsBefore = this.#calls;
    for (const cell of cellsOf(part, this.#cellOptions())) {
      this.#incomplete ??= this.#exhausted();
      if (this.#incomplete !== undefined) {
        break;
      }
      const stalledKey = JSON.stringify([cell.column.name, cell.request]);
      if ((this.#timeouts.get(stalledKey) ?? 0) >= maxTimeouts) {
        this.#skipped++;
        continue;
      }
      const { findings, answer } = await this.#call(cell);
      if (answer.ending === "timeout") {
        this.#timeouts.set(stalledKey, (this.#timeouts.get(stalledKey) ?? 0) + 1);
      }
      if (answer.ending === "unreachable") {
        this.#incomplete = "the server cannot be reached any more";
      }
      found.push(...findings);
      this.#findings.push(...findings);
      this.#tellProgress();
    }
    this.#rows.push({
      service: part.policy.service.typeName,
      rpc: part.name,
      rule: ruleText(part),
      calls: this.#calls - callsBefore,
      findings: found.length,
    });
    return found;
  }

  /** What came of the parts that were run. */
  report(): AttackReport {
    return {
      url: this.#options.target.origin,
      findings: [...this.#findings],
      rows: [...this.#rows],
      calls: this.#calls,
      expected: { ...this.#expected },
      sentBodyBytes: this.#sentBodyBytes,
      largestUploadBytes: this.#largestUploadBytes,
      durationMs: Math.round(performance.now() - this.#startedAt),
      notSpoken: this.#options.columns
        .filter((column) => !this.#columns.includes(column))
        .map(({ name }) => name),
      skipped: this.#skipped,
      incomplete: this.#incomplete,
    };
  }

  /** Closes the attack's connections. */
  close(): void {
    this.#http2.close();
  }

  async #isSpoken(column: Column): Promise<boolean> {
    for (const { service, ruleOf } of this.#options.policies) {
      const paths = service.methods
        .filter((method) => ruleOf(method)?.kind === "protected")
        .filter((method) => misfitOf(method, column) === undefined)
        .map(({ name }) => name);
      for (const name of ["NoSuchMethod", ...paths]) {
        const request = plainCase.request(column, `/${service.typeName}/${name}`, []);
        if (
          request !== undefined &&
          isRpcCode(outcomeOf(column, await this.#send(column, request, false)).code)
        ) {
          return true;
        }
      }
    }
    return false;
  }

  async #call(cell: Cell): Promise<{ findings: Finding[]; answer: RawAnswer }> {
    const runsBefore = await this.#options.countHandlerRuns?.();
    const answer = await this.#send(cell.column, await cell.build(), cell.isApart);
    const runsAfter = await this.#options.countHandlerRuns?.();
    this.#calls++;
    this.#expected[cell.expects]++;
    if (cell.request === endlessUpload) {
      this.#largestUploadBytes = Math.max(this.#largestUploadBytes, answer.sentBodyBytes);
    }
    const place = {
      service: cell.part.policy.service.typeName,
      rpc: cell.part.name,
      column: cell.column.name,
      credential: cell.credential,
      request: cell.request,
    };
    const findings: Finding[] = [];
    const fault = this.#judge.judge(cell, answer);
    if (fault !== undefined) {
      findings.push({ ...fault, ...place });
    }
    if (runsAfter !== runsBefore && !cell.mayRunHandler) {
      const got = `${Number(runsAfter) - Number(runsBefore)} runs`;
      findings.push({ kind: "handler ran", expected: "no run of a handler", got, ...place });
    }
    return { findings, answer };
  }

  async #send(column: Column, request: RawRequest, isApart: boolean): Promise<RawAnswer> {
    const { target, limits } = this.#options;
    const leftBytes = Math.max(0, limits.maxSentBytes - this.#sentBodyBytes);
    const exchange = {
      timeoutMs:
        request.afterBody === "silence"
          ? Math.min(limits.silenceMs, limits.timeoutMs)
          : limits.timeoutMs,
      // A little more than is allowed, so that a server is seen to take it.
      floodBytes: Math.min(2 * limits.maxUploadBytes, leftBytes),
      answerBytes: 1024 * 1024,
    };
    const answer = await (column.httpVersion === "HTTP/2"
      ? this.#http2.call(request, exchange, isApart)
      : callHttp1(target, request, exchange));
    this.#sentBodyBytes += answer.sentBodyBytes;
    return answer;
  }

  #exhausted(): string | undefined {
    const { limits } = this.#options;
    if (this.#calls >= limits.maxCalls) {
      return `the limit of ${limits.maxCalls} calls`;
    }
    if (this.#sentBodyBytes >= limits.maxSentBytes) {
      return `the limit of ${limits.maxSentBytes} bytes`;
    }
    return performance.now() - this.#startedAt >= limits.maxDurationMs
      ? `the limit of ${limits.maxDurationMs} ms`
      : undefined;
  }

  #cellOptions() {
    const { materials, breadth } = this.#options;
    return { columns: this.#columns, materials, breadth };
  }

  #tellProgress(): void {
    this.#options.onProgress({
      calls: this.#calls,
      totalCalls: this.#totalCalls - this.#skipped,
      findings: this.#findings.length,
    });
  }
}

function ruleText({ policy, method }: AttackPart): string {
  const rule = method && policy.ruleOf(method);
  if (rule === undefined) {
    return "none";
  }
  return rule.kind === "open" ? "open" : rule.credentials.map(({ name }) => name).join(" or ");
}

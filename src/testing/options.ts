import { authenticationFailedText, permissionDeniedText } from "../guard/refusal.ts";
import type { AnyPolicy } from "../policy/policy.ts";
import type { Breadth } from "./cells.ts";
import { type Column, columns, type HttpVersion, type Protocol } from "./columns.ts";
import type { CredentialMaterials } from "./credential-cases.ts";
import { type AttackTarget, type CheckedTarget, checkTarget } from "./target.ts";

/** The code and the text with which a server refuses. */
export interface ExpectedRefusal {
  /** A gRPC code in Connect's spelling, such as `unauthenticated`. */
  readonly code: string;
  readonly text: string;
}

/** Bounds of an attack. What is not run because of one is told in the report. */
export interface AttackLimits {
  /** Calls. Default 200,000. */
  readonly maxCalls?: number;
  /** Bytes of bodies that are sent, over all calls. Default 1 GiB. */
  readonly maxSentBytes?: number;
  /** Time for all of it, in milliseconds. Default 600,000. */
  readonly maxDurationMs?: number;
  /** Time for one call, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number;
  /** Time for the refusal of a call whose body does not come, in milliseconds. Default 2,000. */
  readonly silenceMs?: number;
  /**
   * What an upload without end may send of its body before it is refused and
   * stopped, in bytes. Default 8 MiB: over HTTP/1.1 systems take some before any server does.
   */
  readonly maxUploadBytes?: number;
}

/** Options of an attack, besides where it goes. */
export interface AttackOptions extends AttackTarget {
  /** What the server promises: the policies of its services. */
  readonly policies: readonly AnyPolicy[];
  /** Live and dead credentials, by the names that the policies have for them. Default: none. */
  readonly credentials?: CredentialMaterials;
  /**
   * - `pairs`: every hostile credential with a plain and a garbage body, every
   *   hostile request without a credential and with an unknown one;
   * - `all`: every hostile credential with every hostile request, but for uploads
   *   without end, headers that are too large and what is no RPC request.
   *
   * Default `pairs`.
   */
  readonly breadth?: Breadth;
  /** Default: all. What the server does not speak at all is left out and told in the report. */
  readonly protocols?: readonly Protocol[];
  /** Default: both. */
  readonly httpVersions?: readonly HttpVersion[];
  /** Default: Unauthenticated, `Authentication failed.` */
  readonly refusal?: ExpectedRefusal;
  /** Default: PermissionDenied, `Permission denied.` */
  readonly denial?: ExpectedRefusal;
  /** Response headers that may differ from call to call. Default: `date`. */
  readonly ignoredHeaders?: readonly string[];
  /** Returns how many handlers have run so far. With it, an attack finds those that ran for a refused call. */
  readonly countHandlerRuns?: () => number | Promise<number>;
  readonly limits?: AttackLimits;
  /** Called after every call, and at the start. */
  readonly onProgress?: (progress: AttackProgress) => void;
}

/** How far an attack has come. */
export interface AttackProgress {
  readonly calls: number;
  /** How many calls it will be at most. */
  readonly totalCalls: number;
  readonly findings: number;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly target: CheckedTarget;
  readonly policies: readonly AnyPolicy[];
  readonly materials: CredentialMaterials;
  readonly breadth: Breadth;
  readonly columns: readonly Column[];
  readonly refusal: ExpectedRefusal;
  readonly denial: ExpectedRefusal;
  readonly ignoredHeaders: ReadonlySet<string>;
  readonly countHandlerRuns: (() => number | Promise<number>) | undefined;
  readonly limits: Required<AttackLimits>;
  readonly onProgress: (progress: AttackProgress) => void;
}

/**
 * Fills in the defaults.
 *
 * @throws TypeError if the target may not be attacked, there is no policy, two
 * policies are of one service, a credential is of none of them, or a limit is no positive integer.
 */
export function resolveOptions(options: AttackOptions): ResolvedOptions {
  const { policies } = options;
  if (policies.length === 0) {
    throw new TypeError('"policies" must have at least one policy');
  }
  const services = policies.map(({ service }) => service.typeName);
  if (new Set(services).size !== services.length) {
    throw new TypeError('"policies" has two policies of one service');
  }
  const materials = options.credentials ?? {};
  const names = new Set(
    policies.flatMap((policy) =>
      policy.service.methods.flatMap((method) => {
        const rule = policy.ruleOf(method);
        return rule?.kind === "protected" ? rule.credentials.map(({ name }) => name) : [];
      }),
    ),
  );
  for (const name of Object.keys(materials)) {
    if (!names.has(name)) {
      throw new TypeError(`"credentials" names "${name}", which no policy requires`);
    }
  }
  return {
    target: checkTarget(options),
    policies,
    materials,
    breadth: options.breadth ?? "pairs",
    columns: columns.filter(
      ({ protocol, httpVersion }) =>
        (options.protocols ?? [protocol]).includes(protocol) &&
        (options.httpVersions ?? [httpVersion]).includes(httpVersion),
    ),
    refusal: options.refusal ?? { code: "unauthenticated", text: authenticationFailedText },
    denial: options.denial ?? { code: "permission_denied", text: permissionDeniedText },
    ignoredHeaders: new Set((options.ignoredHeaders ?? ["date"]).map((name) => name.toLowerCase())),
    countHandlerRuns: options.countHandlerRuns,
    limits: {
      maxCalls: limit("maxCalls", options.limits?.maxCalls, 200_000),
      maxSentBytes: limit("maxSentBytes", options.limits?.maxSentBytes, 1024 * mebibyte),
      maxDurationMs: limit("maxDurationMs", options.limits?.maxDurationMs, 600_000),
      timeoutMs: limit("timeoutMs", options.limits?.timeoutMs, 5_000),
      silenceMs: limit("silenceMs", options.limits?.silenceMs, 2_000),
      maxUploadBytes: limit("maxUploadBytes", options.limits?.maxUploadBytes, 8 * mebibyte),
    },
    onProgress: options.onProgress ?? (() => {}),
  };
}

const mebibyte = 1024 * 1024;

function limit(name: string, value: number | undefined, standard: number): number {
  if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
    throw new TypeError(`"limits.${name}" must be a positive integer, not ${value}`);
  }
  return value ?? standard;
}

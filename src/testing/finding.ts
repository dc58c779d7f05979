/**
 * What is wrong:
 * - `accepted`: what should have been refused was answered,
 * - `handler ran`: the probe says that a handler ran,
 * - `wrong refusal`: refused or denied, but not with the one code and text,
 * - `distinguishable`: the one code and text, but other bytes than other refusals of the same request,
 * - `body looked at`: the answer depends on a body that should not have been looked at,
 * - `body awaited`: no refusal before the body has come,
 * - `body read`: more of a refused upload was taken than is allowed,
 * - `not bound`: a request that names another's was not denied,
 * - `live credential refused`: the credential that was handed in as live is not accepted,
 * - `no answer`: none in time, or the connection broke.
 */
export type FindingKind =
  | "accepted"
  | "handler ran"
  | "wrong refusal"
  | "distinguishable"
  | "body looked at"
  | "body awaited"
  | "body read"
  | "not bound"
  | "live credential refused"
  | "no answer";

/** One call that did not end as it must. */
export interface Finding {
  readonly kind: FindingKind;
  /** Full name of the service. */
  readonly service: string;
  /** Name of the RPC, or the path of one that does not exist. */
  readonly rpc: string;
  /** Protocol and version of HTTP. */
  readonly column: string;
  /** What was presented. */
  readonly credential: string;
  /** How the request was sent, or which field named another's. */
  readonly request: string;
  readonly expected: string;
  readonly got: string;
}

/** Tells a finding in a sentence. */
export function findingText(finding: Finding): string {
  const { kind, service, rpc, column, credential, request, expected, got } = finding;
  return `${kind}: ${service}/${rpc} over ${column}, ${credential}, ${request}: expected ${expected}, got ${got}.`;
}

/** Findings that differ in RPC, column, credential and request only. */
export interface FindingGroup {
  readonly kind: FindingKind;
  readonly expected: string;
  readonly got: string;
  readonly count: number;
  /** The RPCs, the columns, the credentials and the requests that occur, in order. */
  readonly rpcs: readonly string[];
  readonly columns: readonly string[];
  readonly credentials: readonly string[];
  readonly requests: readonly string[];
}

/** Puts findings of one kind, expectation and answer together; those that occur first come first. */
export function groupFindings(findings: readonly Finding[]): readonly FindingGroup[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = JSON.stringify([finding.kind, finding.expected, finding.got]);
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    const distinct = (of: (finding: Finding) => string) => [...new Set(group.map(of))];
    return first === undefined
      ? []
      : [
          {
            kind: first.kind,
            expected: first.expected,
            got: first.got,
            count: group.length,
            rpcs: distinct(({ service, rpc }) => `${service}/${rpc}`),
            columns: distinct(({ column }) => column),
            credentials: distinct(({ credential }) => credential),
            requests: distinct(({ request }) => request),
          },
        ];
  });
}

import { globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";

/** What the suites say of one header. */
interface SuiteHeader {
  readonly name: string;
  readonly value: readonly string[];
}

/** What is read of a case of a suite; the rest is left as it is. */
interface SuiteCase {
  readonly request: {
    readonly requestHeaders?: readonly SuiteHeader[];
    readonly rawRequest?: { readonly headers?: readonly SuiteHeader[] };
  };
}

/** What is read of a suite. */
interface Suite {
  readonly mode?: string;
  readonly testCases: readonly SuiteCase[];
}

/** Makes another case of one, or leaves it out. */
export type ChangeCase = (one: SuiteCase) => SuiteCase | undefined;

/**
 * Writes the runner's own suites anew, with every case changed.
 *
 * @param source - the directory with the suites.
 * @param target - the directory to write to.
 * @returns the files that were written, as JSON, which YAML includes.
 */
export function writeSuites(source: string, target: string, change: ChangeCase): string[] {
  return globSync(join(source, "*.yaml"))
    .sort()
    .flatMap((path) => {
      const suite: Suite = parse(readFileSync(path, "utf8"));
      const testCases = suite.testCases.flatMap((one) => change(one) ?? []);
      if (testCases.length === 0) {
        return [];
      }
      const file = join(target, basename(path));
      writeFileSync(file, JSON.stringify({ ...suite, testCases }));
      return [file];
    });
}

/** Gives a case a further header, in the way that it sends headers. */
export function withHeader(header: SuiteHeader): ChangeCase {
  return (one) => {
    const { requestHeaders = [], rawRequest } = one.request;
    return {
      ...one,
      request: {
        ...one.request,
        requestHeaders: [...requestHeaders, header],
        ...(rawRequest === undefined
          ? {}
          : { rawRequest: { ...rawRequest, headers: [...(rawRequest.headers ?? []), header] } }),
      },
    };
  };
}

/**
 * Leaves a case without a credential, and expects that it is refused. Requests
 * that are written by hand are left out: some of them are no RPC requests.
 * Deadlines are taken away: a busy machine may reach one before the answer.
 */
export function refusedWith(message: string): ChangeCase {
  return (one) =>
    one.request.rawRequest === undefined
      ? {
          request: { ...one.request, timeoutMs: undefined },
          ...("expandRequests" in one ? { expandRequests: one.expandRequests } : {}),
          expectedResponse: { error: { code: "CODE_UNAUTHENTICATED", message } },
        }
      : undefined;
}

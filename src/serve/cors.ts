import { cors } from "@connectrpc/connect";
import type { AnyPolicy } from "../policy/policy.ts";

/** The lists that a CORS middleware needs. */
export interface CorsLists {
  /** For `Access-Control-Allow-Methods`. */
  readonly allowedMethods: readonly string[];
  /** For `Access-Control-Allow-Headers`. */
  readonly allowedHeaders: readonly string[];
  /** For `Access-Control-Expose-Headers`. */
  readonly exposedHeaders: readonly string[];
}

/**
 * Returns the CORS lists for services: connect's own, which name the headers of
 * its protocols only, and the headers of every credential in the policies.
 * `serve` applies them on its own; this is for servers that are not `serve`'s.
 */
export function corsLists(services: Iterable<{ readonly policy: AnyPolicy }>): CorsLists {
  const allowedHeaders = new Set<string>(cors.allowedHeaders.map((name) => name.toLowerCase()));
  for (const { policy } of services) {
    for (const method of policy.service.methods) {
      const rule = policy.ruleOf(method);
      if (rule?.kind === "protected") {
        for (const header of rule.credentials.flatMap(({ headers }) => headers)) {
          allowedHeaders.add(header);
        }
      }
    }
  }
  return {
    allowedMethods: [...cors.allowedMethods],
    allowedHeaders: [...allowedHeaders],
    exposedHeaders: cors.exposedHeaders.map((name) => name.toLowerCase()),
  };
}

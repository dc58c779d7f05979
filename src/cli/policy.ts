import { Command } from "commander";
import type { AnyPolicy } from "../policy/policy.ts";
import { type BoundPath, boundPaths } from "./bound-paths.ts";
import { formatTable, printJson, printLine } from "./output.ts";

/** A policy, and on which servers it holds. */
interface PolicyInUse {
  readonly policy: AnyPolicy;
  /** Where there is more than one policy of a service: when it is this one; empty where it is always in use. */
  readonly when: string;
}

/** One line of a policy's table. */
interface PolicyRow {
  readonly service: string;
  readonly when: string;
  readonly method: string;
  /** Names of the credentials, one of which the caller must present; empty when the RPC is open. */
  readonly credentials: readonly string[];
  /** Request fields that the credentials bind; empty when the rule is unbound. */
  readonly bound: readonly (BoundPath & { readonly credential: string })[];
  /** Why the rule leaves the request's fields alone; undefined when it binds. */
  readonly unbound: string | undefined;
}

/** `countersign policy`: prints which credential every RPC requires, and what it binds. */
export function policyCommand(): Command {
  return new Command("policy")
    .description(
      "Print every service's policy: the credential each RPC requires and the request fields it binds.",
    )
    .option("--json", "print JSON, a line per RPC")
    .action(async ({ json }: { readonly json?: boolean }) => {
      const policies = await policiesInUse();
      if (json) {
        for (const { bound, ...row } of policies.flatMap(rowsOf)) {
          printJson({ ...row, bound: bound.map((path) => ({ ...path })) });
        }
      } else printLine(policies.map(formatPolicy).join("\n\n"));
    });
}

async function policiesInUse(): Promise<PolicyInUse[]> {
  const appIo = await import("../appio/policy.ts");
  const { healthPolicy } = await import("../serve/health.ts");
  const unsigned = "SuperExecs need no key";
  const signed = "SuperExecs must sign";
  return [
    { policy: appIo.serverAppIoPolicy, when: unsigned },
    { policy: appIo.signedServerAppIoPolicy, when: signed },
    { policy: appIo.clientAppIoPolicy, when: unsigned },
    { policy: appIo.signedClientAppIoPolicy, when: signed },
    { policy: appIo.simulationIoPolicy, when: "a part of ServerAppIo; no server offers it" },
    { policy: appIo.fleetPolicy, when: "" },
    { policy: appIo.controlPolicy, when: "" },
    { policy: healthPolicy, when: "" },
  ];
}

function rowsOf({ policy, when }: PolicyInUse): PolicyRow[] {
  return policy.service.methods.map((method) => {
    const rule = policy.ruleOf(method);
    const row = { service: policy.service.typeName, when, method: method.name };
    // definePolicy refuses a table without a rule for every RPC.
    if (rule === undefined) throw new Error(`${row.service}.${row.method} has no rule.`);
    if (rule.kind === "open") return { ...row, credentials: [], bound: [], unbound: undefined };
    const { credentials, isUnbound, reasons } = rule;
    return {
      ...row,
      credentials: credentials.map(({ name }) => name),
      bound: isUnbound
        ? []
        : credentials.flatMap((one) =>
            boundPaths(method.input, one).map((path) => ({ credential: one.name, ...path })),
          ),
      unbound: reasons.unbound,
    };
  });
}

function formatPolicy(inUse: PolicyInUse): string {
  const { policy, when } = inUse;
  const rows = rowsOf(inUse).map(({ method, credentials, bound, unbound }) => [
    `  ${method}`,
    credentials.length === 0 ? "open" : credentials.join(" or "),
    unbound === undefined
      ? bound
          .map(({ credential, path, binds }) =>
            credentials.length > 1
              ? `with ${credential}: ${path} = ${binds}`
              : `${path} = ${binds}`,
          )
          .join(", ")
      : `unbound: ${unbound}`,
  ]);
  const heading = `${policy.service.typeName}${when === "" ? "" : ` (${when})`}`;
  return `${heading}\n${formatTable([["  RPC", "CREDENTIAL", "BOUND REQUEST FIELDS"], ...rows])}`;
}

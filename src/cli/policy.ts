import { Command } from "commander";
import type { AnyPolicy } from "../policy/policy.ts";
import { type BoundPath, boundPaths } from "./bound-paths.ts";
import { formatTable, printJson, printLine } from "./output.ts";

/** One line of a policy's table. */
interface PolicyRow {
  readonly service: string;
  readonly method: string;
  /** Names of the credentials, one of which the caller must present; empty when the RPC is open. */
  readonly credentials: readonly string[];
  /** Request fields that the credentials bind; empty when the rule is unbound. */
  readonly bound: readonly BoundPath[];
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
      const policies = await import("../appio/policy.ts");
      const { serverAppIoPolicy, clientAppIoPolicy, fleetPolicy, controlPolicy } = policies;
      const all = [serverAppIoPolicy, clientAppIoPolicy, fleetPolicy, controlPolicy];
      if (json)
        for (const row of all.flatMap(rowsOf))
          printJson({ ...row, bound: row.bound.map((path) => ({ ...path })) });
      else printLine(all.map(formatPolicy).join("\n\n"));
    });
}

function rowsOf(policy: AnyPolicy): PolicyRow[] {
  return policy.service.methods.map((method) => {
    const rule = policy.ruleOf(method);
    const row = { service: policy.service.typeName, method: method.name };
    // definePolicy refuses a table without a rule for every RPC.
    if (rule === undefined) throw new Error(`${row.service}.${row.method} has no rule.`);
    if (rule.kind === "open") return { ...row, credentials: [], bound: [], unbound: undefined };
    const { credentials, isUnbound, reasons } = rule;
    return {
      ...row,
      credentials: credentials.map(({ name }) => name),
      bound: isUnbound ? [] : credentials.flatMap((one) => boundPaths(method.input, one)),
      unbound: reasons.unbound,
    };
  });
}

function formatPolicy(policy: AnyPolicy): string {
  const rows = rowsOf(policy).map(({ method, credentials, bound, unbound }) => [
    `  ${method}`,
    credentials.length === 0 ? "open" : credentials.join(" or "),
    unbound === undefined
      ? bound.map(({ path, binds }) => `${path} = ${binds}`).join(", ")
      : `unbound: ${unbound}`,
  ]);
  return `${policy.service.typeName}\n${formatTable([["  RPC", "CREDENTIAL", "BOUND REQUEST FIELDS"], ...rows])}`;
}

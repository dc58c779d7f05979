import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as appIo from "../src/appio/policy.ts";
import { boundPaths } from "../src/cli/bound-paths.ts";
import type { AnyPolicy } from "../src/policy/policy.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

/** The policies of AppIo, by the names under which they are exported. */
export const policies: ReadonlyMap<string, AnyPolicy> = new Map(
  Object.entries(appIo).flatMap(([name, value]) =>
    "ruleOf" in value ? [[name, value] as const] : [],
  ),
);

/**
 * Writes anew what a Markdown page repeats from the code. Two marks ask for it:
 *
 * - `<!-- file: examples/quickstart/policy.ts -->` before a block of code, which
 *   becomes the file;
 * - `<!-- policy: NAME -->` to `<!-- end -->`, between which stands the table of
 *   the policies of these names, all of one service, one column for each.
 *
 * @throws Error if a mark names a file or a policy that does not exist.
 */
export function withGenerated(page: string): string {
  return page
    .replaceAll(
      /(<!-- file: (\S+) -->\n)```\w*\n(?:.*?\n)??```\n/gs,
      (_, mark: string, path: string) => `${mark}${codeBlock(path)}`,
    )
    .replaceAll(
      /(<!-- policy: ([\w ]+) -->\n).*?<!-- end -->\n/gs,
      (_, mark: string, names: string) => `${mark}\n${tableOf(names.split(" "))}\n<!-- end -->\n`,
    );
}

function codeBlock(path: string): string {
  const language = path.slice(path.lastIndexOf(".") + 1);
  return `\`\`\`${language}\n${readFileSync(root + path, "utf8")}\`\`\`\n`;
}

function tableOf(names: readonly string[]): string {
  const columns = names.map((name) => {
    const policy = policies.get(name);
    if (policy === undefined) {
      throw new Error(`src/appio/policy.ts exports no policy ${name}`);
    }
    return { name, policy };
  });
  const [first] = columns;
  const rows = (first?.policy.service.methods ?? []).map((method) => [
    method.name,
    ...columns.map(({ policy }) => credentialsOf(policy, method.localName).join(" or ") || "open"),
    [...new Set(columns.flatMap(({ policy }) => boundFields(policy, method.localName)))].join(", "),
  ]);
  return formatTable([
    ["RPC", ...columns.map(({ name }) => `\`${name}\``), "bound request fields"],
    ...rows,
  ]);
}

function ruleOf(policy: AnyPolicy, localName: string) {
  const method = policy.service.methods.find((each) => each.localName === localName);
  const rule = method === undefined ? undefined : policy.ruleOf(method);
  if (method === undefined || rule === undefined) {
    throw new Error(`the policies of a table must be of one service: ${localName}`);
  }
  return { method, rule };
}

function credentialsOf(policy: AnyPolicy, localName: string): string[] {
  const { rule } = ruleOf(policy, localName);
  return rule.kind === "open" ? [] : rule.credentials.map(({ name }) => name);
}

function boundFields(policy: AnyPolicy, localName: string): string[] {
  const { method, rule } = ruleOf(policy, localName);
  if (rule.kind === "open") {
    return [];
  }
  return rule.isUnbound
    ? [`unbound: ${rule.reasons.unbound}`]
    : rule.credentials.flatMap((one) =>
        boundPaths(method.input, one).map(({ path }) => `\`${path}\``),
      );
}

/** A table of Markdown whose columns line up in plain text too. */
function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |\n`;
  const [head = [], ...body] = rows;
  return [head, widths.map((width) => "-".repeat(width)), ...body].map(line).join("");
}

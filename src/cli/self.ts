import { fileURLToPath } from "node:url";
import type { ChildCommand } from "../appio/launch/child.ts";

/** The command that starts this program again, as it was started: same Node, same options of Node. */
export function selfCommand(parameters: readonly string[]): ChildCommand {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const main = fileURLToPath(new URL(`./main.${extension}`, import.meta.url));
  return { command: process.execPath, args: [...process.execArgv, main, ...parameters] };
}

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/**
 * Compiles what is measured, as the package is compiled for its users: a process
 * that runs its source keeps Node's compiler of types in its heap, which the
 * garbage collector then goes through again and again.
 *
 * @throws Error if it does not compile.
 */
export function buildMeasured(): void {
  const compiler = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
  const project = fileURLToPath(new URL(".", import.meta.url));
  const { status } = spawnSync(process.execPath, [compiler, "-p", project], { stdio: "inherit" });
  if (status !== 0) {
    throw new Error("the servers and clients of the benchmark do not compile");
  }
}

/** The path of a compiled file of bench/. */
export function builtFile(name: "servers/main" | "clients/main"): string {
  return fileURLToPath(new URL(`.build/bench/${name}.js`, import.meta.url));
}

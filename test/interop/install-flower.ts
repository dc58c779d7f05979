import type { TestProject } from "vitest/node";
import { flowerEnvironment, python } from "./flower-environment.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Directory of Flower's commands; undefined where there is no Python. */
    flowerCommands: string | undefined;
  }
}

/**
 * Installs Flower for the tests, which are skipped aloud without Python.
 *
 * @throws Error in CI where there is no Python: there the tests are never skipped
 */
export default async function installFlower(project: TestProject): Promise<void> {
  const commands = await flowerEnvironment();
  if (commands === undefined) {
    const text = `There is no ${python}: nothing was tested against the real Flower.`;
    if (process.env.CI !== undefined) throw new Error(text);
    process.stderr.write(`\nSKIPPED: ${text}\n\n`);
  }
  project.provide("flowerCommands", commands);
}

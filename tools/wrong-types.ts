import { readFileSync } from "node:fs";
import { checkPackage, createPackageFromTarballData, type Problem } from "@arethetypeswrong/core";

/** What "are the types wrong?" found. */
export interface WrongTypes {
  /** How many entry points of the package it looked at. */
  readonly entries: number;
  /** Its problems, in words. */
  readonly problems: readonly string[];
}

/**
 * Asks "are the types wrong?" about a packed package, every file behind
 * `./gen/*` included. What it says of `require` and of the resolution of Node 10
 * is left out: the package is ESM only, and has no entry without `exports`.
 */
export async function wrongTypesIn(tarball: string): Promise<WrongTypes> {
  const packed = createPackageFromTarballData(readFileSync(tarball));
  const generated = packed
    .listFiles(`/node_modules/${packed.packageName}/dist/gen`)
    .flatMap((path) => /\/dist\/(gen\/.*)\.d\.ts$/.exec(path)?.[1] ?? [])
    .map((path) => `./${path}`);
  const result = await checkPackage(packed, {
    excludeEntrypoints: ["./gen/*"],
    includeEntrypoints: generated,
  });
  if (result.types === false) {
    return { entries: 0, problems: ["the package has no types"] };
  }
  return {
    entries: Object.keys(result.entrypoints).length,
    problems: result.problems.filter(matters).map((problem) => JSON.stringify(problem)),
  };
}

function matters(problem: Problem): boolean {
  if ("resolutionKind" in problem) {
    return problem.resolutionKind !== "node10" && problem.resolutionKind !== "node16-cjs";
  }
  return !("resolutionOption" in problem) || problem.resolutionOption !== "node10";
}

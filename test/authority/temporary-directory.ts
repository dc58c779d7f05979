import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** Makes a directory that is removed at the end of the running test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-authority-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

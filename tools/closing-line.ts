import type { Reporter, SerializedError, TestModule } from "vitest/node";

/**
 * Ends vitest's output with one line that counts what ran, such as
 * `1930 passed, 0 failed, 3 skipped (71 files)`. Files that could not be loaded
 * and errors outside of any test count as failed.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const counts = { passed: 0, failed: errors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        counts[test.result().state]++;
      }
      counts.failed += module.errors().length;
    }
    const { passed, failed, skipped, pending } = counts;
    // The other reporters write their summary after this one was asked.
    process.once("exit", () => {
      console.log(
        `${passed} passed, ${failed + pending} failed, ${skipped} skipped (${modules.length} files)`,
      );
    });
  }
}

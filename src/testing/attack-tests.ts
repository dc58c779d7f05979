import { assertNoFindings } from "./attack.ts";
import { type AttackReport, AttackRun } from "./attack-run.ts";
import { partsOf } from "./cells.ts";
import type { AttackOptions } from "./options.ts";

/** What {@link attackTests} takes from Vitest, or from any runner with the same functions. */
export interface TestRunner {
  describe(name: string, define: () => void): unknown;
  it(name: string, run: () => Promise<void>): unknown;
  afterAll(run: () => Promise<void>): unknown;
}

/** Options of {@link attackTests}: what is known before the server runs, and what only then. */
export interface AttackTestOptions extends Pick<AttackOptions, "policies"> {
  /** How the group of tests is called. Default: `attack`. */
  readonly name?: string;
  /** Returns where to attack and with what; called once, by the first test. */
  readonly target: () => Omit<AttackOptions, "policies"> | Promise<Omit<AttackOptions, "policies">>;
  /** Called with the report when all tests have run. */
  readonly onReport?: (report: AttackReport) => void;
}

/**
 * Registers an attack as tests: one for every RPC, and one for those that do not
 * exist. A test fails with its findings, a sentence each. The tests share what
 * they compare, so they run in order, in one file.
 *
 * ```ts
 * import { afterAll, describe, it } from "vitest";
 *
 * attackTests({ describe, it, afterAll }, {
 *   policies: [mailboxPolicy],
 *   target: () => ({ url: server.url }),
 * });
 * ```
 */
export function attackTests(runner: TestRunner, options: AttackTestOptions): void {
  const { policies, name = "attack", target, onReport } = options;
  let opened: Promise<AttackRun> | undefined;
  const open = () => {
    opened ??= (async () => {
      const run = new AttackRun({ ...(await target()), policies });
      await run.prepare();
      return run;
    })();
    return opened;
  };
  runner.describe(name, () => {
    for (const part of policies.flatMap(partsOf)) {
      const title = `${part.policy.service.typeName}: ${part.name}`;
      runner.it(title, async () => {
        const run = await open();
        const findings = await run.run(part);
        assertNoFindings({ findings, incomplete: run.report().incomplete });
      });
    }
    runner.afterAll(async () => {
      // A run that could not be opened has failed its tests.
      const run = await opened?.catch(() => undefined);
      if (run !== undefined) {
        run.close();
        onReport?.(run.report());
      }
    });
  });
}

import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes longer than the rest put together: databases, processes, servers. It runs last. */
const slow = /authority|hostile-surroundings|matrix|both-paths/;

/** Stryker asks for the first test that fails: the quick ones find most of the changes. */
class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => rankOf(a) - rankOf(b));
  }
}

function rankOf({ moduleId }: TestSpecification): number {
  return slow.test(moduleId) ? 1 : 0;
}

// The tests that Stryker runs once per mutant: those of the folders that it changes, and the one of
// `serve` that calls the guard's unary routes. Without what races processes for seconds, or measures
// memory: it tells of databases, not of branches.
export default defineConfig({
  resolve: { conditions: ["countersign-source"], tsconfigPaths: true },
  ssr: { resolve: { conditions: ["countersign-source"] } },
  test: {
    include: ["test/{policy,guard,client,authority}/**/*.test.ts", "test/serve/both-paths.test.ts"],
    exclude: [
      "test/**/{*-,}postgres.test.ts",
      "test/authority/{claim-race,revocation-flood}.test.ts",
    ],
    sequence: { sequencer: QuickFirst },
    provide: { store: "memory", postgresHost: "" },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What starts nothing, and what starts databases, processes and servers of others. */
const quick =
  /policy|guard\/(?:answer|decide|question|refusal|stream-watch|unary-route|guard)\.|authority\/(?:sql-|sqlite-|recent|removed|statement|turn)/;
const slow = /authority\/(?:authority-files|sqlite\.)|hostile-surroundings|traps/;

/** Stryker asks for the first test that fails: the quick ones find most of the changes. */
class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => rankOf(a) - rankOf(b));
  }
}

function rankOf({ moduleId }: TestSpecification): number {
  return quick.test(moduleId) ? 0 : slow.test(moduleId) ? 2 : 1;
}

// The tests of the folders that Stryker changes, which it runs for every change, one by one. Left out:
// what races processes or measures memory for seconds, which tells of databases and not of branches;
// and the matrix, whose last tests count what the others have done.
export default defineConfig({
  resolve: { conditions: ["countersign-source"], tsconfigPaths: true },
  ssr: { resolve: { conditions: ["countersign-source"] } },
  test: {
    include: ["test/{policy,guard,client,authority}/**/*.test.ts"],
    exclude: [
      "test/**/{*-,}postgres.test.ts",
      "test/authority/{*-race,authority.model,revocation-flood}.test.ts",
      "test/guard/matrix.test.ts",
    ],
    sequence: { sequencer: QuickFirst },
    provide: { store: "memory", postgresHost: "" },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

import { defineConfig } from "vitest/config";

// The tests that Stryker runs once per mutant: those of the folders that it changes. Without what
// races processes for seconds, or measures memory: it tells of databases, not of branches.
export default defineConfig({
  resolve: { conditions: ["countersign-source"], tsconfigPaths: true },
  ssr: { resolve: { conditions: ["countersign-source"] } },
  test: {
    include: ["test/{policy,guard,client,authority}/**/*.test.ts"],
    exclude: [
      "test/**/{*-,}postgres.test.ts",
      "test/authority/{claim-race,revocation-flood}.test.ts",
    ],
    provide: { store: "memory", postgresHost: "" },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

import { defineConfig } from "vitest/config";

// Fuzzing and faults: `npm run test:faults`, and longer with FAULT_INPUTS and FAULT_RUNS; and what
// only time shows, `npm run test:soak`. Their names keep them out of `npm test`.
export default defineConfig({
  resolve: { conditions: ["countersign-source"], tsconfigPaths: true },
  ssr: { resolve: { conditions: ["countersign-source"] } },
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/faults/**/*.faults.ts"],
    exclude: process.env.SOAK_MINUTES === undefined ? ["test/faults/soak.faults.ts"] : [],
    // Each measures what its own processes use.
    fileParallelism: false,
    reporters: ["default", "./tools/closing-line.ts"],
    testTimeout: 4 * 3_600_000,
    hookTimeout: 120_000,
  },
});

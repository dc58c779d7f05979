import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["countersign-source"] },
  ssr: { resolve: { conditions: ["countersign-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", "./tools/closing-line.ts"],
    // One worker per processor. Vitest keeps one processor for itself, which on
    // two would let one test file run at a time.
    maxWorkers: "100%",
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

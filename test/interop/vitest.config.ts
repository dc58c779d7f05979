import { defineConfig } from "vitest/config";

// The tests against the real Flower: `npm run test:interop`. They need Python and the network, so
// their names keep them out of `npm test`.
export default defineConfig({
  resolve: { conditions: ["countersign-source"] },
  ssr: { resolve: { conditions: ["countersign-source"] } },
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/interop/**/*.interop.ts"],
    globalSetup: ["test/interop/install-flower.ts"],
    // Every process here is a Python that takes seconds to start; two federations at once on a
    // small machine only make each other late.
    fileParallelism: false,
    reporters: ["default", "./tools/closing-line.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});

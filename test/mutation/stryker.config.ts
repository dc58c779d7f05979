// Stryker changes the sources in one place at a time, and some test has to fail: `npm run
// test:mutation`, or for one folder `npm run test:mutation -- --mutate 'src/policy/*.ts'`.
export default {
  testRunner: "vitest",
  plugins: ["@stryker-mutator/vitest-runner"],
  vitest: { configFile: "test/mutation/vitest.config.ts", related: false },
  // Without the driver of PostgreSQL, whose tests need a server.
  mutate: ["src/{policy,guard,client,authority}/*.ts", "!src/authority/postgres*.ts"],
  coverageAnalysis: "perTest",
  // What runs only while modules load (patterns, tables) would need all tests for each mutant.
  ignoreStatic: true,
  // Stryker would rewrite a tsconfig.json with TypeScript's JavaScript API, which TypeScript 7 lacks.
  tsconfigFile: "no-tsconfig.json",
  disableTypeChecks: false,
  concurrency: 2,
  // Not below node_modules, where Node runs no TypeScript: some tests start processes.
  tempDirName: ".stryker",
  // A mutant runs again when its file or a test that reaches it has changed.
  incremental: true,
  incrementalFile: "reports/mutation/incremental.json",
  // Generous: whatever runs out of time counts as found.
  timeoutMS: 15_000,
  timeoutFactor: 2,
  reporters: ["clear-text", "progress", "html", "json"],
  clearTextReporter: { logTests: false, reportTests: false },
  htmlReporter: { fileName: "reports/mutation/mutation.html" },
  jsonReporter: { fileName: "reports/mutation/mutation.json" },
  thresholds: { high: 95, low: 90, break: 90 },
};

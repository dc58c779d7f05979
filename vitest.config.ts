import { fileURLToPath } from "node:url";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { findPostgresBinaries } from "./test/postgres/cluster.ts";

/** Suites that run over every store: in memory, in a SQLite file, in PostgreSQL. */
const storeSuites = ["test/appio/state/**/*.test.ts"];

/** Suites that are for PostgreSQL alone. */
const postgresOnly = ["test/postgres/**/*.test.ts", "test/**/{*-,}postgres.test.ts"];

/** Suites that run over both engines as well as those that are for PostgreSQL alone. */
const postgresSuites = [
  ...storeSuites,
  "test/appio/authentication-cases.test.ts",
  "test/appio/superlink/{control,fleet,server-app-io}.test.ts",
  "test/authority/{authority,authority.model,claim-race,migrate,migrate-race,sql-database}.test.ts",
  ...postgresOnly,
];

/** What takes long is left to scripts of its own, which set these variables and which the CI calls too. */
const long = [
  ...(process.env.REPLICA_ROUNDS === undefined ? ["test/postgres/replicas/kill.test.ts"] : []),
  ...(process.env.ATTACK_BREADTH === undefined
    ? [
        "test/testing/bad-servers.test.ts",
        "test/appio/refused-push.test.ts",
        "test/serve/hostile-memory.test.ts",
        "test/serve/leaving-clients.test.ts",
        "test/serve/abandoned-calls.test.ts",
      ]
    : []),
  ...(process.env.BREAK_TYPES === undefined ? ["test/types/promises.test.ts"] : []),
];

/** Objects of several pieces, which are of 16 MiB on PostgreSQL. */
const longOnPostgres =
  process.env.REPLICA_ROUNDS === undefined
    ? ["test/appio/state/{pieces,former-database}.test.ts"]
    : [];

const projects: TestProjectInlineConfiguration[] = [
  {
    extends: true,
    test: {
      name: "main",
      // Not in the root: a project adds to the root's list, it does not replace it.
      include: ["test/**/*.test.ts"],
      exclude: [...postgresOnly, ...long],
      provide: { store: "memory", postgresHost: "" },
    },
  },
  {
    extends: true,
    test: {
      name: "file",
      include: storeSuites,
      exclude: postgresOnly,
      provide: { store: "file", postgresHost: "" },
    },
  },
];

if (findPostgresBinaries() !== undefined) {
  projects.push({
    extends: true,
    test: {
      name: "postgres",
      include: postgresSuites,
      exclude: [...long, ...longOnPostgres],
      globalSetup: "test/postgres/global-setup.ts",
      provide: { store: "postgres", postgresHost: "" },
    },
  });
} else if (process.env.CI) {
  throw new Error("PostgreSQL is not installed: apt-get install postgresql");
} else {
  // After the reporters: the last lines are those that are read.
  process.once("exit", () =>
    console.error(
      "SKIPPED: all tests on PostgreSQL. It is not installed here: apt-get install postgresql",
    ),
  );
}

export default defineConfig({
  // The paths are for apps under examples/, packages of their own that import this one by its name.
  resolve: { conditions: ["countersign-source"], tsconfigPaths: true },
  ssr: { resolve: { conditions: ["countersign-source"] } },
  test: {
    reporters: ["default", "./tools/closing-line.ts"],
    // One worker per processor. Vitest keeps one processor for itself, which on
    // two would let one test file run at a time.
    maxWorkers: "100%",
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Some hundred processes are started, each of which would compile the same sources again: a third of their time.
    env: {
      NODE_COMPILE_CACHE: fileURLToPath(new URL("node_modules/.cache/compiled", import.meta.url)),
    },
    projects,
  },
});

import type { TestProject } from "vitest/node";
import { findPostgresBinaries, startPostgresCluster } from "./cluster.ts";

/** Starts the server of the tests that need one, and stops it after them. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const binaries = findPostgresBinaries();
  if (binaries === undefined) {
    throw new Error("initdb and postgres are neither on the path nor in /usr/lib/postgresql");
  }
  const cluster = await startPostgresCluster(binaries);
  project.provide("postgresHost", cluster.host);
  return cluster.stop;
}

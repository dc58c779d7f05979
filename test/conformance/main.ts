/**
 * Runs the Connect project's conformance suites against a server made by
 * `serve`, and against the authenticated client.
 *
 *   bash test/conformance/install.sh && npm run test:conformance
 *
 * The suites know no credential. The server here requires one on every RPC, so
 * each case gets a header with it, and nothing else is changed: the runner's
 * client sends it like any header of a case. For clients the runner then checks
 * that the header arrives, and our client program leaves it to the
 * authenticated client to send it. The server's cases run a second time without
 * it, where each must end in the guard's one refusal. Both are done for each path
 * that `serve` has for unary calls.
 *
 * Ends with a line such as `28165 passed, 0 failed`.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { authenticationFailedText } from "countersign";
import { nodeKnownFailures, serverKnownFailures, webKnownFailures } from "./known-failures.ts";
import { isInstalled, ownSuites, performRun, type Run } from "./runner.ts";
import { sessionHeader } from "./session-header.ts";
import { type ChangeCase, refusedWith, withHeader, writeSuites } from "./suites.ts";

const session = randomBytes(16).toString("hex");

/** @param work - the directory to write the changed suites to. */
function runsIn(work: string): readonly Run[] {
  const suitesIn = (folder: string, change: ChangeCase): string[] => {
    const target = join(work, folder);
    mkdirSync(target);
    return writeSuites(ownSuites, target, change);
  };
  const credited = suitesIn("credited", withHeader({ name: sessionHeader, value: [session] }));
  const refused = suitesIn("refused", refusedWith(authenticationFailedText));
  const unchanged = suitesIn("unchanged", (one) => one);
  const server = { mode: "server", config: "node.yaml", session } as const;
  const node = { mode: "client", config: "node.yaml", session } as const;
  const web = { mode: "client", config: "web.yaml", session } as const;
  const certain = nodeKnownFailures.filter(({ isFlaky }) => isFlaky !== true);
  return [
    ...(["lean", "connect"] as const).flatMap((path): Run[] => [
      {
        ...server,
        name: `serve, guarded, ${path} path`,
        suites: credited,
        knownFailures: serverKnownFailures,
        program: ["server.ts", path],
      },
      {
        ...server,
        name: `serve, guarded, ${path} path, calls without a credential`,
        suites: refused,
        program: ["server.ts", path],
      },
    ]),
    {
      ...node,
      name: "authenticated client on connect-node",
      suites: credited,
      knownFailures: nodeKnownFailures,
      program: ["client.ts", "node"],
    },
    {
      ...web,
      name: "authenticated client on connect-web",
      suites: credited,
      knownFailures: webKnownFailures,
      program: ["client.ts", "web"],
    },
    // What is not ours fails without us too, or the lists are wrong.
    {
      ...node,
      name: "connect's own client on connect-node: the known failures",
      suites: unchanged,
      knownFailures: certain,
      isKnownOnly: true,
      program: ["client.ts", "node", "plain"],
    },
    {
      ...web,
      name: "connect's own client on connect-web: the known failures",
      suites: unchanged,
      knownFailures: webKnownFailures,
      isKnownOnly: true,
      program: ["client.ts", "web", "plain"],
    },
  ];
}

async function performAll(): Promise<void> {
  const total = { passed: 0, failed: 0, known: 0 };
  const work = mkdtempSync(join(tmpdir(), "conformance-"));
  try {
    for (const run of runsIn(work)) {
      console.log(`\n== ${run.name}`);
      const counts = await performRun(run);
      total.passed += counts.passed;
      total.failed += counts.failed;
      total.known += counts.known;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`\n${total.known} failed as the lists above say`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}

if (isInstalled()) {
  await performAll();
} else {
  const text = "The conformance runner is not installed: bash test/conformance/install.sh";
  if (process.env.CI !== undefined) {
    throw new Error(text);
  }
  console.log(`SKIPPED: ${text}`);
}

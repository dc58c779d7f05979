import { service, unimplemented } from "countersign";
import { serve } from "countersign/serve";
import { mailboxPolicy } from "./mailbox-server.ts";

// The process whose memory hostile-memory.test.ts measures: a server with the default limits, whose importLetters
// does not read what it is sent. Its arguments say what the verifier does with "undecided" (never answer, or admit at once),
// the size of a bulletin in bytes, and whether there is a lean path.

/** What it tells. */
export interface Target {
  readonly port: number;
  readonly pid: number;
}

const never = new Promise<never>(() => {});
const [verifier, bulletinBytes = "5", leanPath = "lean"] = process.argv.slice(2);
const isUndecided = verifier === "never";

const server = await serve({
  port: 0,
  readMaxBytes: 64 * 2 ** 20,
  verifyTimeoutMs: 60_000,
  leanPath: leanPath === "lean",
  services: [
    service(mailboxPolicy, {
      // A text of its own for each call, as handlers have.
      getBulletin: () => ({ text: Buffer.alloc(Number(bulletinBytes), "x").toString("latin1") }),
      openSession: unimplemented,
      countLetters: () => ({ count: 3 }),
      sendLetter: () => ({}),
      watchLetters: unimplemented,
      importLetters: () => never,
      converse: unimplemented,
    }),
  ],
  verifiers: {
    session: (token) => (isUndecided && token === "undecided" ? never : { mailboxId: 7n }),
  },
});
process.send?.({ port: server.port, pid: process.pid } satisfies Target);

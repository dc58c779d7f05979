import { service, unimplemented } from "countersign";
import { serve } from "countersign/serve";
import { mailboxPolicy } from "./mailbox-server.ts";

// The process whose memory hostile-memory.test.ts measures: a server with the default limits, whose importLetters
// does not read what it is sent. Its argument says what the verifier does with "undecided": never answer, or admit at once.

/** What it tells. */
export interface Target {
  readonly port: number;
  readonly pid: number;
}

const never = new Promise<never>(() => {});
const isUndecided = process.argv[2] === "never";

const server = await serve({
  port: 0,
  readMaxBytes: 64 * 2 ** 20,
  verifyTimeoutMs: 60_000,
  services: [
    service(mailboxPolicy, {
      getBulletin: () => ({ text: "hello" }),
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

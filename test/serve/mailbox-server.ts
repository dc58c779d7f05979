import { setTimeout as delay } from "node:timers/promises";
import {
  credential,
  definePolicy,
  open,
  parseToken,
  refusal,
  requires,
  service,
  type Token,
} from "countersign";
import { type ServeOptions, type Server, serve } from "countersign/serve";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";

/** The credential of the tests: a session of a mailbox. */
export const session = credential("session", {
  header: "mailbox-session",
  secretField: "session",
  claims: { mailboxId: "bigint" },
});

export const mailboxPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: requires(session),
  importLetters: requires(session),
  converse: requires(session),
});

/** The token of mailbox 7, which {@link serveMailbox} accepts. */
export const token: Token = parseToken("letmein");
export const header = { "mailbox-session": token };

/** What happened in the handlers of one server. */
export interface MailboxLog {
  /** Names of the handlers that began, in order. */
  readonly began: string[];
  /** Signals of the calls of watchLetters and importLetters, in order. */
  readonly watches: AbortSignal[];
  /** Lets the calls of sendLetter and importLetters go on, if the server was told to hold them. */
  release(): void;
  /** Forgets what happened so far: the signals of old calls hold much of those calls. */
  forget(): void;
}

export interface MailboxServer extends AsyncDisposable {
  readonly server: Server;
  readonly log: MailboxLog;
}

type Extra = Omit<Partial<ServeOptions<readonly []>>, "services" | "verifiers">;

/** Serves the Mailbox with handlers that note that they ran. */
export async function serveMailbox(
  options: Extra & { readonly holdSendLetter?: boolean; readonly bulletin?: string } = {},
): Promise<MailboxServer> {
  const began: string[] = [];
  const watches: AbortSignal[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { holdSendLetter = false, bulletin = "hello", ...rest } = options;
  const server = await serve({
    port: 0,
    ...rest,
    services: [
      service(mailboxPolicy, {
        getBulletin: () => {
          began.push("getBulletin");
          return { text: bulletin };
        },
        openSession: ({ key }) => {
          began.push("openSession");
          return { session: key === "" ? "" : token };
        },
        countLetters: () => {
          began.push("countLetters");
          return { count: 3 };
        },
        sendLetter: async (_, { caller }) => {
          began.push("sendLetter");
          if (holdSendLetter) {
            await held;
          }
          return { mailboxId: caller.mailboxId };
        },
        watchLetters: async function* ({ limit }, { signal }) {
          began.push("watchLetters");
          watches.push(signal);
          for (let i = 0; limit === 0 || i < limit; i++) {
            yield { letter: { text: `letter ${i}` } };
            if (limit === 0) {
              await delay(60_000, undefined, { signal });
            }
          }
        },
        importLetters: async (requests, { signal }) => {
          began.push("importLetters");
          watches.push(signal);
          let count = 0;
          for await (const _ of requests) {
            count++;
            if (holdSendLetter) {
              await held;
            }
          }
          return { count };
        },
        converse: async function* (requests) {
          began.push("converse");
          for await (const { letter } of requests) {
            yield { letter: { text: `re: ${letter?.text}` } };
          }
        },
      }),
    ],
    verifiers: {
      session: (presented) => (presented === token ? { mailboxId: 7n } : refusal("unknown")),
    },
  });
  return {
    server,
    log: {
      began,
      watches,
      release,
      forget: () => {
        began.length = 0;
        watches.length = 0;
      },
    },
    [Symbol.asyncDispose]: () => server.close({ graceMs: 1 }),
  };
}

/** Resolves when a signal is aborted. */
export async function aborted(signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === false) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
}

import { refusal, service } from "countersign";
import { sessionPolicy } from "../client/mailbox.ts";

/** What reached a handler. */
export interface Handled {
  readonly rpc: string;
  readonly mailboxId: bigint | undefined;
}

/** A Mailbox whose handlers record who called. */
export function mailboxService() {
  const handled: Handled[] = [];
  const record = (rpc: string, mailboxId?: bigint) => {
    handled.push({ rpc, mailboxId });
  };
  const mailbox = service(sessionPolicy, {
    getBulletin: () => {
      record("getBulletin");
      return { text: "welcome" };
    },
    openSession: ({ mailboxId, key }) => {
      record("openSession");
      return { session: key === `key-${mailboxId}` ? "right" : "" };
    },
    countLetters: (_request, { caller }) => {
      record("countLetters", caller.mailboxId);
      return { count: 3 };
    },
    sendLetter: (_request, { caller }) => {
      record("sendLetter", caller.mailboxId);
      return { mailboxId: caller.mailboxId };
    },
    async *watchLetters({ limit }, { caller, signal }) {
      record("watchLetters", caller.mailboxId);
      yield { letter: { text: "first" } };
      if (limit === 1) {
        return;
      }
      await new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
    async importLetters(requests, { caller }) {
      record("importLetters", caller.mailboxId);
      let count = 0;
      for await (const _ of requests) {
        count++;
      }
      return { count };
    },
    async *converse(requests, { caller }) {
      record("converse", caller.mailboxId);
      for await (const { letter } of requests) {
        yield { mailboxId: caller.mailboxId, letter: { text: letter?.text ?? "" } };
      }
    },
  });
  return { mailbox, handled };
}

/** Tokens that {@link verifySession} knows. */
export const tokens = { right: "right", other: "other", expired: "expired", revoked: "revoked" };

/** A verifier that knows a few tokens. */
export function verifySession(token: string) {
  switch (token) {
    case tokens.right:
      return { mailboxId: 7n };
    case tokens.other:
      return { mailboxId: 8n };
    case tokens.expired:
    case tokens.revoked:
      return refusal(token);
    default:
      return undefined;
  }
}

import { credential, definePolicy, open, requires } from "countersign";
import { Mailbox } from "countersign/gen/countersign/example/v1/mailbox_pb";

/** A secret in a header that proves which mailbox the caller owns. */
export const session = credential("session", {
  header: "mailbox-session",
  claims: { mailboxId: "bigint" },
});

/** One rule for every RPC of the service: a table with a gap does not compile. */
export const mailboxPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: requires(session),
  importLetters: requires(session),
  converse: requires(session),
});

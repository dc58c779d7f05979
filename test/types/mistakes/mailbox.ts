import { credential, definePolicy, open, requires, service, unimplemented } from "countersign";
import { Mailbox } from "../../../gen/countersign/example/v1/mailbox_pb.ts";

export { Mailbox };

export const session = credential("session", {
  header: "mailbox-session",
  secretField: "session",
  claims: { mailboxId: "bigint" },
});

export const six = {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: requires(session),
  importLetters: requires(session),
};

export const policy = definePolicy(Mailbox, { ...six, converse: requires(session) });

export const handlers = {
  getBulletin: unimplemented,
  openSession: unimplemented,
  countLetters: unimplemented,
  sendLetter: unimplemented,
  watchLetters: unimplemented,
  importLetters: unimplemented,
  converse: unimplemented,
};

export const mailbox = service(policy, handlers);

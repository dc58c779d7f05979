import { definePolicy, open, requires } from "countersign";
import { Mailbox, session } from "./mailbox.ts";

export const policy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: requires(session),
  importLetters: requires(session),
});

import { definePolicy, open, requires } from "countersign";
import { Mailbox, session, six } from "./mailbox.ts";

export const policy = definePolicy(Mailbox, {
  ...six,
  converse: process.env.OPEN === "1" ? open : requires(session),
});

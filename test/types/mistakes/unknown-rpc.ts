import { definePolicy, open } from "countersign";
import { Mailbox, six } from "./mailbox.ts";

export const policy = definePolicy(Mailbox, { ...six, converse: open, shredLetters: open });

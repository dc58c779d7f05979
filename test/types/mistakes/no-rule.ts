import { definePolicy } from "countersign";
import { Mailbox, six } from "./mailbox.ts";

export const policy = definePolicy(Mailbox, { ...six, converse: "session" });

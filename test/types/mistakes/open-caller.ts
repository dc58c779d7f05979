import { service } from "countersign";
import { handlers, policy } from "./mailbox.ts";

export const mailbox = service(policy, {
  ...handlers,
  getBulletin: (_request, context) => ({ text: String(context.caller) }),
});

import { service } from "countersign";
import { handlers, policy } from "./mailbox.ts";

export const mailbox = service(policy, {
  ...handlers,
  sendLetter: (request) => ({ mailboxId: request.mailboxId }),
});

import { service, unimplemented } from "countersign";
import { policy } from "./mailbox.ts";

export const mailbox = service(policy, {
  getBulletin: unimplemented,
  openSession: unimplemented,
  countLetters: unimplemented,
  sendLetter: unimplemented,
  watchLetters: unimplemented,
  importLetters: unimplemented,
});

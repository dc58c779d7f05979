import { createGuard } from "countersign";
import { mailbox } from "./mailbox.ts";

export const guard = createGuard({ services: [mailbox], verifiers: {} });

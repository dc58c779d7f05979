import { createGuard, type Service } from "countersign";
import { mailbox } from "./mailbox.ts";

const services: Service[] = [mailbox];
export const guard = createGuard({ services, verifiers: {} });

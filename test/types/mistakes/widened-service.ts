import type { DescService } from "@bufbuild/protobuf";
import { definePolicy, open } from "countersign";
import { Mailbox, six } from "./mailbox.ts";

const service: DescService = Mailbox;
export const policy = definePolicy(service, { ...six, converse: open });

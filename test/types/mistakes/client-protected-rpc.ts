import { createConnectTransport } from "@connectrpc/connect-node";
import { createOpenClient } from "countersign";
import { policy } from "./mailbox.ts";

const transport = createConnectTransport({ baseUrl: "http://127.0.0.1", httpVersion: "2" });
export const letters = createOpenClient(policy, transport).countLetters({});

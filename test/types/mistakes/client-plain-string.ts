import { createConnectTransport } from "@connectrpc/connect-node";
import { createAuthenticatedClient, transportTo } from "countersign";
import { policy } from "./mailbox.ts";

const transport = transportTo(createConnectTransport, {
  baseUrl: "http://127.0.0.1",
  httpVersion: "2",
});
export const client = createAuthenticatedClient(policy, transport, { session: "secret" });

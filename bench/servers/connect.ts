import { createServer, type Http2Server } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { createGuard } from "../../src/guard/guard.ts";
import type { FilledAuthority } from "./authorities.ts";
import { guardedService } from "./guarded-service.ts";
import { measuredHandlers } from "./handlers.ts";

/** connect's own adapter for Node, as its documentation shows it. */
export function createConnectServer(): Http2Server {
  return createServer(
    connectNodeAdapter({ routes: (router) => router.service(ServerAppIo, measuredHandlers) }),
  );
}

/** The same with our guard's routes. */
export function createGuardedConnectServer({ verifier }: FilledAuthority): Http2Server {
  const { routes } = createGuard({
    services: [guardedService],
    verifiers: { appToken: verifier },
  });
  return createServer(connectNodeAdapter({ routes }));
}

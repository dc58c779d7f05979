import { type Server, serve } from "../../src/serve/serve.ts";
import type { FilledAuthority } from "./authorities.ts";
import { guardedService, openService, readMaxBytes } from "./guarded-service.ts";

/** `serve` with open RPCs only. */
export function serveOpen(): Promise<Server> {
  return serve({ services: [openService], verifiers: {}, openReadMaxBytes: readMaxBytes, port: 0 });
}

/** `serve` under AppIo's policy. */
export function serveGuarded({ verifier }: FilledAuthority): Promise<Server> {
  return serve({ services: [guardedService], verifiers: { appToken: verifier }, port: 0 });
}

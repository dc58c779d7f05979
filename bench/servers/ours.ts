import { type ServeOptions, type Server, serve } from "../../src/serve/serve.ts";
import type { FilledAuthority } from "./authorities.ts";
import { guardedService, openService, readMaxBytes } from "./guarded-service.ts";

/** `serve` with open RPCs only. */
export function serveOpen(): Promise<Server> {
  return serve({ services: [openService], verifiers: {}, openReadMaxBytes: readMaxBytes, port: 0 });
}

/** What {@link serveGuarded} leaves to choose. */
export type GuardedOptions = Pick<ServeOptions<[typeof guardedService]>, "leanPath">;

/** `serve` under AppIo's policy. */
export function serveGuarded(
  { verifier }: FilledAuthority,
  options: GuardedOptions = {},
): Promise<Server> {
  return serve({
    ...options,
    ...{ services: [guardedService], verifiers: { appToken: verifier }, port: 0 },
  });
}

import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import {
  Health,
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { type Service, service } from "../guard/service.ts";
import { definePolicy } from "../policy/policy.ts";
import { open } from "../policy/rule.ts";

/** The policy of gRPC's health service: anybody may ask. */
export const healthPolicy = definePolicy(Health, { check: open, watch: open });

/** The health of a server. */
export interface HealthState {
  /** The service that tells it. */
  readonly service: Service<typeof healthPolicy>;
  /** Says from now on that the server is not serving, and ends the watches. */
  stop(): void;
}

/**
 * Makes a health service that answers for the whole server only: about the name
 * of a service it fails with NotFound, whether that exists or not.
 */
export function createHealth(): HealthState {
  let status: ServingStatus = ServingStatus.SERVING;
  const watchers = new Set<() => void>();
  return {
    service: service(healthPolicy, {
      check: (request) => {
        assertWholeServer(request);
        return { status };
      },
      watch: async function* (request, context) {
        assertWholeServer(request);
        yield { status };
        if (status === ServingStatus.SERVING) {
          await changeOrEnd(watchers, context);
          yield { status };
        }
      },
    }),
    stop: () => {
      status = ServingStatus.NOT_SERVING;
      for (const wake of watchers) {
        wake();
      }
    },
  };
}

function assertWholeServer({ service }: HealthCheckRequest): void {
  if (service !== "") {
    throw new ConnectError("Health is told for the whole server only.", Code.NotFound);
  }
}

/** Waits until the status changes; rejects when the call ends before. */
function changeOrEnd(watchers: Set<() => void>, { signal }: HandlerContext): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      watchers.delete(wake);
      signal.removeEventListener("abort", onAbort);
      finish();
    };
    const wake = () => settle(resolve);
    const onAbort = () => settle(() => reject(ConnectError.from(signal.reason)));
    watchers.add(wake);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) {
      onAbort();
    }
  });
}

import {
  Code,
  ConnectError,
  type ContextKey,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import {
  Health,
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { type Service, service } from "../guard/service.ts";
import { definePolicy } from "../policy/policy.ts";
import { open } from "../policy/rule.ts";
import { unavailable } from "./decoy.ts";

/** The policy of gRPC's health service: anybody may ask. */
export const healthPolicy = definePolicy(Health, { check: open, watch: open });

/** Where a call says which connection it came on. */
export const connectionKey: ContextKey<object | undefined> = createContextKey<object | undefined>(
  undefined,
  { description: "countersign: the connection of the call" },
);

/** Watches that one connection may have open: one is enough for a client, some more for a proxy. */
const maxWatchesPerConnection = 8;

/** The health of a server. */
export interface HealthState {
  /** The service that tells it. */
  readonly service: Service<typeof healthPolicy>;
  /** Says from now on that the server is not serving, and ends the watches. */
  stop(): void;
}

/**
 * Makes a health service that answers for the whole server only: about the name
 * of a service it fails with NotFound, whether that exists or not. Anybody may
 * watch, for as long as they like, so watches are counted.
 *
 * @param maxWatches - asked how many watches may be open, at each.
 */
export function createHealth(maxWatches: () => number): HealthState {
  let status: ServingStatus = ServingStatus.SERVING;
  const watchers = new Set<() => void>();
  const places = new WatchPlaces(maxWatches);

  return {
    service: service(healthPolicy, {
      check: (request) => {
        assertWholeServer(request);
        return { status };
      },
      watch: async function* (request, context) {
        assertWholeServer(request);
        const leave = places.take(context);
        try {
          yield { status };
          if (status === ServingStatus.SERVING) {
            await changeOrEnd(watchers, context);
            yield { status };
          }
        } finally {
          leave();
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

/** Counts watches, of each connection and in all. */
class WatchPlaces {
  readonly #most: () => number;
  readonly #byConnection = new WeakMap<object, number>();
  #taken = 0;

  constructor(most: () => number) {
    this.#most = most;
  }

  /**
   * Takes a place until the call ends, or the returned function is called.
   *
   * @throws ConnectError, Unavailable, if there is none.
   */
  take({ values, signal }: HandlerContext): () => void {
    const connection = values.get(connectionKey) ?? signal;
    const onConnection = this.#byConnection.get(connection) ?? 0;
    if (this.#taken >= this.#most() || onConnection >= maxWatchesPerConnection) {
      throw unavailable();
    }
    this.#taken += 1;
    this.#byConnection.set(connection, onConnection + 1);
    let isTaken = true;
    const leave = () => {
      if (isTaken) {
        isTaken = false;
        this.#taken -= 1;
        this.#byConnection.set(connection, (this.#byConnection.get(connection) ?? 1) - 1);
      }
    };
    // A call that breaks off while its answer is written leaves its handler where it is.
    signal.addEventListener("abort", leave, { once: true });
    return leave;
  }
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

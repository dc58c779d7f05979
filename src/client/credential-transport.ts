import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { Presenter } from "./presenter.ts";

/**
 * Wraps a transport so that every call carries exactly the credential that the
 * presenter gives for its method, whatever headers the caller set.
 */
export function presentOn(transport: Transport, presenter: Presenter): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const call = await prepare(presenter, method, signal, timeoutMs, header);
      return transport.unary(method, signal, call.timeoutMs, call.header, input, contextValues);
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const call = await prepare(presenter, method, signal, timeoutMs, header);
      return transport.stream(method, signal, call.timeoutMs, call.header, input, contextValues);
    },
  };
}

interface PreparedCall {
  readonly header: Headers;
  /** What is left of the call's time. */
  readonly timeoutMs: number | undefined;
}

async function prepare(
  presenter: Presenter,
  method: DescMethod,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  init: HeadersInit | undefined,
): Promise<PreparedCall> {
  const header = new Headers(init);
  for (const name of presenter.headers) {
    header.delete(name);
  }
  // A promise may be long in the making, too. A signer that makes none is part of the
  // caller's own turn: its call begins when it is done.
  const startedAt = performance.now();
  const shown = presenter.presentFor(method)?.(method) ?? [];
  if (!(shown instanceof Promise)) {
    return { header: withAll(header, shown), timeoutMs };
  }
  const signed = await withinCall(shown, signal, timeoutMs);
  // The transport counts from zero again, reads 0 as no deadline, and sends whole milliseconds.
  const leftMs =
    timeoutMs === undefined || timeoutMs <= 0
      ? timeoutMs
      : Math.max(1, Math.floor(timeoutMs - (performance.now() - startedAt)));
  return { header: withAll(header, signed), timeoutMs: leftMs };
}

function withAll(header: Headers, values: Iterable<readonly [string, string]>): Headers {
  for (const [name, value] of values) {
    header.set(name, value);
  }
  return header;
}

/** Waits no longer than the call may take; fails as connect's transports do. */
function withinCall<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = () => reject(ConnectError.from(signal?.reason, Code.Canceled));
    const timer =
      timeoutMs === undefined || timeoutMs <= 0
        ? undefined
        : setTimeout(
            () => reject(new ConnectError("the operation timed out", Code.DeadlineExceeded)),
            timeoutMs,
          );
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    });
    if (signal?.aborted) {
      cancel();
    } else {
      signal?.addEventListener("abort", cancel, { once: true });
    }
  });
}

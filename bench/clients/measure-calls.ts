import { quantile } from "../statistics.ts";

/** What was measured of small calls. */
export interface MeasuredCalls {
  readonly calls: number;
  readonly seconds: number;
  /** Times from a call's start to its answer: half of them, and 99 in 100, are below. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Makes calls for some seconds, as many at once as asked for: each begins when another one ends. */
export async function measureCalls(
  call: () => Promise<void>,
  { seconds, atOnce }: { readonly seconds: number; readonly atOnce: number },
): Promise<MeasuredCalls> {
  const timesMs: number[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const caller = async () => {
    for (let from = startedAt; from < endsAt; ) {
      await call();
      const now = performance.now();
      timesMs.push(now - from);
      from = now;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  const taken = (performance.now() - startedAt) / 1000;
  const sorted = Float64Array.from(timesMs).sort();
  return {
    ...{ calls: timesMs.length, seconds: taken },
    ...{ p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) },
  };
}

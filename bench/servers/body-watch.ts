import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What was seen of the process's buffers while a handler had a body, in bytes. */
export interface SeenBodies {
  /** Most of what was in use, beyond what was before. */
  readonly live: number;
  /** The same with what the garbage collector had yet to free. */
  readonly withGarbage: number;
}

let collectGarbage: (() => void) | undefined;
let before = 0;
let seen: SeenBodies = { live: 0, withGarbage: 0 };

/** Looks at the buffers whenever a handler has a body, from now on. It makes calls slow. */
export function watchBodies(): void {
  setFlagsFromString("--expose-gc");
  collectGarbage = runInNewContext("gc");
  collectGarbage?.();
  before = buffersNow();
  seen = { live: 0, withGarbage: 0 };
}

/** Stops looking, and returns what was seen. */
export function seenBodies(): SeenBodies {
  collectGarbage = undefined;
  return seen;
}

/** To be called by handlers, while they have a body. */
export function noteBody(): void {
  if (collectGarbage === undefined) return;
  const withGarbage = buffersNow() - before;
  collectGarbage();
  const live = buffersNow() - before;
  seen = {
    live: Math.max(seen.live, live),
    withGarbage: Math.max(seen.withGarbage, withGarbage),
  };
}

function buffersNow(): number {
  return process.memoryUsage().arrayBuffers;
}

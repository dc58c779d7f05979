import { RunNotRunningError } from "../runtime/retry.ts";
import { sleep } from "../runtime/sleep.ts";
import { type NodeWork, takeIn, textOf } from "./message-intake.ts";
import type { TreedMessage } from "./node-inbox.ts";
import { createReplyForwarding } from "./reply-forwarding.ts";
import { tidyRuns } from "./run-tidying.ts";

/** Cuts waits short: a reply need not wait for the next poll. */
export interface Bell {
  ring(): void;
  /** Waits for a ring since the last {@link Bell.reset}, or this long. */
  wait(ms: number): Promise<void>;
  reset(): void;
}

/** Makes a {@link Bell}, which also rings when `signal` is aborted. */
export function createBell(signal: AbortSignal): Bell {
  let rung = new AbortController();
  const ring = () => rung.abort();
  signal.addEventListener("abort", ring, { once: true });
  return {
    ring,
    wait: (ms) => sleep(ms, rung.signal),
    reset() {
      if (!signal.aborted) {
        rung = new AbortController();
      }
    },
  };
}

/** How often and how much the loops of a node work. */
export interface LoopOptions {
  readonly pollIntervalMs: number;
  readonly replyPollIntervalMs: number;
  readonly maxConcurrentMessages: number;
}

/**
 * Runs the loops of a node: one that forwards replies, one that forgets runs, and as many as messages may be handled at a time that take a
 * message and wait until its reply is forwarded. Each ends with the work's signal, or rejects when the SuperLink
 * refuses the node.
 */
export function runLoops(work: NodeWork, bell: Bell, options: LoopOptions): Promise<void>[] {
  const { fleet, inbox, nodeId, signal, onLog } = work;
  /** What to call when the reply to a message has been forwarded, by the message's id. */
  const settled = new Map<string, () => void>();
  const settleAll = () => {
    for (const settle of settled.values()) {
      settle();
    }
  };
  signal.addEventListener("abort", settleAll, { once: true });

  async function pull(): Promise<TreedMessage | undefined> {
    try {
      const { messagesList, messageObjectTrees } = await fleet.call((call) =>
        fleet.client.pullMessages({ node: { nodeId } }, call),
      );
      const [message] = messagesList;
      const [tree] = messageObjectTrees;
      return message && tree && { message, tree };
    } catch (error) {
      if (error instanceof RunNotRunningError) {
        onLog(`The SuperLink refused to give a message: ${textOf(error)}`);
        return undefined;
      }
      throw error;
    }
  }

  async function handle(received: TreedMessage): Promise<void> {
    const messageId = received.message.metadata?.messageId ?? "";
    if (settled.has(messageId)) {
      // A SuperLink delivers a message again that it has long heard nothing of. Another loop has it.
      onLog(`Message ${messageId} was delivered again while it is being handled.`);
      return;
    }
    const isSettled = new Promise<void>((settle) => settled.set(messageId, settle));
    try {
      if (await takeIn(work, received)) {
        bell.ring();
        await isSettled;
      }
    } finally {
      settled.delete(messageId);
    }
  }

  async function handleMessages(): Promise<void> {
    while (!signal.aborted) {
      const received = await pull();
      if (received === undefined) {
        await sleep(options.pollIntervalMs, signal);
      } else {
        await handle(received);
      }
    }
  }

  async function forwardReplies(): Promise<void> {
    const forwarding = createReplyForwarding(work);
    while (!signal.aborted) {
      bell.reset();
      for (const reply of await inbox.readyReplies()) {
        if (await forwarding.forward(reply)) {
          settled.get(reply.instructionId)?.();
        }
      }
      await bell.wait(options.replyPollIntervalMs);
    }
  }

  async function tidy(): Promise<void> {
    while (!signal.aborted) {
      await tidyRuns(work);
      await sleep(options.pollIntervalMs, signal);
    }
  }

  return [
    forwardReplies(),
    tidy(),
    ...Array.from({ length: options.maxConcurrentMessages }, handleMessages),
  ];
}

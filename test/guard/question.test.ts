import { getEventListeners } from "node:events";
import { createGuard, type VerifyCall } from "countersign";
import { expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { rawHeadersSource } from "../../src/guard/decide.ts";
import { mailboxService } from "./mailbox-service.ts";

const headers = rawHeadersSource([["Mailbox-Session", "right"]]);

function admitWith(
  verify: (token: string, call: VerifyCall) => unknown,
  call: { readonly signal: AbortSignal },
) {
  const { mailbox } = mailboxService();
  const verifiers = { session: verify as () => { mailboxId: bigint } };
  // Longer than any test: nothing here may end because its time is over.
  return createGuard({ services: [mailbox], verifiers, verifyTimeoutMs: 60_000 }).admit(
    Mailbox.method.sendLetter,
    headers,
    call,
  );
}

it("a verifier that answers at once costs the call no signal", async () => {
  await admitWith(() => ({ mailboxId: 7n }), {
    get signal(): AbortSignal {
      throw new Error("the signal was asked for");
    },
  });
});

it("a verifier's signal is aborted once its answer is of no use", async () => {
  const signals: AbortSignal[] = [];
  const calls: VerifyCall[] = [];
  const controller = new AbortController();

  const note = (_token: string, call: VerifyCall) => {
    calls.push(call);
    return { mailboxId: 7n };
  };
  const listen = (token: string, call: VerifyCall) => {
    signals.push(call.signal);
    return note(token, call);
  };
  await admitWith(listen, controller);
  await admitWith(async (token, call) => listen(token, call), controller);
  await admitWith(note, controller);
  const failing = admitWith((token, call) => {
    listen(token, call);
    throw new Error("down");
  }, controller);
  await expect(failing).rejects.toThrow("Authentication failed.");
  expect(signals.pop()?.aborted).toBe(true);
  // Asked for when it is over.
  expect([...signals, calls[2]?.signal].map((signal) => signal?.aborted)).toEqual([
    true,
    true,
    true,
  ]);

  const stuck = Promise.withResolvers<AbortSignal>();
  const answer = admitWith((_token, { signal }) => {
    stuck.resolve(signal);
    return new Promise(() => undefined);
  }, controller);
  const signal = await stuck.promise;
  expect([signal, signal.aborted]).toEqual([signal, false]);
  controller.abort();
  await expect(answer).rejects.toThrow("Authentication failed.");
  expect(signal.aborted).toBe(true);
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
});

it("a verifier's call has one signal, and says how long there is", async () => {
  await admitWith(async (_token, call) => {
    expect([call.signal, call.timeoutMs, call.isRecheck, call.isProbe]).toEqual([
      call.signal,
      60_000,
      false,
      false,
    ]);
    return { mailboxId: 7n };
  }, new AbortController());
});

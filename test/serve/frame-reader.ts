import type { Socket } from "node:net";
import { parseFrames, type ReceivedFrame } from "./http2-frames.ts";

/** Reads the frames that an HTTP/2 connection receives, one after the other. */
export class FrameReader {
  #bytes = Buffer.alloc(0);
  #read = 0;
  #isEnded = false;
  #wake = () => {};

  constructor(socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on("close", () => {
      this.#isEnded = true;
      this.#wake();
    });
  }

  /** The next frame that fits, leaving out those before it; undefined if the connection ends first. */
  async next(fits: (frame: ReceivedFrame) => boolean): Promise<ReceivedFrame | undefined> {
    for (;;) {
      const frames = parseFrames(this.#bytes);
      while (this.#read < frames.length) {
        const frame = frames[this.#read++];
        if (frame !== undefined && fits(frame)) {
          return frame;
        }
      }
      if (this.#isEnded) {
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

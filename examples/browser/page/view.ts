import type { Point } from "../app/line.ts";
import type { Progress } from "./line-app.ts";
import { drawMeasurements } from "./plot.ts";

const keptLogLines = 8;

/** What the page shows. It is told facts, and never a token. */
export interface View {
  /** Calls `toggle` with the node's URL whenever the button is pressed. */
  onToggle(toggle: (node: string) => void): void;
  showStatus(state: "left" | "joined" | "failing", text: string): void;
  showClaim(runId: bigint): void;
  showProgress(progress: Progress): void;
  showHeartbeat(): void;
  /** The message is over: answered, or not. */
  showEnd(isAnswered: boolean): void;
  log(text: string, isFailure?: boolean): void;
}

/** Fills the page in. */
export function createView(node: string, points: readonly Point[]): View {
  const input = find("#node", HTMLInputElement);
  const button = find("#toggle", HTMLButtonElement);
  const form = find("#join", HTMLFormElement);
  const log = find("#log", HTMLOListElement);
  const progressBar = find("#progress", HTMLProgressElement);
  const drawLine = drawMeasurements(find("#plot", SVGSVGElement), points);
  const title = document.title;
  let heartbeats = 0;
  let answered = 0;
  input.value = node;

  return {
    onToggle(toggle) {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        toggle(input.value);
      });
    },
    showStatus(state, text) {
      form.dataset.state = state;
      button.textContent = state === "left" ? "Join" : "Leave";
      input.readOnly = state !== "left";
      setText("#status-text", text);
    },
    showClaim(runId) {
      heartbeats = 0;
      setText("#run", String(runId));
      setText("#message", "being fetched");
      setText("#token", "one, in this page's memory");
      setText("#heartbeats", "0");
      progressBar.value = 0;
    },
    showProgress({ message, step, steps, line, loss }) {
      const { messageId, messageType } = message.metadata;
      setText("#message", `${messageType} ${messageId}`);
      progressBar.value = step / steps;
      setText(
        "#model",
        `y = ${line.slope.toFixed(3)} x + ${line.intercept.toFixed(3)}, error ${loss.toFixed(4)}`,
      );
      drawLine(line);
      document.title = `${Math.round((100 * step) / steps)} % ${title}`;
    },
    showHeartbeat() {
      heartbeats += 1;
      setText("#heartbeats", `${heartbeats} for this message`);
    },
    showEnd(isAnswered) {
      if (isAnswered) answered += 1;
      setText("#token", "none");
      setText("#answered", String(answered));
      document.title = title;
    },
    log(text, isFailure = false) {
      const time = document.createElement("time");
      time.textContent = new Date().toLocaleTimeString();
      const line = document.createElement("li");
      line.append(time, text);
      line.classList.toggle("failure", isFailure);
      log.prepend(line);
      while (log.childElementCount > keptLogLines) log.lastElementChild?.remove();
    },
  };
}

function setText(selector: string, text: string): void {
  const element = find(selector, HTMLElement);
  element.textContent = text;
  element.title = text;
}

function find<T extends Element>(selector: string, type: new () => T): T {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new TypeError(`the page lacks ${selector}`);
  return found;
}

import type { Line, Point } from "../app/line.ts";

const width = 320;
const height = 210;
const margin = { left: 26, right: 8, top: 8, bottom: 22 };
const largest = { x: 3, y: 8 };

/** Draws measurements, and returns what draws a line among them. */
export function drawMeasurements(svg: SVGSVGElement, points: readonly Point[]) {
  const axisY = toY(0);
  add(svg, "line", {
    class: "axis",
    x1: margin.left,
    x2: width - margin.right,
    y1: axisY,
    y2: axisY,
  });
  add(svg, "line", { class: "axis", x1: toX(0), x2: toX(0), y1: margin.top, y2: axisY });
  for (const x of [0, 1, 2, 3]) {
    add(svg, "text", { class: "tick", x: toX(x) - 3, y: height - 8 }).textContent = String(x);
  }
  for (const y of [2, 4, 6, 8]) {
    add(svg, "text", { class: "tick", x: 10, y: toY(y) + 3 }).textContent = String(y);
  }
  for (const { x, y } of points)
    add(svg, "circle", { class: "point", cx: toX(x), cy: toY(y), r: 3 });
  const drawn = add(svg, "line", { class: "line", visibility: "hidden" });

  return ({ slope, intercept }: Line): void => {
    const ends = {
      x1: toX(0),
      y1: toY(intercept),
      x2: toX(largest.x),
      y2: toY(slope * largest.x + intercept),
    };
    set(drawn, { ...ends, visibility: "visible" });
  };
}

function toX(x: number): number {
  return margin.left + (x / largest.x) * (width - margin.left - margin.right);
}

function toY(y: number): number {
  return height - margin.bottom - (y / largest.y) * (height - margin.top - margin.bottom);
}

type Attributes = Readonly<Record<string, string | number>>;

function add(
  svg: SVGSVGElement,
  name: "line" | "circle" | "text",
  attributes: Attributes,
): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(element, attributes);
  svg.append(element);
  return element;
}

function set(element: SVGElement, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
}

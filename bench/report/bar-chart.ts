import type { WorkloadResult } from "../results.ts";
import { figure } from "./markdown.ts";

const width = 900;
const labelWidth = 350;
const valueWidth = 90;
const rowHeight = 26;
const titleHeight = 44;
const barWidth = width - labelWidth - valueWidth;

/**
 * Draws bars, one panel for each workload: the median, and a line from the
 * lowest to the highest round. Ours stand out.
 */
export function drawBars(results: readonly WorkloadResult[]): string {
  const panels: string[] = [];
  let top = 16;
  for (const result of results) {
    panels.push(drawPanel(result, top));
    top += titleHeight + result.rows.length * rowHeight + 16;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}" viewBox="0 0 ${width} ${top}" font-family="Helvetica, Arial, sans-serif" font-size="13"><title>The benchmark: medians as bars, ranges as lines</title>`,
    `<rect width="${width}" height="${top}" fill="#ffffff"/>`,
    ...panels,
    "</svg>",
    "",
  ].join("\n");
}

function drawPanel({ workload, rows }: WorkloadResult, top: number): string {
  const most = Math.max(...rows.map(({ value }) => value.high));
  const x = (value: number) => labelWidth + (value / most) * barWidth;
  const bars = rows.flatMap(({ label, subject, value }, index) => {
    const y = top + titleHeight + index * rowHeight;
    const middle = y + 9;
    const colour = subject.startsWith("ours") ? "#1f6f5c" : "#a9b7c0";
    return [
      `<text x="${labelWidth - 10}" y="${y + 14}" text-anchor="end" fill="#222">${escapeXml(label)}</text>`,
      `<rect x="${labelWidth}" y="${y}" width="${(x(value.median) - labelWidth).toFixed(1)}" height="18" fill="${colour}"/>`,
      `<path d="M${x(value.low).toFixed(1)} ${middle}H${x(value.high).toFixed(1)}m0 -4v8M${x(value.low).toFixed(1)} ${middle - 4}v8" stroke="#222" fill="none"/>`,
      `<text x="${width - 8}" y="${y + 14}" text-anchor="end" fill="#222">${figure(value.median)}</text>`,
    ];
  });
  return [
    `<text x="16" y="${top + 20}" font-size="16" font-weight="bold" fill="#222">${escapeXml(workload.title)}</text>`,
    `<text x="${width - 8}" y="${top + 20}" text-anchor="end" fill="#555">${workload.unit}</text>`,
    ...bars,
  ].join("\n");
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

import { ArrayRecord, NdArray } from "countersign/appio";

/** The model of this example: y = slope * x + intercept. */
export interface Line {
  readonly slope: number;
  readonly intercept: number;
}

/** One measurement. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Where training starts. */
export const startLine: Line = { slope: 0, intercept: 0 };

/** One step of gradient descent on the mean squared error. */
export function stepTowards(
  { slope, intercept }: Line,
  points: readonly Point[],
  learningRate: number,
): Line {
  let bySlope = 0;
  let byIntercept = 0;
  for (const { x, y } of points) {
    const error = slope * x + intercept - y;
    bySlope += error * x;
    byIntercept += error;
  }
  const factor = (2 * learningRate) / points.length;
  return { slope: slope - factor * bySlope, intercept: intercept - factor * byIntercept };
}

/** Mean squared error. */
export function lossOf({ slope, intercept }: Line, points: readonly Point[]): number {
  return (
    points.reduce((sum, { x, y }) => sum + (slope * x + intercept - y) ** 2, 0) / points.length
  );
}

/** The mean of lines, weighted by how many measurements each comes from. */
export function averageLines(
  lines: readonly { readonly line: Line; readonly examples: number }[],
): Line {
  const total = lines.reduce((sum, { examples }) => sum + examples, 0);
  const mean = (value: (line: Line) => number): number =>
    lines.reduce((sum, { line, examples }) => sum + value(line) * (examples / total), 0);
  return { slope: mean((line) => line.slope), intercept: mean((line) => line.intercept) };
}

/** A line as it travels: one array of two 64-bit floats. */
export function toRecord({ slope, intercept }: Line): ArrayRecord {
  return new ArrayRecord({ line: NdArray.from(Float64Array.of(slope, intercept)) });
}

/** Reads what {@link toRecord} wrote. @throws TypeError when it is something else */
export function fromRecord(record: ArrayRecord): Line {
  const [slope, intercept] = Array.from(record.get("line").toTypedArray(), Number);
  if (slope === undefined || intercept === undefined) {
    throw new TypeError("a line must have a slope and an intercept");
  }
  return { slope, intercept };
}
